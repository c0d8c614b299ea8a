"""Self-normalised resets (Farias and Jozefiak 2025): of units that have been silent for unusually long."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.errors import ConfigError
from plasticity.part import integer, number
from plasticity.replacement.continual_backpropagation import no_replacement
from plasticity.replacement.replacement import Memory, Replacement, Step

if TYPE_CHECKING:
    from torch import Tensor

EXACT = 64
"""The length up to which silences are counted exactly."""

PER_OCTAVE = 32
"""Number of bins between a length and twice that, above `EXACT`: a bin's lengths differ by at most 2.2 %."""


@dataclass(frozen=True, kw_only=True)
class SelfNormalisedResets(Replacement, name="snr"):
    """Replaces a unit once it has been silent for as many steps as its threshold, which follows its past silences.

    A unit's silence is the number of consecutive steps up to now with h ≤ 0, for a batch in all of its examples. It
    is completed by a step with h > 0; or by reaching the unit's threshold, and then the unit is replaced in the
    same step. After every `update_tasks`-th task, q is the smallest length a such that a share of at least
    `quantile` of the silences that the unit completed since the last such update are at most a; 1 if there are
    none. The threshold becomes q if q is below it, else twice what it was, at least `least` and at most `most`;
    completed silences are forgotten. It starts from `most` / 2, rounded up. A unit that is replaced keeps its
    threshold and its completed silences.

    Silences are counted in bins: one for each length up to 64, and above that a 32nd of an octave wide, so that q
    is rounded up by at most 2.2 %, to the greatest length of its bin.

    The source is `snr.py` in github.com/ajozefiak/SelfNormalizedResets, whose lower bound is the constant 100 and
    which counts the silence of a batch in examples, not in steps.

    Attributes:
        quantile: share of a unit's completed silences that q covers.
        update_tasks: number of tasks between two updates of the thresholds.
        least: the smallest threshold of an update. With 1, healthy units are replaced all the time.
        most: the largest threshold.
    """

    kept = ("threshold", "completed")

    quantile: float = number(0.99, above=0, at_most=1)
    update_tasks: int = integer(16, at_least=1)
    least: int = integer(100, at_least=1)
    most: int = integer(20_000, at_least=1, at_most=2**29)

    def canonical(self, run: Any) -> Any:
        resolved = super().canonical(run)
        if not resolved.layers:
            return no_replacement(run)
        if not run.activation.reaches_zero:
            valid = f"another method with activation={run.activation.name}, whose units are never silent"
            raise ConfigError("replacement/method", self.name, valid)
        if self.least > self.most:
            raise ConfigError("replacement.least", self.least, f"at most replacement.most={self.most}")
        return resolved

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Steps since the last update of the thresholds; silences, thresholds, and completed silences by bin."""
        return {
            "steps": np.zeros((), np.int64),
            "silence": np.zeros(units, np.int32),
            "threshold": np.full(units, (self.most + 1) // 2, np.int32),
            "completed": np.zeros((len(longest(self.most)), units), np.int32),
        }

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        return [self._update(memory, step, layer) for layer in range(len(step.activations))]

    def _update(self, memory: Memory, step: Step, layer: int) -> "Tensor":
        """Updates the silences of a layer. Returns whether one of them is due or thresholds are, as a number."""
        steps, silence = memory["steps"][layer], memory["silence"][layer]
        if layer + 1 in self.layers:
            h = step.activations[layer]
            silent = h <= 0 if h.ndim == 1 else (h <= 0).all(dim=0)
            ended = (~silent & (silence > 0)).int()
            memory["completed"][layer].scatter_add_(0, bins(silence)[None], ended[None])
            silence.add_(1).mul_(silent)
            steps.add_(1)
        due: Tensor = (silence >= memory["threshold"][layer]).any()
        return (due | (steps >= self.update_tasks * step.steps_per_task)).double()

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        return [self._choose(memory, step, layer) if due[layer] else [] for layer in range(len(due))]

    def _choose(self, memory: Memory, step: Step, layer: int) -> list[int]:
        """The units of a layer whose silences have reached their thresholds; these are updated if it is time to."""
        silence, completed = memory["silence"][layer], memory["completed"][layer]
        steps, threshold = memory["steps"][layer], memory["threshold"][layer]
        reached = silence >= threshold
        completed.scatter_add_(0, bins(silence)[None], reached.int()[None])
        if steps >= self.update_tasks * step.steps_per_task:
            quantile = self._quantiles(completed)
            threshold.copy_(quantile.where(quantile < threshold, 2 * threshold).clamp(self.least, self.most))
            completed.zero_()
            steps.zero_()
        units: list[int] = reached.nonzero().flatten().tolist()
        return units

    def _quantiles(self, completed: "Tensor") -> "Tensor":
        """q of each unit: int64, [units].

        Args:
            completed: silences by bin and unit.
        """
        import torch

        counts = completed.long().cumsum(dim=0)
        share = counts.double() / counts[-1].clamp(min=1)
        below = (share < self.quantile).sum(dim=0)  # number of bins that do not suffice
        ends = torch.tensor(longest(self.most))
        return ends[below.clamp(max=len(ends) - 1)].where(counts[-1] > 0, 1)


def bins(silence: "Tensor") -> "Tensor":
    """The bin of each silence; one of 0 counts as 1: int64, [units]."""
    length = silence.clamp(min=1)
    above = (PER_OCTAVE * ((length.double() - 0.5) / EXACT).log2()).floor() + EXACT
    return (length - 1).where(length <= EXACT, above.long())


@cache
def longest(most: int) -> tuple[int, ...]:
    """The greatest length in each bin, up to the bin of a length of `most`."""
    ends, octave = list(range(1, min(most, EXACT) + 1)), 1
    while ends[-1] < most:
        ends.append(floor(EXACT * 2 ** (octave / PER_OCTAVE) + 0.5))
        octave += 1
    return tuple(ends)
