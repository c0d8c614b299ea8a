"""The reference engine: one step at a time in plain PyTorch, the definition that others are compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from plasticity.datasets import Task
from plasticity.engines.engine import StepLosses, TaskResult
from plasticity.engines.seen import draws_after, gradients_seen, step_taken
from plasticity.engines.step import Taken, constrain, descend, drawn
from plasticity.engines.tensors import arrays_of, copy_into, remembered, replacement_memory, tensors
from plasticity.errors import Diverged
from plasticity.networks.layer import Layer, Passed, places, propagate
from plasticity.networks.network import INITIAL, Network, origin
from plasticity.replacement import Step
from plasticity.run import Run
from plasticity.streams import Purpose, uniform

ADVANCE_EVERY = 250
"""Number of steps between two reports of progress."""

SCORED_AT_ONCE = 500
"""Number of examples in a forward pass without learning."""


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
    """A network that learns online, with units replaced by the run's method."""

    def __init__(self, run: Run, network: Network):
        self.run, self.objective, self.layers = run, run.dataset.objective, run.layers
        self.known = places(self.layers)
        self.parameters = tensors(network.parameters)
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.memory = replacement_memory(run, network)
        self.remembered = remembered(run, network)
        # What parameters started from, towards which a regulariser may pull them.
        self.initial, self.was_reset = tensors(origin(run, network)), network.was_reset

    def forward(self, example: Tensor) -> list[Passed]:
        """What each layer makes of an example, [inputs], or of a batch, [batch size, inputs]: float32."""
        return propagate(self.layers, self.parameters, example, linear)

    def step(self, example: Tensor, target: Tensor, number: int) -> tuple[float, float, list[int]]:
        """One step, in the order of `plasticity.engines.step`.

        Args:
            example: float32, [inputs], or a batch [batch size, inputs].
            target: the class, int64, []; or values, float32, [outputs]; a batch has a further first dimension.
            number: number of the step in the run, from 0.

        Returns:
            the loss and the sum of the examples' scores, both before the update; units replaced per layer
        """
        taken = self._take(example, target, number)
        with torch.no_grad():
            chosen = self.run.replacement.chosen(self.memory, taken.done, taken.due)
            replaced = self._replace(taken.done, chosen)
            self._constrain(any(replaced))
        return taken.loss, taken.score, replaced

    def _take(self, example: Tensor, target: Tensor, number: int) -> Taken:
        """A step up to its replacements; arguments as in `step`."""
        *hidden, last = self.forward(example)
        loss = self.objective.loss(last.outputs, target)
        score = self.objective.score(last.outputs.detach(), target).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {name: cast(Tensor, parameter.grad) for name, parameter in self.parameters.items()}
        with torch.no_grad():
            seen = gradients_seen(self.run.replacement, self.layers, gradients)
            draws = drawn(self.run, self.known, self.initial, number)
            descend(self.run, self.known, self.parameters, gradients, self.initial, self.remembered, draws)
        for parameter in self.parameters.values():
            parameter.grad = None
        with torch.no_grad():
            done = self._done(number, hidden, seen)
            due = [float(number) for number in self.run.replacement.update(self.memory, done)]
        return Taken(loss.item(), score.item(), done, due)

    def _constrain(self, replaced: bool) -> None:
        """What comes last in a step, whether or not units were replaced in it."""
        constrain(self.run, self.known, self.parameters)

    def _done(self, number: int, hidden: Sequence[Passed], gradients: Sequence[Tensor] = ()) -> Step:
        """What a replacement method may look at after a step."""
        draw, chance = draws_after(self.run, number)
        steps = self.run.dataset.steps_per_task
        return step_taken(number, self.layers, self.parameters, hidden, gradients, steps, draw, chance)

    def _replace(self, step: Step, chosen: list[list[int]]) -> list[int]:
        """Replaces the chosen units in order, first layer first. Returns their number in each layer."""
        method = self.run.replacement
        for layer, units in enumerate(chosen):
            shares = method.shares(self.memory, step, layer, units)
            for unit, share in zip(units, shares, strict=True):
                method.before_replacement(self.memory, step, layer, unit)
                fresh = self._fresh(layer, unit, step.number)
                if share is None:
                    self._start_over(layer, unit, fresh)
                else:
                    self._move(layer, unit, fresh, share)
                self._forget(layer, unit)
        return [len(units) for units in chosen]

    def _fresh(self, layer: int, unit: int, number: int) -> dict[str, Tensor]:
        """The parameters that lead into a unit replaced after a step: drawn, or as at the start."""
        own, drawn, fresh = self.layers[layer], 0, dict[str, Tensor]()
        for kind, parameter in own.parameters.items():
            if parameter.unit_axis == 0:
                fresh[kind] = torch.full(parameter.shape[1:], parameter.start)
                if parameter.renewed is not None:
                    before, drawn = drawn, drawn + parameter.size // own.units
                    position = (layer, unit, number)
                    draws = uniform(parameter.renewed, self.run.seed, Purpose.REPLACEMENT, position, drawn)
                    fresh[kind] = torch.from_numpy(draws[before:]).reshape(parameter.shape[1:])
        return fresh

    def _start_over(self, layer: int, unit: int, fresh: Mapping[str, Tensor]) -> None:
        """Makes a unit anew: it leads nowhere yet, and the optimiser remembers nothing of it."""
        for kind, start in fresh.items():
            self.parameters[f"{kind}.{layer}"][unit] = start
            for tensor in self._remembered_like(f"{kind}.{layer}"):
                tensor[unit] = 0
        outgoing = self._outgoing(layer)
        for tensor in (self.parameters[outgoing], *self._remembered_like(outgoing)):
            self.layers[layer].outgoing(tensor)[:, :, unit] = 0

    def _move(self, layer: int, unit: int, fresh: Mapping[str, Tensor], share: float) -> None:
        """Moves a unit's weights by a share towards those of a new one."""
        for kind, start in fresh.items():
            if self.layers[layer].parameters[kind].is_weight:
                self.parameters[f"{kind}.{layer}"][unit].mul_(1 - share).add_(start, alpha=share)
        self.layers[layer].outgoing(self.parameters[self._outgoing(layer)])[:, :, unit] *= 1 - share

    def _outgoing(self, layer: int) -> str:
        """The name of the parameter that leads out of a hidden layer's units."""
        own = self.layers[layer].leads_out
        return f"{own}.{layer}" if own else f"weights.{layer + 1}"

    def _forget(self, layer: int, unit: int) -> None:
        """Sets what the method remembers of a unit to 0, unless units keep it."""
        units, kept = self.layers[layer].units, self.run.replacement.kept
        for name, of_layers in self.memory.items():
            if name not in kept and of_layers[layer].shape[-1:] == (units,):
                of_layers[layer][..., unit] = 0

    def _remembered_like(self, name: str) -> list[Tensor]:
        """What the optimiser and other parts remember of each entry of a parameter."""
        shape = self.known[name].parameter.shape
        return [
            tensor
            for of_part in self.remembered.values()
            for tensor in of_part[name].values()
            if tensor.shape == shape
        ]

    @torch.no_grad()
    def weight_magnitude(self) -> np.ndarray:
        """Σ|w| of each layer, without biases: float64, [depth + 1]."""
        return np.array([magnitude.item() for magnitude in weight_magnitudes(self.layers, self.parameters)])

    @torch.no_grad()
    def loss(self, example: Tensor, target: Tensor) -> float:
        """The loss of an example or a batch, as in `step`, without learning from it."""
        return self.objective.loss(self.forward(example)[-1].outputs, target).item()

    def learn(self, task: Task, advance: Callable[[int], None], losses: bool = False) -> TaskResult:
        total, scores = 0.0, 0.0
        before, after = list[float](), list[float]()
        magnitude, replaced = np.zeros(len(self.layers)), np.zeros(len(self.layers) - 1, np.int64)
        targets = _targets(task)
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
    def score(self, task: Task) -> float:
        total, targets = 0.0, _targets(task)
        for first in range(0, task.examples, SCORED_AT_ONCE):
            some = replace(task, order=task.order[first : first + SCORED_AT_ONCE])
            outputs = self.forward(torch.from_numpy(some.inputs(some.examples)))[-1].outputs
            scores = self.objective.score(outputs, targets[first : first + some.examples])
            total += scores.sum(dtype=torch.float64).item()
        return total / task.examples

    @torch.no_grad()
    def activations(self, task: Task, examples: int) -> list[np.ndarray]:
        *hidden, _ = self.forward(torch.from_numpy(task.inputs(examples)))
        return [passed.h.numpy() for passed in hidden]

    def network(self) -> Network:
        replacement = {
            f"{name}.{layer}": tensor.numpy().copy()
            for name, of_layers in self.memory.items()
            for layer, tensor in enumerate(of_layers)
        }
        start = {f"{INITIAL}{name}": tensor.numpy().copy() for name, tensor in self.initial.items()}
        return Network(
            {name: parameter.detach().numpy().copy() for name, parameter in self.parameters.items()},
            memory=replacement | arrays_of(self.remembered) | (start if self.was_reset else {}),
        )

    @torch.no_grad()
    def load(self, network: Network) -> None:
        copy_into(self.parameters, tensors(network.parameters))
        copy_into(self.memory, replacement_memory(self.run, network))
        copy_into(self.remembered, remembered(self.run, network))
        copy_into(self.initial, tensors(origin(self.run, network)))
        self.was_reset = network.was_reset


def _targets(task: Task) -> Tensor:
    """The targets of a task's examples: int64, [examples], or float32, [examples, outputs]."""
    integer = task.targets.dtype.kind == "i"
    return torch.from_numpy(task.targets[task.order].astype(np.int64 if integer else np.float32))


def _examples(task: Task, targets: Tensor, step: int, size: int) -> tuple[Tensor, Tensor]:
    """The example, or the batch, of a step and its target or targets."""
    if size == 1:
        return torch.from_numpy(task.example(step)), targets[step]
    positions = range(step * size, (step + 1) * size)
    batch = np.stack([task.example(position) for position in positions])
    return torch.from_numpy(batch), targets[positions.start : positions.stop]


def weight_magnitudes(layers: Sequence[Layer], parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """Σ|w| of each layer, without biases: float64, []."""
    magnitudes = []
    for number, layer in enumerate(layers):
        weights = [kind for kind, parameter in layer.parameters.items() if parameter.is_weight]
        first, *others = (parameters[f"{kind}.{number}"].abs().sum(dtype=torch.float64) for kind in weights)
        magnitudes.append(sum(others, first))
    return magnitudes
