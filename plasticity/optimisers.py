"""Optimisers: how a gradient becomes a step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plasticity.part import Part, number

if TYPE_CHECKING:
    from torch import Tensor


class Optimiser(Part):
    """A rule that moves a parameter against its gradient, and what it remembers for that."""

    def memory(self, parameter: "Tensor") -> dict[str, "Tensor"]:
        """What is remembered of a parameter at the start, by name; tensors of any shape.

        Those shaped like the parameter are cleared at the weights of a unit that is replaced.
        """
        return {}

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        """Moves a parameter, and updates what is remembered of it, in place.

        Args:
            parameter: a layer's weights [units, inputs] or biases [units].
            gradient: of the loss and the regulariser, shaped like the parameter.
            memory: what is remembered, as returned by `memory`.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SGD(Optimiser, name="sgd"):
    """Plain stochastic gradient descent: θ ← θ − step size · gradient."""

    step_size: float = number(0.005, above=0)

    def step(self, parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]) -> None:
        parameter.sub_(gradient, alpha=self.step_size)
