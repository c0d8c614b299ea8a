"""Regularisers: what is added to the gradients of parameters, weights and biases alike."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from plasticity.errors import ConfigError
from plasticity.part import Part, number

if TYPE_CHECKING:
    from torch import Tensor


class Regulariser(Part):
    """A term of the loss that depends on the parameters alone."""

    def term(self, parameter: "Tensor", initial: "Tensor") -> Union["Tensor", float]:
        """The gradient of the term with respect to a parameter, shaped like the parameter.

        Args:
            parameter: a layer's weights [units, inputs] or biases [units], before the step.
            initial: the values that it started from. A replaced unit keeps those of the unit it replaces.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoRegulariser(Regulariser, name="none"):
    """Nothing: plain backpropagation."""

    strength: float = number(0.0, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> float:
        return 0.0

    def canonical(self, run: Any) -> "NoRegulariser":
        if self.strength > 0:
            raise ConfigError("regulariser.strength", self.strength, "0 with regulariser=none")
        return self


@dataclass(frozen=True, kw_only=True)
class L2(Regulariser, name="l2"):
    """strength / 2 · ‖θ‖²: weight decay, as in `torch.optim.SGD(weight_decay=strength)`."""

    strength: float = number(1e-3, at_least=0)

    def term(self, parameter: "Tensor", initial: "Tensor") -> "Tensor":
        return self.strength * parameter

    def canonical(self, run: Any) -> Regulariser:  # type: ignore[override]
        return NoRegulariser() if type(self) is L2 and self.strength == 0 else self
