"""Convolutional layers, with or without pooling. Their units are channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plasticity.networks.layer import Layer, Linear, Passed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Convolution(Layer):
    """A convolution with biases, then the activation, then maximum pooling, as in Dohare et al. 2024.

    A unit is a channel, and its positions are those after pooling. A value of the unit is taken at each position of
    each example, and the mean over them counts wherever the mean over a batch does.

    Attributes:
        image: channels, height and width of its inputs.
        size: height and width of the convolution's output, before pooling.
        stride: of the convolution, in both directions.
        padding: number of zeros on each side, in both directions.
        pool: height, width and stride of the pooling windows; 1 for none.
    """

    image: tuple[int, int, int]
    size: tuple[int, int]
    stride: int
    padding: int
    pool: int

    def forward(self, parameters: Mapping[str, "Tensor"], inputs: "Tensor", linear: Linear) -> Passed:
        from torch.nn.functional import conv2d, max_pool2d

        assert self.activation is not None
        images = inputs.unflatten(-1, self.image)  # type: ignore[no-untyped-call]
        maps = conv2d(images, parameters["weights"], parameters["biases"], self.stride, self.padding)
        z = maps.flatten(-3)
        h = self.activation(z)
        if self.pool > 1:
            h = max_pool2d(h.unflatten(-1, (-1, *self.size)), self.pool).flatten(-3)  # type: ignore[no-untyped-call]
        return Passed(z, h, h)

    @property
    def work(self) -> int:
        return self.weights * self.size[0] * self.size[1]
