"""Fully connected layers, with or without layer normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from plasticity.networks.layer import Layer, Linear, Parameter, Passed

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.activations import Activation

EPSILON = 1e-5
"""What layer normalisation adds to the variance, PyTorch's default."""


@dataclass(frozen=True, kw_only=True)
class Dense(Layer):
    """W x + b, then layer normalisation if it has gains and offsets, then the activation if it has one.

    Layer normalisation (Ba et al. 2016): (a − mean) / √(variance + 1e-5) · gain + offset, over the layer's units,
    with the variance over n, as in skumar9876's `nets/mlp.py`. z is what the activation is applied to.
    """

    factored: ClassVar[bool] = True

    def forward(self, parameters: Mapping[str, "Tensor"], inputs: "Tensor", linear: Linear) -> Passed:
        z = linear(inputs, parameters["weights"], parameters["biases"])
        if "gains" in parameters:
            from torch.nn.functional import layer_norm

            z = layer_norm(z, (self.units,), parameters["gains"], parameters["offsets"], EPSILON)
        h = z if self.activation is None else self.activation(z)
        return Passed(z, h, h)


def dense(
    inputs: int,
    units: int,
    activation: "Activation | None",
    bound: float,
    renewed: float | None = None,
    biases: float | None = None,
    normalised: bool = False,
) -> Dense:
    """A fully connected layer.

    Args:
        inputs: number of inputs.
        units: number of units.
        activation: of its units; None for the output layer.
        bound: b of the U(−b, b) that initial weights are drawn from.
        renewed: the same for the incoming weights of a replaced unit; None for the output layer.
        biases: the same for initial biases; None if they start at 0.
        normalised: whether there is layer normalisation.
    """
    parameters = {
        "weights": Parameter((units, inputs), bound=bound, renewed=renewed),
        "biases": Parameter((units,), bound=biases),
    }
    if normalised:
        parameters["gains"] = Parameter((units,), start=1.0, regularised=False)
        parameters["offsets"] = Parameter((units,), regularised=False)
    return Dense(units=units, activation=activation, parameters=parameters)
