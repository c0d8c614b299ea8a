"""The learner of the compiled engine: the reference engine's step as one function of arrays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.nn.functional import linear

from plasticity.constraints import NoConstraint
from plasticity.engines import cxx
from plasticity.engines.reference import ReferenceLearner, weight_magnitudes
from plasticity.engines.seen import gradients_seen, step_taken
from plasticity.engines.step import Draws, Remembered, Taken, constrain, descend, drawn
from plasticity.networks.layer import Passed, places, propagate
from plasticity.networks.network import Network
from plasticity.replacement import Memory
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
        hidden: what each hidden layer made of the step's examples.
        gradients: as from `gradients_seen`.
    """

    figures: Tensor
    hidden: list[Passed]
    gradients: list[Tensor]


class CompiledLearner(ReferenceLearner):
    """Learns as `ReferenceLearner` does, but each step is compiled, except for choosing and replacing units."""

    def __init__(self, run: Run, network: Network):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cxx.folder())
        torch.set_num_threads(1)
        super().__init__(run, network)
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        # No guard tells the steps after which the perturbation is due from the others, so each is compiled on its
        # own.
        self.advance = {is_due: _compiled(_step(run)) for is_due in (False, True)}
        self.finish = _compiled(_finish(run))
        self.magnitude: np.ndarray | None = None

    @torch.no_grad()
    def _take(self, example: Tensor, target: Tensor, number: int) -> Taken:
        draws = drawn(self.run, self.known, self.initial, number)
        advanced = self.advance[bool(draws["fresh"])](
            self.parameters, self.initial, self.remembered, self.memory, draws, example, target
        )
        loss, score, *figures = advanced.figures.tolist()
        self.magnitude, due = np.array(figures[: len(self.layers)]), figures[len(self.layers) :]
        return Taken(loss, score, self._done(number, advanced.hidden, advanced.gradients), due)

    def _constrain(self, replaced: bool) -> None:
        if type(self.run.constraint) is not NoConstraint:
            self.magnitude = self.finish(self.parameters).numpy()
        elif replaced:
            self.magnitude = None

    def weight_magnitude(self) -> np.ndarray:
        return super().weight_magnitude() if self.magnitude is None else self.magnitude


def _step(run: Run) -> Callable[..., Advanced]:
    """A step of a run up to its replacements, as a function of arrays."""
    objective, layers, steps = run.dataset.objective, run.layers, run.dataset.steps_per_task
    known = places(layers)

    def loss_of(parameters: Tensors, example: Tensor, target: Tensor) -> Any:
        *hidden, last = propagate(layers, parameters, example, _linear)
        return objective.loss(last.outputs, target), (last.outputs, hidden)

    def step(
        parameters: Tensors,
        initial: Tensors,
        remembered: Remembered,
        memory: Memory,
        draws: Draws,
        example: Tensor,
        target: Tensor,
    ) -> Advanced:
        gradients, (loss, (outputs, hidden)) = grad_and_value(loss_of, has_aux=True)(
            parameters, example, target
        )
        seen = gradients_seen(run.replacement, layers, gradients)
        descend(run, known, parameters, gradients, initial, remembered, draws)
        done = step_taken(0, layers, parameters, hidden, seen, steps, _nothing, _nothing)
        due = run.replacement.update(memory, done)
        score = objective.score(outputs, target).sum()
        figures = [loss.double(), score.double(), *weight_magnitudes(layers, parameters), *due]
        return Advanced(torch.stack(figures), hidden, seen)

    return step


def _finish(run: Run) -> Callable[[Tensors], Tensor]:
    """The constraint, and Σ|w| of each layer under it, float64, [depth + 1], as a function of parameters."""
    known, layers = places(run.layers), run.layers

    def finish(parameters: Tensors) -> Tensor:
        constrain(run, known, parameters)
        return torch.stack(weight_magnitudes(layers, parameters))

    return finish


def _compiled(function: Any) -> Callable[..., Any]:
    """A function of arrays, to be compiled when it is called first."""
    options = OPTIONS | {"cpp.cxx": (cxx.compiler(),)}
    compiled: Callable[..., Any] = torch.compile(
        _with_code_of_its_own(function), dynamic=False, options=options
    )
    return compiled


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
