"""Continual partial resets (arXiv 2607.24996): units move towards new ones, the further the less they learn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plasticity.part import number
from plasticity.replacement.periodic import Periodic
from plasticity.replacement.replacement import Memory, Step

DECAY_RATE = 0.99
"""Of the running utility u."""

SHARPNESS = 16.0
"""How steeply ρ falls where u is above the layer's mean, 1."""

FLOOR = 1e-8
"""Keeps s finite."""


@dataclass(frozen=True, kw_only=True)
class ContinualPartialResets(Periodic, name="cpr"):
    """Every `interval` steps, moves the weights of each unit by a share towards those of a new unit.

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

    strength: float = number(0.015, above=0, at_most=1)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Number of steps since the last move; u − 1 of the units, so that u is 1 where it starts over."""
        return super().initial_memory(units) | {"excess": np.zeros(units, np.float32)}

    def observe(self, memory: Memory, step: Step, layer: int) -> None:
        gradient = step.gradient(layer)
        score = gradient / (gradient.mean() + FLOOR)
        memory["excess"][layer].mul_(DECAY_RATE).add_(score - 1, alpha=1 - DECAY_RATE)

    def check(self, memory: Memory, layer: int) -> list[int]:
        """All units of a layer."""
        return list(range(len(memory["excess"][layer])))

    def shares(self, memory: Memory, step: Step, layer: int, units: Sequence[int]) -> list[float | None]:
        excess = memory["excess"][layer].numpy()[list(units)].astype(np.float64)
        power = np.exp(-SHARPNESS * np.maximum(excess, 0))  # 2σ(x) = 2eˣ / (1 + eˣ), above 1 where x > 0
        return (self.strength * (2 * power / (1 + power))).tolist()
