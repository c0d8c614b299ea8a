"""The paper's own PyTorch code, timed where a checkout of it is at hand.

It is built on the code of Dohare et al., github.com/shibhansh/loss-of-plasticity; either checkout does:
`lop.nets.deep_ffnn` has the network, `lop.algos.cbp` the learner.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from plasticity.config import RunConfig
from plasticity.datasets.task import Task


def microseconds_per_step(path: Path, config: RunConfig, task: Task, steps: int = 400) -> float:
    """Time per step of the paper's code on the network of a run: continual backpropagation on all layers.

    A step is what its experiment does with an example, and what our engines do with it: learn from it, note
    whether it was classified rightly, and sum up the magnitude of each layer's weights.

    Args:
        path: the checkout.
        config: shape, activation, step size, rate and weight decay.
        task: the examples.
        steps: number of steps to time, after a tenth as many to warm up.
    """
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    torch.set_num_threads(1)
    learner = _learner(config)
    warm_up = steps // 10
    examples = [torch.from_numpy(task.example(step))[None] for step in range(warm_up + steps)]
    labels = torch.from_numpy(task.targets[task.order].astype("int64"))
    linear = [layer for layer in learner.net.layers if isinstance(layer, torch.nn.Linear)]
    magnitudes, rights = torch.zeros(len(examples), len(linear)), torch.zeros(len(examples))
    for step, example in enumerate(examples):
        if step == warm_up:
            began = time.perf_counter()
        label = labels[step : step + 1]
        _, outputs = learner.learn(x=example, target=label)
        for number, layer in enumerate(linear):
            magnitudes[step, number] = layer.weight.data.abs().sum()
        with torch.no_grad():
            rights[step] = (F.softmax(outputs, dim=1).argmax(dim=1) == label).float().mean()
    return 1e6 * (time.perf_counter() - began) / steps


def _learner(config: RunConfig) -> Any:
    """The checkout's learner, with a network, for a run."""
    from lop.algos.cbp import ContinualBackprop
    from lop.nets.deep_ffnn import DeepFFNN

    network = DeepFFNN(
        input_size=config.dataset.inputs,
        num_features=config.model.width,
        num_outputs=config.dataset.outputs,
        num_hidden_layers=config.model.depth,
        act_type=config.activation.name,
    )
    return ContinualBackprop(
        network,
        step_size=config.optimiser.step_size,
        loss="nll",
        replacement_rate=config.replacement.rate,
        decay_rate=config.replacement.decay_rate,
        maturity_threshold=config.replacement.maturity_threshold,
        accumulate=True,
        weight_decay=config.regulariser.strength,
    )
