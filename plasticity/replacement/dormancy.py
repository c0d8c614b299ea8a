"""Dormant units: what the methods share that sum a magnitude over steps and check each unit's share of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from plasticity.part import integer, number
from plasticity.replacement.continual_backpropagation import no_replacement
from plasticity.replacement.replacement import Memory, Replacement, Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Dormancy(Replacement):
    """Every `interval` steps replaces the units whose share of a magnitude is small; then the sums start over.

    s = mean of the unit's magnitude over the steps since the last check / (its layer's mean of that + `floor`).
    Every unit with s ≤ `threshold` is replaced: all of a layer whose magnitudes are all 0.

    Attributes:
        floor: keeps the quotient finite.
        interval: number of steps between two checks; the first is after step `interval`.
        threshold: the largest s of a dormant unit.
    """

    floor: ClassVar[float]

    interval: int = integer(1_000, at_least=1)
    threshold: float = number(0.01, at_least=0)

    def magnitude(self, step: Step, layer: int) -> "Tensor":
        """What is summed for each unit of a hidden layer after a step: at least 0, float32, [units]."""
        raise NotImplementedError

    def canonical(self, run: Any) -> Any:
        resolved = super().canonical(run)
        return resolved if resolved.layers else no_replacement(run)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Number of steps since the last check; the sum of the units' magnitudes over them."""
        return {"steps": np.zeros((), np.int64), "magnitude": np.zeros(units, np.float32)}

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        return [self._update(memory, step, layer) for layer in range(len(step.activations))]

    def _update(self, memory: Memory, step: Step, layer: int) -> "Tensor":
        """Updates what is remembered of a layer. Returns whether its units are checked, as a number."""
        steps = memory["steps"][layer]
        if layer + 1 in self.layers:
            steps.add_(1)
            memory["magnitude"][layer].add_(self.magnitude(step, layer))
        due: Tensor = steps >= self.interval
        return due.double()

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        return [self._choose(memory, layer) if checked else [] for layer, checked in enumerate(due)]

    def _choose(self, memory: Memory, layer: int) -> list[int]:
        """The dormant units of a layer, in their order."""
        steps, total = memory["steps"][layer], memory["magnitude"][layer]
        mean = total.double() / steps
        dormant = mean / (mean.mean() + self.floor) <= self.threshold
        steps.zero_()
        total.zero_()
        units: list[int] = dormant.nonzero().flatten().tolist()
        return units
