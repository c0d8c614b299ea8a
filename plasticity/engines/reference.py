"""The reference engine: one step at a time in plain PyTorch, the definition that others are compared with."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from plasticity.activations import Activation
from plasticity.datasets import Task
from plasticity.engines.engine import StepLosses, TaskResult
from plasticity.errors import Diverged
from plasticity.networks.network import Network, initial_network
from plasticity.replacement import Step
from plasticity.run import Run
from plasticity.streams import Purpose, uniform, unit_interval

ADVANCE_EVERY = 250
"""Number of steps between two reports of progress."""


class ReferenceEngine:
    """Computes runs with any parts."""

    name = "reference"

    def unsupported(self, run: Run) -> str | None:
        return None

    def learner(self, run: Run, network: Network) -> "ReferenceLearner":
        # A step is a hundred tiny operations: more threads would only wait for one another.
        torch.set_num_threads(1)
        return ReferenceLearner(run, network)


class ReferenceLearner:
    """A multi-layer perceptron that learns online, with units replaced by the run's method."""

    def __init__(self, run: Run, network: Network):
        self.run, self.objective = run, run.dataset.objective
        self.layers = [
            linear_layer(weight, bias) for weight, bias in zip(network.weights, network.biases, strict=True)
        ]
        self.memory = {
            name: [torch.from_numpy(array.copy()) for array in network.remembered(name)]
            for name in run.replacement.initial_memory(1)
        }
        self.parameters = {
            f"{kind}.{number}": parameter
            for number, layer in enumerate(self.layers)
            for kind, parameter in (("weights", layer.weight), ("biases", layer.bias))
        }
        self._start_optimiser(network)
        self._start_regulariser()

    def _start_optimiser(self, network: Network) -> None:
        """Sets what the optimiser remembers of each parameter: as stored or, failing that, as at the start."""
        self.optimiser_memory: dict[str, dict[str, Tensor]] = {}
        for parameter_name, parameter in self.parameters.items():
            kind, layer = parameter_name.split(".")
            fresh = self.run.optimiser.memory(parameter.detach())
            self.optimiser_memory[parameter_name] = {
                name: torch.from_numpy(network.memory[stored].copy()) if stored in network.memory else tensor
                for name, tensor in fresh.items()
                for stored in [f"{kind}.{name}.{layer}"]
            }

    def _start_regulariser(self) -> None:
        """Sets the initial values of the parameters, towards which a regulariser may pull them."""
        start = initial_network(self.run)
        self.initial = {
            **{f"weights.{layer}": torch.from_numpy(weight) for layer, weight in enumerate(start.weights)},
            **{f"biases.{layer}": torch.from_numpy(bias) for layer, bias in enumerate(start.biases)},
        }

    def forward(self, example: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The outputs, and the activations and pre-activations of each hidden layer.

        Args:
            example: float32, [inputs], or a batch [batch size, inputs].
        """
        return propagate(self.run.activation, self.layers, example)

    def step(self, example: Tensor, target: Tensor, number: int) -> tuple[float, float, list[int]]:
        """One step: predict, update, replace.

        Args:
            example: float32, [inputs], or a batch [batch size, inputs].
            target: the class, int64, []; or values, float32, [outputs]; a batch has a further first dimension.
            number: number of the step in the run, from 0.

        Returns:
            the loss and the sum of the examples' scores, both before the update; units replaced per layer
        """
        outputs, *hidden = self.forward(example)
        loss = self.objective.loss(outputs, target)
        score = self.objective.score(outputs.detach(), target).sum()
        loss.backward()
        gradients = {name: cast(Tensor, parameter.grad) for name, parameter in self.parameters.items()}
        with torch.no_grad():
            descend(self.run, self.parameters, gradients, self.initial, self.optimiser_memory)
        for parameter in self.parameters.values():
            parameter.grad = None
        done = self._done(number, *([tensor.detach() for tensor in of_layers] for of_layers in hidden))
        with torch.no_grad():
            replaced = self._replace(done, self.run.replacement.after_step(self.memory, done))
        return loss.item(), score.item(), replaced

    def _done(self, number: int, activations: list[Tensor], pre_activations: list[Tensor]) -> Step:
        """What a replacement method may look at after a step."""

        def draw(layer: int) -> Tensor:
            units = self.layers[layer].out_features
            draws = unit_interval(self.run.seed, Purpose.RANDOM_UTILITY, (layer, number), units)
            return torch.from_numpy(draws)

        def chance(layer: int) -> float:
            return float(unit_interval(self.run.seed, Purpose.CHANCE, (number,), layer + 1)[layer])

        return Step(number, activations, pre_activations, self.layers, draw, chance)

    def _replace(self, step: Step, chosen: list[list[int]]) -> list[int]:
        """Replaces the chosen units in order, first layer first. Returns their number in each layer."""
        for layer, units in enumerate(chosen):
            for unit in units:
                self.run.replacement.before_replacement(self.memory, step, layer, unit)
                self._start_over(layer, unit, step.number)
        return [len(units) for units in chosen]

    def _start_over(self, layer: int, unit: int, number: int) -> None:
        """Replaces a unit: its incoming weights are redrawn, and everything else that belongs to it is set to 0."""
        incoming, outgoing = self.layers[layer], self.layers[layer + 1]
        bound = self.run.model.replacement_bound(self.run.activation, incoming.in_features)
        draws = uniform(
            bound, self.run.seed, Purpose.REPLACEMENT, (layer, unit, number), incoming.in_features
        )
        incoming.weight[unit] = torch.from_numpy(draws)
        incoming.bias[unit] = 0
        outgoing.weight[:, unit] = 0
        for of_layers in self.memory.values():
            if of_layers[layer].shape == incoming.bias.shape:
                of_layers[layer][unit] = 0
        for name, index in (
            (f"weights.{layer}", (unit,)),
            (f"biases.{layer}", (unit,)),
            (f"weights.{layer + 1}", (slice(None), unit)),
        ):
            for tensor in self.optimiser_memory[name].values():
                if tensor.shape == self.initial[name].shape:
                    tensor[index] = 0

    @torch.no_grad()
    def weight_magnitude(self) -> np.ndarray:
        """Σ|w| of each layer, without biases: float64, [depth + 1]."""
        return np.array([magnitude.item() for magnitude in weight_magnitudes(self.layers)])

    @torch.no_grad()
    def loss(self, example: Tensor, target: Tensor) -> float:
        """The loss of an example or a batch, as in `step`, without learning from it."""
        return self.objective.loss(self.forward(example)[0], target).item()

    def learn(self, task: Task, advance: Callable[[int], None], losses: bool = False) -> TaskResult:
        total, scores = 0.0, 0.0
        before, after = list[float](), list[float]()
        magnitude, replaced = np.zeros(len(self.layers)), np.zeros(len(self.layers) - 1, np.int64)
        integer = task.targets.dtype.kind == "i"
        targets = torch.from_numpy(task.targets[task.order].astype(np.int64 if integer else np.float32))
        size = self.run.dataset.batch_size
        steps = task.examples // size
        for step in range(steps):
            example, target = _examples(task, targets, step, size)
            loss, score, units = self.step(example, target, task.first_step + step)
            if not isfinite(loss):
                raise Diverged(task.number, step)
            total, scores, replaced = total + loss, scores + score, replaced + units
            if losses:
                before.append(loss)
                after.append(self.loss(example, target))
            magnitude += self.weight_magnitude()
            if (step + 1) % ADVANCE_EVERY == 0 or step + 1 == steps:
                advance(step % ADVANCE_EVERY + 1)
        of_steps = StepLosses(np.array(before), np.array(after)) if losses else None
        return TaskResult(scores / task.examples, total / steps, magnitude / steps, replaced, of_steps)

    @torch.no_grad()
    def activations(self, task: Task, examples: int) -> list[np.ndarray]:
        _, activations, _ = self.forward(torch.from_numpy(task.inputs(examples)))
        return [activation.numpy() for activation in activations]

    def network(self) -> Network:
        replacement = {
            f"{name}.{layer}": tensor.numpy().copy()
            for name, of_layers in self.memory.items()
            for layer, tensor in enumerate(of_layers)
        }
        optimiser = {
            f"{kind}.{name}.{layer}": tensor.numpy().copy()
            for parameter_name, remembered in self.optimiser_memory.items()
            for kind, layer in [parameter_name.split(".")]
            for name, tensor in remembered.items()
        }
        return Network(
            weights=[layer.weight.detach().numpy().copy() for layer in self.layers],
            biases=[layer.bias.detach().numpy().copy() for layer in self.layers],
            memory=replacement | optimiser,
        )


def _examples(task: Task, targets: Tensor, step: int, size: int) -> tuple[Tensor, Tensor]:
    """The example, or the batch, of a step and its target or targets."""
    if size == 1:
        return torch.from_numpy(task.example(step)), targets[step]
    positions = range(step * size, (step + 1) * size)
    batch = np.stack([task.example(position) for position in positions])
    return torch.from_numpy(batch), targets[positions.start : positions.stop]


class Layer(Protocol):
    """The arrays of a linear layer."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor: ...


def propagate(
    activation: Activation,
    layers: Sequence[Layer],
    example: Tensor,
    linear: Callable[[Tensor, Tensor, Tensor], Tensor] = linear,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The outputs of a network, and the activations and pre-activations of each hidden layer.

    Args:
        activation: of its hidden units.
        layers: its layers, the output layer last.
        example: float32, [inputs], or a batch [batch size, inputs].
        linear: computes a layer's outputs from its inputs, weights and biases.
    """
    activations, pre_activations = [], []
    for layer in layers[:-1]:
        pre_activations.append(linear(example, layer.weight, layer.bias))
        example = activation(pre_activations[-1])
        activations.append(example)
    return linear(example, layers[-1].weight, layers[-1].bias), activations, pre_activations


def descend(
    run: Run,
    parameters: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
    memory: Mapping[str, dict[str, Tensor]],
) -> None:
    """One step of the run's optimiser, from the gradients and the regulariser's terms; changes all but `initial`.

    Args:
        run: the run.
        parameters: weights and biases by name.
        gradients: the loss's gradients, by the same names.
        initial: the values that the parameters started from.
        memory: what the optimiser remembers of each parameter.
    """
    for name, parameter in parameters.items():
        gradient = gradients[name]
        gradient += run.regulariser.term(parameter, initial[name])
        run.optimiser.step(parameter, gradient, memory[name])


def weight_magnitudes(layers: Sequence[Layer]) -> list[Tensor]:
    """Σ|w| of each layer, without biases: float64, []."""
    return [layer.weight.abs().sum(dtype=torch.float64) for layer in layers]


def linear_layer(weight: np.ndarray, bias: np.ndarray) -> torch.nn.Linear:
    """A layer with copies of these weights, [units, inputs], and biases."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], device="meta")  # this draws nothing
    layer.weight = torch.nn.Parameter(torch.from_numpy(weight).clone())
    layer.bias = torch.nn.Parameter(torch.from_numpy(bias).clone())
    return layer
