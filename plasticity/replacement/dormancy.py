"""Dormant units: the base class of methods that sum a magnitude over steps and check each unit's share of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from plasticity.part import number
from plasticity.replacement.periodic import Periodic
from plasticity.replacement.replacement import Memory, Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Dormancy(Periodic):
    """Every `interval` steps, replaces the units whose share of a magnitude is small; then the sums start over.

    s = mean of the unit's magnitude over the steps since the last check / (its layer's mean of that + `floor`).
    Every unit with s ≤ `threshold` is replaced; if all magnitudes of a layer are 0, so are all of its units.

    Attributes:
        floor: keeps the quotient finite.
        interval: number of steps between two checks; the first is after step `interval`.
        threshold: the largest s of a dormant unit.
    """

    floor: ClassVar[float]

    threshold: float = number(0.01, at_least=0)

    def magnitude(self, step: Step, layer: int) -> "Tensor":
        """What is summed for each unit of a hidden layer after a step: at least 0, float32, [units]."""
        raise NotImplementedError

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Number of steps since the last check; the sum of the units' magnitudes over them."""
        return super().initial_memory(units) | {"magnitude": np.zeros(units, np.float32)}

    def observe(self, memory: Memory, step: Step, layer: int) -> None:
        memory["magnitude"][layer].add_(self.magnitude(step, layer))

    def check(self, memory: Memory, layer: int) -> list[int]:
        """The dormant units of a layer."""
        total = memory["magnitude"][layer]
        mean = total.double() / memory["steps"][layer]
        dormant = mean / (mean.mean() + self.floor) <= self.threshold
        total.zero_()
        units: list[int] = dormant.nonzero().flatten().tolist()
        return units
