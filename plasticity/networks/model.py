"""The base class of models, which build the layers of a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from plasticity.errors import ConfigError
from plasticity.networks.layer import Layer
from plasticity.part import Part, choice

if TYPE_CHECKING:
    from plasticity.activations import Activation

MOST_UNITS = 100_000
MOST_LAYERS = 1_000
"""Bounds that only a typo would exceed."""


@dataclass(frozen=True, kw_only=True)
class Model(Part):
    """Builds the layers of a network.

    A model of your own subclasses this and defines `layers`. `dense` builds fully connected layers; for any other,
    subclass `Layer`.

    Attributes:
        initial: how parameters start: weights Kaiming-uniform with the activation's gain (1 for the outputs) and
            biases 0 (kaiming); or all from U(−b, b) with b = 1 / √inputs of the layer, as in PyTorch's Linear
            (uniform).
    """

    initial: str = choice("kaiming", options=("kaiming", "uniform"))

    def layers(self, inputs: tuple[int, ...], outputs: int, activation: "Activation") -> Sequence[Layer]:
        """The network's layers, the output layer last, which has no activation.

        Args:
            inputs: the shape of an example's inputs: (inputs,), or (channels, height, width).
            outputs: number of the network's outputs.
            activation: of the hidden units.
        """
        raise NotImplementedError

    def initial_bound(self, activation: "Activation", inputs: int, is_output: bool = False) -> float:
        """Bound b of the U(−b, b) from which the initial weights of units with so many inputs are drawn."""
        if self.initial == "uniform":
            return 1 / sqrt(inputs)
        return sqrt(3.0 / inputs) if is_output else activation.initial_bound(inputs)

    def replacement_bound(self, activation: "Activation", inputs: int) -> float:
        """The same for the incoming weights of a replaced unit."""
        if self.initial == "uniform":
            return self.initial_bound(activation, inputs)
        return activation.replacement_bound(inputs)


def whole_numbers(
    valid: str, *, at_least: int = 1, at_most: int = MOST_UNITS, shortest: int = 1
) -> Callable[[str, Any], Any]:
    """The check of a field that holds a list of whole numbers between bounds.

    Args:
        valid: what is valid, for messages; if it begins with "null", null is, too.
        at_least: the lower bound of each number.
        at_most: the upper one.
        shortest: the least length of the list.
    """

    def check(key: str, value: Any) -> tuple[int, ...] | None:
        if value is None and valid.startswith("null"):
            return None
        if (
            not isinstance(value, (list, tuple))
            or not shortest <= len(value) <= MOST_LAYERS
            or not all(type(one) is int and at_least <= one <= at_most for one in value)
        ):
            raise ConfigError(key, value, valid)
        return tuple(value)

    return check
