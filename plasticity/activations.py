"""What a network needs to know of its activation before the first step: the gain its weights start with.

The functions themselves belong to the engines, which share no arithmetic.
"""

from math import sqrt

LEAKY_RELU_SLOPE = 0.01
"""Slope of leaky ReLU below 0, PyTorch's default."""

GAINS = {
    "relu": sqrt(2.0),
    "selu": 3.0 / 4.0,
    "tanh": 5.0 / 3.0,
    "sigmoid": 1.0,
    "leaky_relu": sqrt(2.0 / (1.0 + LEAKY_RELU_SLOPE**2)),
    "elu": sqrt(2.0),
    "swish": sqrt(2.0),
    "gelu": sqrt(2.0),
}
"""Gain by activation, as `torch.nn.init.calculate_gain`; ELU, swish and GELU, which it lacks, take ReLU's."""


def initial_bound(activation: str | None, fan_in: int) -> float:
    """Bound b of the U(−b, b) that weights start from: gain · √(3 / fan_in) (Kaiming-uniform).

    Args:
        activation: the activation behind the layer, or None for the output layer, whose gain is 1.
        fan_in: number of inputs of the layer.
    """
    gain = 1.0 if activation is None else GAINS[activation]
    return gain * sqrt(3.0 / fan_in)


def replacement_bound(activation: str, fan_in: int) -> float:
    """Bound of the U(−b, b) that a replaced unit's incoming weights come from.

    As at initialisation, but for SELU, which takes LeCun's √(3 / fan_in).
    """
    return sqrt(3.0 / fan_in) if activation == "selu" else initial_bound(activation, fan_in)
