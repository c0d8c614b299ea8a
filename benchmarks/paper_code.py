"""Times the paper's own PyTorch code, where there is a checkout of it.

It is built on the code of Dohare et al., github.com/shibhansh/loss-of-plasticity; either checkout will do:
`lop.nets.deep_ffnn` has the network, `lop.algos.cbp` the learner.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from plasticity.datasets.task import Task
from plasticity.run import Run, flatten


def microseconds_per_step(path: Path, run: Run, task: Task, steps: int = 400) -> float:
    """Time per step of the paper's code on the network of a run: continual backpropagation on all layers.

    A step does what both its experiment and our engines do with an example: learn from it, record whether it was
    classified correctly, and add up the magnitudes of each layer's weights.

    Args:
        path: the checkout.
        run: shape, activation, step size, rate and weight decay.
        task: the examples.
        steps: number of steps to time, after a tenth as many to warm up.
    """
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    torch.set_num_threads(1)
    learner = _learner(run)
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


def _learner(run: Run) -> Any:
    """The checkout's learner, with a network, for a run."""
    from lop.algos.cbp import ContinualBackprop
    from lop.nets.deep_ffnn import DeepFFNN

    values = flatten(run.values())
    network = DeepFFNN(
        input_size=run.dataset.inputs,
        num_features=values["model.width"],
        num_outputs=run.dataset.outputs,
        num_hidden_layers=values["model.depth"],
        act_type=values["activation.name"],
    )
    return ContinualBackprop(
        network,
        step_size=values["optimiser.step_size"],
        loss="nll",
        replacement_rate=values["replacement.rate"],
        decay_rate=values["replacement.decay_rate"],
        maturity_threshold=values["replacement.maturity_threshold"],
        accumulate=True,
        weight_decay=values["regulariser.strength"],
    )
