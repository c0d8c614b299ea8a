"""Utilities: what a hidden unit is worth, which decides whether it is replaced (Dohare et al. 2024)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plasticity.part import Part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Measures:
    """What utilities are computed from, for the units of one hidden layer.

    Attributes:
        activation: h in this step's forward pass: [units], or [batch size, units] for a batch.
        mean_activation: f̂, the running mean activation, corrected for its start at 0: [units].
        outgoing: mean |w_out| over the units that a unit leads to, after the step: [units].
        incoming: mean |w_in| over a unit's inputs, after the step: [units].
    """

    activation: "Tensor"
    mean_activation: "Tensor"
    outgoing: "Tensor"
    incoming: "Tensor"

    @property
    def novelty(self) -> "Tensor":
        """|h − f̂|, shaped like `activation`."""
        return (self.activation - self.mean_activation).abs()


class Utility(Part):
    """The instantaneous utility y, of which a unit's utility is the running mean."""

    def __call__(self, measures: Measures) -> "Tensor":
        """y: [units], or [batch size, units] for a batch, over which it is then averaged."""
        raise NotImplementedError

    def ranking(self, utility: "Tensor", draw: Callable[[], "Tensor"]) -> "Tensor":
        """The values by which units are ranked, the lowest to be replaced first: [units].

        Args:
            utility: û, the running utility, corrected for its start at 0: [units].
            draw: gives uniform draws from [0, 1): [units].
        """
        return utility


class Contribution(Utility, name="contribution"):
    """|h| · mean|w_out|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.activation.abs() * measures.outgoing


class ZeroContribution(Utility, name="zero_contribution"):
    """|h − f̂| · mean|w_out|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.novelty * measures.outgoing


class AdaptableContribution(Utility, name="adaptable_contribution"):
    """|h − f̂| · mean|w_out| / mean|w_in|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.novelty * measures.outgoing / measures.incoming


class Adaptation(Utility, name="adaptation"):
    """1 / mean|w_in|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return 1 / measures.incoming


class Weight(Utility, name="weight"):
    """mean|w_out|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.outgoing


class FeatureByInput(Utility, name="feature_by_input"):
    """|h − f̂| / mean|w_in|."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.novelty / measures.incoming


class Random(Utility, name="random"):
    """No utility: units are ranked by a uniform draw in place of û."""

    def __call__(self, measures: Measures) -> "Tensor":
        return measures.outgoing.new_zeros(measures.outgoing.shape)

    def ranking(self, utility: "Tensor", draw: Callable[[], "Tensor"]) -> "Tensor":
        return draw()
