"""A layer of a network: its parameters by name, its forward pass, and what its units are.

Layers pass on plain vectors: [features], or [batch size, features]. A layer that works on something else, such as
images, unflattens its inputs and flattens its outputs, columns and units before positions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.activations import Activation

Linear = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""Computes W x + b from x, W and b: `torch.nn.functional.linear`, or an engine's own form of it."""

Array = TypeVar("Array")


@dataclass(frozen=True)
class Parameter:
    """The shape of a parameter, how it starts, and how its entries belong to units.

    Attributes:
        shape: of the array.
        bound: b of the U(−b, b) that its initial values are drawn from; None if they all are `start`.
        start: the initial value of every entry, if none are drawn; also that of a replaced unit's entries, unless
            these are drawn.
        renewed: b of the U(−b, b) that the entries of a replaced unit are drawn from; None if they are not drawn.
        unit_axis: the axis along which units are counted: 0 if the parameter leads into them, as weights and
            biases do, 1 if it leads out of them within the layer; None if it belongs to no unit.
        regularised: whether regularisers and constraints act on it; never on gains and offsets.
    """

    shape: tuple[int, ...]
    bound: float | None = None
    start: float = 0.0
    renewed: float | None = None
    unit_axis: int | None = 0
    regularised: bool = True

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix of weights, or of filters, as opposed to a number for each unit."""
        return len(self.shape) > 1

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)


class Passed(NamedTuple):
    """What a layer computes from its inputs. Each is a vector, or [batch size, …] for a batch.

    Attributes:
        z: pre-activations, what the activation is applied to: [units · positions].
        h: activations of the units: [columns · units · positions].
        outputs: what the next layer receives: [features]; for most layers, h.
    """

    z: "Tensor"
    h: "Tensor"
    outputs: "Tensor"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The base class of layers. A layer of your own subclasses this and defines `forward`.

    Replacement, regularisers, diagnostics and snapshots ask a layer for what they need to know about it.

    Attributes:
        units: number of units.
        activation: of its units; None for the output layer.
        parameters: its parameters by name: "weights" and "biases", and others as it needs.
        positions: number of positions of a unit in the layer's output: 1, or height · width for a channel.
        factored: whether z, before any normalisation, is one call of `linear` with its only weights, so that an
            example's gradient is an outer product; what measures gradients of single examples needs that.
    """

    factored: ClassVar[bool] = False

    units: int
    activation: "Activation | None"
    parameters: Mapping[str, Parameter]
    positions: int = 1

    def forward(self, parameters: Mapping[str, "Tensor"], inputs: "Tensor", linear: Linear) -> Passed:
        """What the layer computes from its inputs.

        Args:
            parameters: its parameters by name.
            inputs: the outputs of the layer below: [features], or [batch size, features].
            linear: computes W x + b; in place of `torch.nn.functional.linear`, whose arguments it takes.
        """
        raise NotImplementedError

    @property
    def columns(self) -> int:
        """Number of columns of the next layer's weights that lead out of a unit, per position: 2 for CReLU."""
        return 1 if self.activation is None else self.activation.columns

    @property
    def features(self) -> int:
        """Number of values that the layer outputs."""
        return self.columns * self.units * self.positions

    @property
    def work(self) -> int:
        """Number of multiplications of a forward pass, by which times are estimated."""
        return self.weights

    @property
    def weights(self) -> int:
        """Number of weights, without biases, gains and offsets."""
        return sum(parameter.size for parameter in self.parameters.values() if parameter.is_weight)

    @property
    def leads_out(self) -> str | None:
        """The name of its own parameter that leads out of its units; None if it is the next layer's weights."""
        return next((name for name, one in self.parameters.items() if one.unit_axis == 1), None)

    def samples(self, values: "Tensor") -> "Tensor":
        """Values by unit: [units], or [samples, units] for a batch or several positions, each of which is a sample.

        Args:
            values: z or a column of h: [units · positions], or [batch size, units · positions].
        """
        if values.shape[-1] == self.units:
            return values
        by_unit: Tensor = values.unflatten(-1, (self.units, -1)).transpose(-1, -2)  # type: ignore[no-untyped-call]
        return by_unit.reshape(-1, self.units)

    def by_column(self, h: "Tensor") -> list["Tensor"]:
        """h of the units in each of their columns: for each column as `samples` gives it."""
        return [
            self.samples(column) for column in (h.chunk(self.columns, dim=-1) if self.columns > 1 else [h])
        ]

    def activity(self, h: "Tensor") -> "Tensor":
        """h of the units, as from `samples`; where they have several columns, the sum of |h|, |z| for CReLU."""
        first, *others = self.by_column(h)
        for column in others:
            first = first.abs() + column.abs()
        return first

    def incoming(self, values: Mapping[str, "Tensor"]) -> "Tensor":
        """mean |value| over the weights that lead into each unit: [units].

        Args:
            values: of its parameters' entries by their names, such as the weights themselves or their gradients.
        """
        kinds = [kind for kind, one in self.parameters.items() if one.is_weight and one.unit_axis == 0]
        first, *others = (values[kind].abs().flatten(1) for kind in kinds)
        if others:
            from torch import cat

            first = cat([first, *others], dim=1)
        return first.mean(dim=1)

    def outgoing(self, weights: Any) -> Any:
        """A view of the weights that its units lead to: [outputs, columns, units, entries].

        Args:
            weights: the next layer's weights, or its own parameter that leads out of its units: an array or a
                tensor [outputs, features, …].
        """
        return weights.reshape(weights.shape[0], self.columns, self.units, -1)


@dataclass(frozen=True)
class Place:
    """A parameter, and where in the network it is: what regularisers and constraints may need to know about it.

    Attributes:
        parameter: its shape, how it starts, and how it belongs to units.
        kind: its name in its layer, such as "weights".
        layer: the position of its layer, from 0.
        is_output: whether that is the output layer.
        inputs: number of inputs of a unit: the entries of a row of a matrix of weights; for a parameter with a
            number for each unit, those of its layer's weights.
    """

    parameter: Parameter
    kind: str
    layer: int
    is_output: bool
    inputs: int


class LayerArrays:
    """The parameters of one layer, in training.

    Args:
        parameters: tensors by name.
    """

    def __init__(self, parameters: Mapping[str, "Tensor"]):
        self.parameters = parameters

    @property
    def weight(self) -> "Tensor":
        """Its weights: [units, inputs], or [channels, channels of its inputs, height, width]."""
        return self.parameters["weights"]

    @property
    def bias(self) -> "Tensor":
        """Its biases: [units]."""
        return self.parameters["biases"]


def places(layers: Sequence[Layer]) -> dict[str, Place]:
    """The parameters of all layers, and where each is, by the names of their arrays, such as "weights.0"."""
    return {
        f"{kind}.{number}": Place(
            parameter, kind, number, number + 1 == len(layers), _inputs(layer, parameter)
        )
        for number, layer in enumerate(layers)
        for kind, parameter in layer.parameters.items()
    }


def _inputs(layer: Layer, parameter: Parameter) -> int:
    rows = [parameter] if parameter.is_weight else [one for one in layer.parameters.values() if one.is_weight]
    return prod(rows[0].shape[1:]) if rows else 1


def of_layer(layers: Sequence[Layer], number: int, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of one layer's parameters by their own names, such as "weights".

    Args:
        layers: the network's layers.
        number: position of the layer.
        arrays: those of the network, by the names of `places`.
    """
    return {kind: arrays[f"{kind}.{number}"] for kind in layers[number].parameters}


def propagate(
    layers: Sequence[Layer], parameters: Mapping[str, "Tensor"], inputs: "Tensor", linear: Linear
) -> list[Passed]:
    """What each layer of a network computes from the network's inputs; the outputs are the last one's.

    Args:
        layers: the network's layers.
        parameters: by the names of `places`.
        inputs: float32, [inputs], or a batch [batch size, inputs].
        linear: as in `Layer.forward`.
    """
    passed: list[Passed] = []
    for number, layer in enumerate(layers):
        passed.append(layer.forward(of_layer(layers, number, parameters), inputs, linear))
        inputs = passed[-1].outputs
    return passed
