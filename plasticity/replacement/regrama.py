"""ReGraMa: resetting units guided by the magnitude of their gradients (Liu et al. 2025, arXiv 2505.24061)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plasticity.replacement.dormancy import Dormancy
from plasticity.replacement.replacement import Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReGraMa(Dormancy, name="regrama"):
    """Every `interval` steps, replaces the units that hardly learn: those with s ≤ `threshold`.

    s = mean g over the steps since the last check / (the layer's mean of that + 1e-8), where g is the mean absolute
    gradient of the loss, without a regulariser's term, with respect to the unit's incoming weights: |δ| · mean |x|
    for a single example, and the mean of the absolute values of the batch's gradient for a batch. At a threshold of
    0 with ReLU it chooses as ReDo does, unless a unit was active only in steps in which no active unit followed it.

    Where authors differ: `optim/regrama.py` in github.com/LucMc/continual-learning takes s from one batch, and can
    limit the share of a layer that is replaced at once.
    """

    looks_at = ("gradients",)
    floor = 1e-8

    def magnitude(self, step: Step, layer: int) -> "Tensor":
        return step.gradient(layer)
