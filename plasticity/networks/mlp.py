"""Multi-layer perceptrons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from plasticity.errors import ConfigError
from plasticity.networks.dense import dense
from plasticity.networks.layer import Layer
from plasticity.networks.model import MOST_LAYERS, MOST_UNITS, Model, whole_numbers
from plasticity.part import checked, choice, integer

if TYPE_CHECKING:
    from plasticity.activations import Activation


@dataclass(frozen=True, kw_only=True)
class Mlp(Model, name="mlp"):
    """A multi-layer perceptron: hidden layers, each Linear then activation, then a Linear to the outputs.

    Attributes:
        width: units of every hidden layer.
        depth: number of hidden layers.
        widths: units of each hidden layer, in place of `width` and `depth`.
        normalisation: what comes between Linear and activation in hidden layers: nothing (none), or layer
            normalisation with a gain and an offset for each unit (layer_norm).
    """

    width: int = integer(100, at_least=1, at_most=MOST_UNITS)
    depth: int = integer(5, at_least=1, at_most=MOST_LAYERS)
    widths: tuple[int, ...] | None = checked(
        whole_numbers("null, or a list of the units of each hidden layer such as [300,150]"), None
    )
    normalisation: str = choice("none", options=("none", "layer_norm"))

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Units of each hidden layer: [depth]."""
        return self.widths or (self.width,) * self.depth

    def layers(self, inputs: tuple[int, ...], outputs: int, activation: "Activation") -> Sequence[Layer]:
        return perceptron(
            self, prod(inputs), self.hidden_units, outputs, activation, self.normalisation == "layer_norm"
        )

    def canonical(self, run: Any) -> "Mlp":
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
        return {"name": self.name} | shape | {"initial": self.initial, "normalisation": self.normalisation}


def perceptron(
    model: Model,
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: "Activation",
    normalised: bool = False,
) -> list[Layer]:
    """Fully connected layers, one after the other.

    Args:
        model: says how their parameters start.
        inputs: number of inputs of the first.
        hidden: units of each hidden layer; none for the output layer alone.
        outputs: units of the output layer.
        activation: of the hidden units.
        normalised: whether hidden layers have layer normalisation.
    """
    fan_in = [inputs, *(activation.columns * units for units in hidden)]
    layers: list[Layer] = []
    for number, (incoming, units) in enumerate(zip(fan_in, [*hidden, outputs], strict=True), start=1):
        is_output = number == len(fan_in)
        bound = model.initial_bound(activation, incoming, is_output)
        layers.append(
            dense(
                incoming,
                units,
                None if is_output else activation,
                bound=bound,
                renewed=None if is_output else model.replacement_bound(activation, incoming),
                biases=bound if model.initial == "uniform" else None,
                normalised=normalised and not is_output,
            )
        )
    return layers
