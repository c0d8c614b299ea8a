"""The learner of the compiled engine: the reference engine's step as one function of arrays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn import Linear
from torch.nn.functional import linear

from plasticity.engines import cxx
from plasticity.engines.reference import ReferenceLearner, descend, propagate, weight_magnitudes
from plasticity.networks.network import Network
from plasticity.replacement import Memory, Step
from plasticity.run import Run

OPTIONS: dict[str, Any] = {
    "guard_filter_fn": torch.compiler.skip_all_guards_unsafe,
    "size_asserts": False,
    "cpp.vec_isa_ok": True,
    "cpp_cache_precompile_headers": False,
    "compile_threads": 1,
}
"""Steps do not recheck what cannot change during a run: the shapes and types of its arrays. The processor's vector
instructions are used, or compiling fails: it never makes do with others, which round differently. There is one file
to compile, so neither precompiled headers, which PyTorch keeps in a folder that processes share, nor further
processes save time."""

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Advanced:
    """What a step returns in addition to the parameters and memories, which it changes in place.

    Attributes:
        figures: float64: the loss, the sum of the examples' scores, Σ|w| of each layer, and for each hidden layer
            how many units are due, if the method says so.
        activations: h of each hidden layer.
        pre_activations: z of each hidden layer.
    """

    figures: Tensor
    activations: list[Tensor]
    pre_activations: list[Tensor]


@dataclass(frozen=True)
class LayerArrays:
    """The arrays of a linear layer, which a replacement method may look at."""

    weight: Tensor
    bias: Tensor


class CompiledLearner(ReferenceLearner):
    """Learns as `ReferenceLearner` does, but each step is compiled, except for choosing and replacing units."""

    def __init__(self, run: Run, network: Network):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cxx.folder())
        torch.set_num_threads(1)
        super().__init__(run, network)
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        step = _with_code_of_its_own(_step(run, len(self.layers)))
        self.advance = torch.compile(step, dynamic=False, options=OPTIONS | {"cpp.cxx": (cxx.compiler(),)})
        self.magnitude: np.ndarray | None = None

    @torch.no_grad()
    def step(self, example: Tensor, target: Tensor, number: int) -> tuple[float, float, list[int]]:
        advanced = self.advance(
            self.parameters, self.initial, self.optimiser_memory, self.memory, example, target
        )
        loss, score, *figures = advanced.figures.tolist()
        magnitude, due = figures[: len(self.layers)], figures[len(self.layers) :]
        done = self._done(number, advanced.activations, advanced.pre_activations)
        replaced = self._replace(done, self.run.replacement.chosen(self.memory, done, due))
        self.magnitude = None if any(replaced) else np.array(magnitude)
        return loss, score, replaced

    def weight_magnitude(self) -> np.ndarray:
        return super().weight_magnitude() if self.magnitude is None else self.magnitude


def _step(run: Run, number: int) -> Callable[..., Advanced]:
    """A step of a run up to its replacements, as a function of arrays.

    Args:
        run: the run.
        number: the number of layers.
    """
    objective = run.dataset.objective

    def layers(parameters: Tensors) -> list[LayerArrays]:
        return [
            LayerArrays(parameters[f"weights.{layer}"], parameters[f"biases.{layer}"])
            for layer in range(number)
        ]

    def loss_of(parameters: Tensors, example: Tensor, target: Tensor) -> Any:
        outputs, *hidden = propagate(run.activation, layers(parameters), example, _linear)
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
        done = Step(0, activations, pre_activations, cast(list[Linear], linears), _nothing, _nothing)
        due = run.replacement.update(memory, done)
        score = objective.score(outputs, target).sum()
        figures = torch.stack([loss.double(), score.double(), *weight_magnitudes(linears), *due])
        return Advanced(figures, activations, pre_activations)

    return step


def _with_code_of_its_own(function: Any) -> Callable[..., Advanced]:
    """A copy with its own code object, by which PyTorch finds compiled code: learners must not share one."""
    code = function.__code__.replace()
    return FunctionType(code, function.__globals__, function.__name__, closure=function.__closure__)


def _linear(example: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer; for a single example, in a form that can be fused with what comes before and after it."""
    if example.ndim == 1:
        return (weight * example).sum(dim=1) + bias
    return linear(example, weight, bias)


def _nothing(layer: int) -> Any:
    raise NotImplementedError("An update draws nothing.")
