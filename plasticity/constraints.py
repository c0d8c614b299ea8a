"""Constraints: what is done to parameters at the end of a step, after units have been replaced."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from plasticity.networks.layer import Place, places
from plasticity.part import Part, flag, number

if TYPE_CHECKING:
    from torch import Tensor


class Constraint(Part):
    """A set within which parameters are kept: they are moved back into it at the end of each step."""

    def __call__(self, parameter: "Tensor", place: Place) -> None:
        """Changes a parameter in place. It is compiled, so it must work on tensors and not branch on their values.

        Args:
            parameter: any parameter of the network.
            place: its shape, and where in the network it is.
        """
        raise NotImplementedError


class NoConstraint(Constraint, name="none"):
    """No constraint."""

    def __call__(self, parameter: "Tensor", place: Place) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class WeightClipping(Constraint, name="weight_clipping"):
    """|θ| ≤ bound / √inputs for the weights and biases of a layer with so many inputs; gains and offsets are free.

    Weight clipping (Elsayed et al. 2024, "Weight clipping for deep continual and reinforcement learning";
    github.com/mohmdelsayed/weight-clipping). The inputs of a convolution are those of a filter.

    Attributes:
        bound: κ. For ReLU, weights start within √6 / √inputs: a bound below √6 clips them in the first step, and
            also the weights of replaced units.
        output: whether the output layer is clipped, too.
    """

    bound: float = number(3.0, above=0)
    output: bool = flag(True)

    def __call__(self, parameter: "Tensor", place: Place) -> None:
        if (limit := self.limit(place)) is not None:
            parameter.clamp_(-limit, limit)

    def limit(self, place: Place) -> float | None:
        """κ / √inputs, for a parameter that is clipped; else None."""
        clipped = place.parameter.regularised and (self.output or not place.is_output)
        return self.bound / sqrt(place.inputs) if clipped else None

    def remarks(self, run: Any) -> list[str]:
        starts = [
            place.parameter.bound * sqrt(place.inputs)
            for place in places(run.layers).values()
            if place.parameter.bound and self.limit(place) is not None
        ]
        if self.bound >= max(starts, default=0.0):
            return []
        return [
            f"constraint.bound={self.bound:g} is less than {max(starts):.2f}, up to which initial weights reach: "
            "it clips them, too."
        ]
