"""The reference engine: one step after the other in plain PyTorch, the definition that others are held to."""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plasticity.activations import LEAKY_RELU_SLOPE
from plasticity.config import RunConfig
from plasticity.datasets.task import Task
from plasticity.engines.engine import Run, TaskResult, follow
from plasticity.errors import Diverged
from plasticity.network import State
from plasticity.regulariser import REGULARISERS
from plasticity.replacement import ContinualBackpropagation

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "selu": F.selu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": lambda z: F.leaky_relu(z, LEAKY_RELU_SLOPE),
    "elu": F.elu,
    "swish": F.silu,
    "gelu": F.gelu,
}

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "squared_error": F.mse_loss,
}

ADVANCE_EVERY = 250
"""Steps between two signs of progress."""


class ReferenceLearner:
    """A multi-layer perceptron that learns one example at a time, with continual backpropagation."""

    def __init__(self, config: RunConfig, state: State):
        self.config = config
        self.activation = ACTIVATIONS[config.activation.name]
        self.loss = LOSSES[config.dataset.loss]
        self.regulariser = REGULARISERS[config.regulariser.name]
        self.layers = [
            _linear(weight, bias) for weight, bias in zip(state.weights, state.biases, strict=True)
        ]
        self.replacement = ContinualBackpropagation(config, self.layers, state)

    def forward(self, example: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The outputs, [outputs], and the activations of each hidden layer, [width] each."""
        activations = []
        for layer in self.layers[:-1]:
            example = self.activation(layer(example))
            activations.append(example)
        return self.layers[-1](example), activations

    def step(self, example: Tensor, target: Tensor, step: int) -> tuple[float, bool, list[int]]:
        """One step: predict, update, replace.

        Args:
            example: float32, [inputs].
            target: the class, int64, []; or float32, [outputs].
            step: number of the step in the run, from 0.

        Returns:
            the loss and whether the prediction was right, both before the update; units replaced per layer
        """
        outputs, activations = self.forward(example)
        loss = self.loss(outputs, target)
        right = target.ndim == 0 and bool(outputs.argmax() == target)
        loss.backward()
        self._descend()
        replaced = self.replacement.step([activation.detach() for activation in activations], step)
        return loss.item(), right, replaced

    @torch.no_grad()
    def _descend(self) -> None:
        """Plain stochastic gradient descent: w ← w − step size · (gradient + regulariser's term)."""
        for layer in self.layers:
            for parameter in layer.parameters():
                gradient = cast(Tensor, parameter.grad)
                gradient += self.regulariser(parameter, self.config.regulariser.strength)
                parameter.sub_(gradient, alpha=self.config.optimiser.step_size)
                parameter.grad = None

    @torch.no_grad()
    def weight_magnitude(self) -> np.ndarray:
        """Σ|w| of each layer, without biases: float64, [depth + 1]."""
        return np.array([layer.weight.abs().sum(dtype=torch.float64).item() for layer in self.layers])

    def learn(self, task: Task, advance: Callable[[int], None]) -> TaskResult:
        losses, rights = 0.0, 0
        magnitude, replaced = np.zeros(len(self.layers)), np.zeros(len(self.layers) - 1, np.int64)
        integer = task.targets.dtype.kind == "i"
        targets = torch.from_numpy(task.targets[task.order].astype(np.int64 if integer else np.float32))
        for step in range(task.examples):
            example = torch.from_numpy(task.example(step))
            loss, right, units = self.step(example, targets[step], task.first_step + step)
            if not isfinite(loss):
                raise Diverged(task.number, step)
            losses, rights, replaced = losses + loss, rights + right, replaced + units
            magnitude += self.weight_magnitude()
            if (step + 1) % ADVANCE_EVERY == 0 or step + 1 == task.examples:
                advance(step % ADVANCE_EVERY + 1)
        n = task.examples
        accuracy = rights / n if integer else float("nan")
        return TaskResult(accuracy, losses / n, magnitude / n, replaced)

    def state(self) -> State:
        state = State(
            weights=[layer.weight.detach().numpy().copy() for layer in self.layers],
            biases=[layer.bias.detach().numpy().copy() for layer in self.layers],
            utility=[], mean_activation=[], age=[], debt=np.zeros(0),
        )  # fmt: skip
        self.replacement.write(state)
        return state


def _linear(weight: np.ndarray, bias: np.ndarray) -> torch.nn.Linear:
    layer = torch.nn.utils.skip_init(torch.nn.Linear, weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


class ReferenceEngine:
    """Computes one run after the other, whatever the number of threads: a step has no work to share."""

    name = "reference"
    learner = ReferenceLearner

    def __init__(self, threads: int | None = None):
        pass

    def compute(self, runs: Iterable[Run]) -> None:
        # A step is a hundred tiny operations: more threads only wait for one another.
        torch.set_num_threads(1)
        for run in runs:
            follow(run, ReferenceLearner)
