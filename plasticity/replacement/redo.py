"""ReDo: recycling dormant neurons (Sokar et al. 2023)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plasticity.replacement.dormancy import Dormancy
from plasticity.replacement.replacement import Step, mean_over_samples

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReDo(Dormancy, name="redo"):
    """Every `interval` steps, replaces the units that are hardly active: those with s ≤ `threshold`.

    s = mean |h| over the steps since the last check / (the layer's mean of that + 1e-9); for a batch, |h| is the
    mean over its examples. Where authors differ: `labs/redo` in github.com/google/dopamine takes s from one batch;
    `gntRedo.py` in github.com/shibhansh/loss-of-plasticity replaces no unit of a layer that is all 0, where here
    every unit is replaced; otherwise it chooses the same, given the same steps.
    """

    floor = 1e-9

    def magnitude(self, step: Step, layer: int) -> "Tensor":
        return mean_over_samples(step.activations[layer].abs())
