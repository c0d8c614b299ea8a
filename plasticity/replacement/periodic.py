"""The base class of methods that act on their layers at intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.part import integer
from plasticity.replacement.continual_backpropagation import no_replacement
from plasticity.replacement.replacement import Memory, Replacement, Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Periodic(Replacement):
    """Observes the units of its layers after each step, and chooses some after steps `interval`, 2 · `interval`, ….

    A subclass says in `initial_memory` what else it remembers, and defines `observe` and `check`.

    Attributes:
        interval: number of steps between two checks; the first is after step `interval`.
    """

    interval: int = integer(1_000, at_least=1)

    def canonical(self, run: Any) -> Any:
        resolved = super().canonical(run)
        return resolved if resolved.layers else no_replacement(run)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Number of steps since the last check."""
        return {"steps": np.zeros((), np.int64)}

    def observe(self, memory: Memory, step: Step, layer: int) -> None:
        """Updates what is remembered of a layer of the set after a step, as `update` does."""
        raise NotImplementedError

    def check(self, memory: Memory, layer: int) -> list[int]:
        """The units of a layer to replace at a check, in their order, by what was observed in `steps` steps."""
        raise NotImplementedError

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        """Returns for each layer whether it is checked, as a number."""
        return [self._update(memory, step, layer) for layer in range(len(step.activations))]

    def _update(self, memory: Memory, step: Step, layer: int) -> "Tensor":
        steps = memory["steps"][layer]
        if layer + 1 in self.layers:
            steps.add_(1)
            self.observe(memory, step, layer)
        due: Tensor = steps >= self.interval
        return due.double()

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        return [self._choose(memory, layer) if checked else [] for layer, checked in enumerate(due)]

    def _choose(self, memory: Memory, layer: int) -> list[int]:
        units = self.check(memory, layer)
        memory["steps"][layer].zero_()
        return units
