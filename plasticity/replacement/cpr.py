"""Continual partial resets (arXiv 2607.24996): units move towards new ones, the further the less they learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.part import integer, number
from plasticity.replacement.continual_backpropagation import no_replacement
from plasticity.replacement.replacement import Memory, Replacement, Step

if TYPE_CHECKING:
    from torch import Tensor

DECAY_RATE = 0.99
"""Of the running utility u."""

SHARPNESS = 16.0
"""How steeply ρ falls where u is above the layer's mean, 1."""

FLOOR = 1e-8
"""Keeps s finite."""


@dataclass(frozen=True, kw_only=True)
class ContinualPartialResets(Replacement, name="cpr"):
    """Every `interval` steps moves the weights of each unit by a share towards those of a unit made anew.

    After each step s = g / (the layer's mean g + 1e-8), g as in ReGraMa, and u ← 0.99 u + 0.01 s. After steps
    `interval`, 2 · `interval`, …, for every unit of the set: ρ = `strength` · min(1, 2σ(−16 (u − 1))),
    w_in ← (1 − ρ) w_in + ρ · fresh, w_out ← (1 − ρ) w_out, u ← 1. Biases, gains and offsets stay, and so does what
    the optimiser remembers. `replaced.layer_N` counts every unit that is moved, however small its ρ: all units of
    the layer at each check.

    Where authors differ: this is `optim/cpr.py` in github.com/LucMc/continual-learning with the sigmoid, centred at
    1 and with a strength of 0.015; by default that code has exp(−16 (u − 0.95)), at most 1, for 2σ(−16 (u − 1)) and
    a strength of 0.012. Its first check is one step later.

    Attributes:
        interval: number of steps between two moves; the first is after step `interval`.
        strength: the largest share by which a unit is moved.
    """

    looks_at = ("gradients",)

    interval: int = integer(1_000, at_least=1)
    strength: float = number(0.015, above=0, at_most=1)

    def canonical(self, run: Any) -> Any:
        resolved = super().canonical(run)
        return resolved if resolved.layers else no_replacement(run)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Number of steps since the last move; u − 1 of the units, so that u is 1 where it starts over."""
        return {"steps": np.zeros((), np.int64), "excess": np.zeros(units, np.float32)}

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        return [self._update(memory, step, layer) for layer in range(len(step.activations))]

    def _update(self, memory: Memory, step: Step, layer: int) -> "Tensor":
        """Updates what is remembered of a layer. Returns whether its units are moved, as a number."""
        steps = memory["steps"][layer]
        if layer + 1 in self.layers:
            steps.add_(1)
            gradient = step.gradient(layer)
            score = gradient / (gradient.mean() + FLOOR)
            memory["excess"][layer].mul_(DECAY_RATE).add_(score - 1, alpha=1 - DECAY_RATE)
        due: Tensor = steps >= self.interval
        return due.double()

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        chosen: list[list[int]] = []
        for steps, excess, moved in zip(memory["steps"], memory["excess"], due, strict=True):
            if moved:
                steps.zero_()
            chosen.append(list(range(len(excess))) if moved else [])
        return chosen

    def share(self, memory: Memory, step: Step, layer: int, unit: int) -> float:
        excess = memory["excess"][layer][unit].double()
        return self.strength * min(1.0, 2 * float((-SHARPNESS * excess).sigmoid()))
