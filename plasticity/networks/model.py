"""The shape of a network."""

from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any

from plasticity.errors import ConfigError
from plasticity.part import Part, checked, choice, integer

if TYPE_CHECKING:
    from plasticity.activations import Activation

MOST_UNITS = 100_000
MOST_LAYERS = 1_000
"""Bounds that only a typo would exceed."""


def _widths(key: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    whole = isinstance(value, (list, tuple)) and all(type(width) is int for width in value)
    if (
        not whole
        or not value
        or len(value) > MOST_LAYERS
        or not all(1 <= width <= MOST_UNITS for width in value)
    ):
        raise ConfigError(key, value, "null, or a list of the units of each hidden layer such as [300,150]")
    return tuple(value)


@dataclass(frozen=True, kw_only=True)
class Model(Part, name="mlp"):
    """A multi-layer perceptron: hidden layers, each Linear then activation, then a Linear to the outputs.

    Attributes:
        width: units of every hidden layer.
        depth: number of hidden layers.
        widths: units of each hidden layer, in place of `width` and `depth`.
        initial: how parameters start: weights Kaiming-uniform with the activation's gain (1 for the outputs) and
            biases 0; or all from U(−b, b) with b = 1 / √inputs of the layer (uniform), as in PyTorch's Linear.
    """

    width: int = integer(100, at_least=1, at_most=MOST_UNITS)
    depth: int = integer(5, at_least=1, at_most=MOST_LAYERS)
    widths: tuple[int, ...] | None = checked(_widths, None)
    initial: str = choice("kaiming", options=("kaiming", "uniform"))

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Units of each hidden layer: [depth]."""
        return self.widths or (self.width,) * self.depth

    def initial_bound(self, activation: "Activation", inputs: int, is_output: bool = False) -> float:
        """Bound b of the U(−b, b) from which the initial weights of a layer are drawn."""
        if self.initial == "uniform":
            return 1 / sqrt(inputs)
        return sqrt(3.0 / inputs) if is_output else activation.initial_bound(inputs)

    def replacement_bound(self, activation: "Activation", inputs: int) -> float:
        """The same for the incoming weights of a replaced unit."""
        if self.initial == "uniform":
            return self.initial_bound(activation, inputs)
        return activation.replacement_bound(inputs)

    def canonical(self, run: Any) -> "Model":
        if self.widths is None:
            return self
        for key, value, known in (
            ("width", self.width, (100,)),
            ("depth", self.depth, (5, len(self.widths))),
        ):
            if value not in known:
                raise ConfigError(
                    f"model.{key}", value, "left out together with model.widths, which replaces it"
                )
        if len(set(self.widths)) == 1:
            return replace(self, width=self.widths[0], depth=len(self.widths), widths=None)
        return replace(self, width=100, depth=len(self.widths))

    def values(self) -> dict[str, Any]:
        """Width and depth, or the widths if they differ, and how parameters start."""
        shape = (
            {"width": self.width, "depth": self.depth}
            if self.widths is None
            else {"widths": list(self.widths)}
        )
        return {"name": self.name} | shape | {"initial": self.initial}
