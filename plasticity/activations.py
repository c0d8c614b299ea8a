"""Activations of the hidden units."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from plasticity.part import Part, number

if TYPE_CHECKING:
    from torch import Tensor

LEAKY_RELU_SLOPE = 0.01
"""Slope of leaky ReLU below 0, PyTorch's default."""


class Activation(Part):
    """A hidden unit's activation h as a function of its pre-activation z, and the scale of its initial weights.

    Attributes:
        gain: initial weights are drawn from U(−b, b) with b = gain · √(3 / fan_in) (Kaiming-uniform).
        replacement_gain: the gain for the incoming weights of a replaced unit; None for the same gain.
        columns: number of values that a unit outputs, each of which has a column in the next layer's weights.
        reaches_zero: whether a unit is silent, its h exactly 0, over a range of z.
    """

    gain: ClassVar[float] = 1.0
    replacement_gain: ClassVar[float | None] = None
    columns: ClassVar[int] = 1
    reaches_zero: ClassVar[bool] = False

    def __call__(self, z: "Tensor") -> "Tensor":
        """h, elementwise, for a tensor of any shape [..., units]; with several columns [..., columns · units]."""
        raise NotImplementedError

    def initial_bound(self, fan_in: int) -> float:
        """Bound b of the U(−b, b) from which the initial weights of units with `fan_in` inputs are drawn."""
        return self.gain * sqrt(3.0 / fan_in)

    def replacement_bound(self, fan_in: int) -> float:
        """The same for the incoming weights of a replaced unit."""
        gain = self.gain if self.replacement_gain is None else self.replacement_gain
        return gain * sqrt(3.0 / fan_in)


class ReLU(Activation, name="relu"):
    """max(z, 0)."""

    gain = sqrt(2.0)
    reaches_zero = True

    def __call__(self, z: "Tensor") -> "Tensor":
        return z.relu()


class SELU(Activation, name="selu"):
    """λ z for z > 0, λ α (eᶻ − 1) below (Klambauer et al. 2017). Replaced units use LeCun's gain, 1."""

    gain = 3.0 / 4.0
    replacement_gain = 1.0

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch import selu

        return selu(z)


class Tanh(Activation, name="tanh"):
    """tanh z."""

    gain = 5.0 / 3.0

    def __call__(self, z: "Tensor") -> "Tensor":
        return z.tanh()


class Sigmoid(Activation, name="sigmoid"):
    """1 / (1 + e⁻ᶻ)."""

    gain = 1.0

    def __call__(self, z: "Tensor") -> "Tensor":
        return z.sigmoid()


class LeakyReLU(Activation, name="leaky_relu"):
    """z for z > 0, 0.01 z below."""

    gain = sqrt(2.0 / (1.0 + LEAKY_RELU_SLOPE**2))

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch.nn.functional import leaky_relu

        return leaky_relu(z, LEAKY_RELU_SLOPE)


class ELU(Activation, name="elu"):
    """z for z > 0, eᶻ − 1 below (Clevert et al. 2016). PyTorch defines no gain for it: ReLU's is used."""

    gain = sqrt(2.0)

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch.nn.functional import elu

        return elu(z)


class Swish(Activation, name="swish"):
    """z · sigmoid(z) (Ramachandran et al. 2017), with ReLU's gain."""

    gain = sqrt(2.0)

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch.nn.functional import silu

        return silu(z)


class GELU(Activation, name="gelu"):
    """z · Φ(z), Φ the normal distribution function (Hendrycks and Gimpel 2016), with ReLU's gain."""

    gain = sqrt(2.0)

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch.nn.functional import gelu

        return gelu(z)


class CReLU(Activation, name="crelu"):
    """max(z, 0) of all units, then max(−z, 0) of all units (Shang et al. 2016).

    A unit has two outgoing columns; its |h| is |z|, and its utility the sum of those of both. Since half of the 2n
    inputs of the next layer are 0, ReLU's gain keeps the scale of activations, as it does for ReLU.
    """

    gain = sqrt(2.0)
    columns = 2

    def __call__(self, z: "Tensor") -> "Tensor":
        from torch import cat

        return cat([z.relu(), (-z).relu()], dim=-1)


@dataclass(frozen=True, kw_only=True)
class SmoothLeaky(Activation, name="smooth_leaky"):
    """a z + (1 − a) z · sigmoid(c z / p), with the gain of a leaky ReLU of slope 0.1.

    Attributes:
        slope: a, the slope far below 0.
        sharpness: c, how quickly the slope changes around 0.
        scale: p, the range of z over which it changes.
    """

    gain = sqrt(2.0 / (1.0 + 0.1**2))

    slope: float = number(0.1, at_least=0, at_most=1)
    sharpness: float = number(5.0, above=0)
    scale: float = number(3.0, above=0)

    def __call__(self, z: "Tensor") -> "Tensor":
        return self.slope * z + (1 - self.slope) * z * (self.sharpness * z / self.scale).sigmoid()
