"""The learner of the compiled engine: the reference engine's step as one function of arrays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn import Linear

from plasticity.engines.kernel.build import cache_directory
from plasticity.engines.reference import ReferenceLearner, descend, propagate, weight_magnitudes
from plasticity.network import Network
from plasticity.replacement import ContinualBackpropagation, Memory, Replacement, Step
from plasticity.run import Run

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Advanced:
    """What a step leaves besides the parameters and memories, which it changes in place.

    Attributes:
        figures: float64, [2 + depth + 1]: the loss, the sum of the examples' scores, Σ|w| of each layer.
        activations: h of each hidden layer.
        pre_activations: z of each hidden layer.
    """

    figures: Tensor
    activations: list[Tensor]
    pre_activations: list[Tensor]


@dataclass(frozen=True)
class Layer:
    """The arrays of a linear layer, which a method of replacement may look at."""

    weight: Tensor
    bias: Tensor


class CompiledLearner(ReferenceLearner):
    """Learns as `ReferenceLearner` does. A step is compiled, all but the choice of units and their replacement."""

    def __init__(self, run: Run, network: Network):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory().with_name("compiled")))
        torch.set_num_threads(1)
        super().__init__(run, network)
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        update, self.choose = _split(run.replacement)
        self.advance = torch.compile(_step(run, len(self.layers), update), dynamic=False)
        self.magnitude: np.ndarray | None = None

    @torch.no_grad()
    def step(self, example: Tensor, target: Tensor, number: int) -> tuple[float, float, list[int]]:
        advanced = self.advance(
            self.parameters, self.initial, self.optimiser_memory, self.memory, example, target
        )
        loss, score, *magnitude = advanced.figures.tolist()
        done = self._done(number, advanced.activations, advanced.pre_activations)
        replaced = self._replace(done, self.choose(self.memory, done))
        self.magnitude = None if any(replaced) else np.array(magnitude)
        return loss, score, replaced

    def weight_magnitude(self) -> np.ndarray:
        return super().weight_magnitude() if self.magnitude is None else self.magnitude


def _split(
    method: Replacement,
) -> tuple[Callable[[Memory, Step], None], Callable[[Memory, Step], list[list[int]]]]:
    """What a method does after every step, to be compiled, and how it chooses units, which is not.

    A method with an `after_step` of its own does all of it outside of what is compiled.
    """
    if type(method).after_step is ContinualBackpropagation.after_step:
        continual = cast(ContinualBackpropagation, method)
        return continual.update, continual.choose
    return lambda memory, step: None, method.after_step


def _step(run: Run, number: int, update: Callable[[Memory, Step], None]) -> Callable[..., Advanced]:
    """A step of a run up to its replacements, as a function of arrays.

    Args:
        run: the run.
        number: of layers.
        update: what the method of replacement does after every step.
    """
    objective = run.dataset.objective

    def layers(parameters: Tensors) -> list[Layer]:
        return [
            Layer(parameters[f"weights.{layer}"], parameters[f"biases.{layer}"]) for layer in range(number)
        ]

    def loss_of(parameters: Tensors, example: Tensor, target: Tensor) -> Any:
        outputs, *hidden = propagate(run.activation, layers(parameters), example)
        return objective.loss(outputs, target), (outputs, *hidden)

    def step(
        parameters: Tensors,
        initial: Tensors,
        optimiser_memory: dict[str, Tensors],
        memory: Memory,
        example: Tensor,
        target: Tensor,
    ) -> Advanced:
        gradients, (loss, (outputs, activations, pre_activations)) = grad_and_value(loss_of, has_aux=True)(
            parameters, example, target
        )
        descend(run, parameters, gradients, initial, optimiser_memory)
        linears = layers(parameters)
        update(memory, Step(0, activations, pre_activations, cast(list[Linear], linears), _nothing, _nothing))
        score = objective.score(outputs, target).sum()
        figures = torch.stack([loss.double(), score.double(), *weight_magnitudes(linears)])
        return Advanced(figures, activations, pre_activations)

    return step


def _nothing(layer: int) -> Any:
    raise NotImplementedError("An update draws nothing.")
