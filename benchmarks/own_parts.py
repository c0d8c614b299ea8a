"""Parts as a user writes them, in PyTorch, each with the nearest built-in part."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.activations import Activation
from plasticity.optimisers import Optimiser
from plasticity.part import integer, number
from plasticity.regularisers import Regulariser
from plasticity.replacement import Memory, Replacement, Step
from plasticity.utilities import Measures, Utility

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SlopedReLU(Activation):
    """z for z > 0, slope · z below."""

    gain = sqrt(2.0)
    slope: float = number(0.01, at_least=0, below=1)

    def __call__(self, z: "Tensor") -> "Tensor":
        return z.clamp(min=0) + self.slope * z.clamp(max=0)


@dataclass(frozen=True, kw_only=True)
class Power(Utility):
    """h² · (mean|w_out|) ** power."""

    power: float = number(0.5, at_least=0)

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.activation**2 * measures.outgoing**self.power


@dataclass(frozen=True, kw_only=True)
class Silent(Replacement):
    """Every `interval` steps, replaces the units that were never active since the last time."""

    interval: int = integer(1_000, at_least=1)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        return {"active": np.zeros(units, bool), "steps": np.zeros((), np.int64)}

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        for steps, active, h in zip(memory["steps"], memory["active"], step.activations, strict=True):
            steps += 1
            active |= h > 0
        return [(steps % self.interval == 0).double() for steps in memory["steps"]]

    def choose(self, memory: Memory, step: Step, due: Any) -> list[list[int]]:
        silent = [(~active).nonzero().flatten().tolist() for active in memory["active"]]
        for active in memory["active"]:
            active.zero_()
        return [units if layer in self.layers else [] for layer, units in enumerate(silent, start=1)]


@dataclass(frozen=True, kw_only=True)
class TowardsStart(Regulariser):
    """strength / 2 · ‖θ − θ₀‖²."""

    strength: float = number(1e-3, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> "Tensor":
        return self.strength * (parameter - initial)


@dataclass(frozen=True, kw_only=True)
class Moments(Optimiser):
    """Adam: two running means of each parameter, and the number of steps."""

    step_size: float = number(0.001, above=0)

    def memory(self, parameter: "Tensor") -> dict[str, "Tensor"]:
        zeros = parameter.new_zeros
        return {"mean": zeros(parameter.shape), "square": zeros(parameter.shape), "steps": zeros(())}

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        mean, square, steps = memory["mean"], memory["square"], memory["steps"]
        steps += 1
        mean.mul_(0.9).add_(gradient, alpha=0.1)
        square.mul_(0.999).add_(gradient * gradient, alpha=0.001)
        size = (square / (1 - 0.999**steps)).sqrt() + 1e-8
        parameter.sub_(self.step_size * mean / (1 - 0.9**steps) / size)


def own(part: type) -> dict[str, str]:
    """A part of this module as a config names it."""
    return {"name": f"{part.__module__}.{part.__name__}"}


PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "activation": {
        "leaky_relu": {"activation": {"name": "leaky_relu"}},
        "own activation": {"activation": own(SlopedReLU)},
    },
    "utility": {
        "contribution": {},
        "own utility": {"replacement": {"utility": own(Power)}},
    },
    "choice": {
        "redo": {"replacement": {"name": "redo"}},
        "own choice of units": {"replacement": own(Silent)},
    },
    "regulariser": {
        "l2_init": {"regulariser": {"name": "l2_init"}},
        "own regulariser": {"regulariser": own(TowardsStart)},
    },
    "optimiser": {
        "adam": {"optimiser": {"name": "adam", "count": "keep"}},
        "own optimiser": {"optimiser": own(Moments)},
    },
}
"""For each kind of part the runs that are compared: the nearest built-in part first, then the user's own. All
else is as on the base network, with continual backpropagation unless the part is another method."""
