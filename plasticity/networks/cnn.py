"""Convolutional networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from plasticity.errors import ConfigError
from plasticity.networks.convolution import Convolution
from plasticity.networks.layer import Layer, Parameter
from plasticity.networks.mlp import perceptron
from plasticity.networks.model import Model, whole_numbers
from plasticity.part import checked

if TYPE_CHECKING:
    from plasticity.activations import Activation


def _each(what: str, *default: int, at_least: int = 1) -> Any:
    """A field that holds a number for each convolution."""
    valid = f"a list of {what} of each convolution such as {list(default)}"
    return checked(whole_numbers(valid, at_least=at_least), default)


@dataclass(frozen=True, kw_only=True)
class Cnn(Model, name="cnn"):
    """A convolutional network: convolutions, each with activation and pooling, then a multi-layer perceptron.

    The defaults are the network of Dohare et al. 2024 for Continual ImageNet, whose images are 32 × 32
    (`lop/nets/conv_net.py` in github.com/shibhansh/loss-of-plasticity). It starts as `Mlp` does.

    Attributes:
        channels: channels of each convolution, which are its units.
        kernel: height and width of each convolution's filters. In this list and the next three, a single number
            applies to all convolutions.
        stride: stride of each convolution.
        padding: zeros on each side of each convolution's inputs.
        pool: height and width of the windows of the maximum pooling after each convolution; 1 for none.
        hidden: units of each fully connected hidden layer; empty for none.
    """

    channels: tuple[int, ...] = _each("the channels", 32, 64, 128)
    kernel: tuple[int, ...] = _each("the filters' size", 5, 3, 3)
    stride: tuple[int, ...] = _each("the stride", 1)
    padding: tuple[int, ...] = _each("the zeros on each side", 0, at_least=0)
    pool: tuple[int, ...] = _each("the windows' size", 2)
    hidden: tuple[int, ...] = checked(
        whole_numbers("a list of the units of each hidden layer such as [128,128]", shortest=0), (128, 128)
    )

    def layers(self, inputs: tuple[int, ...], outputs: int, activation: "Activation") -> Sequence[Layer]:
        if len(inputs) != 3:
            raise ConfigError("model", self.name, "mlp for a data set whose inputs are not images")
        layers: list[Layer] = []
        image = (inputs[0], inputs[1], inputs[2])
        for number in range(len(self.channels)):
            layers.append(self._convolution(number, image, activation))
            image = (layers[-1].columns * layers[-1].units, *self._pooled(number, image))
        return layers + perceptron(self, prod(image), self.hidden, outputs, activation)

    def _convolution(self, number: int, image: tuple[int, int, int], activation: "Activation") -> Convolution:
        kernel = self._of("kernel", number)
        fan_in = image[0] * kernel**2
        bound, renewed = self.initial_bound(activation, fan_in), self.replacement_bound(activation, fan_in)
        shape = (self.channels[number], image[0], kernel, kernel)
        return Convolution(
            units=self.channels[number],
            activation=activation,
            parameters={
                "weights": Parameter(shape, bound=bound, renewed=renewed),
                "biases": Parameter(shape[:1], bound=bound if self.initial == "uniform" else None),
            },
            positions=prod(self._pooled(number, image)),
            image=image,
            size=self._convolved(number, image),
            stride=self._of("stride", number),
            padding=self._of("padding", number),
            pool=self._of("pool", number),
        )

    def _convolved(self, number: int, image: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width of a convolution's output, before pooling."""
        kernel, padding = self._of("kernel", number), self._of("padding", number)
        most = min(image[1:]) + 2 * padding
        if kernel > most:
            valid = (
                f"at most {most} in convolution {number + 1}, which receives {image[1]} × {image[2]} values"
            )
            raise ConfigError("model.kernel", kernel, valid)
        height, width = (
            (side + 2 * padding - kernel) // self._of("stride", number) + 1 for side in image[1:]
        )
        return height, width

    def _pooled(self, number: int, image: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width of a convolution's output, after pooling."""
        height, width = self._convolved(number, image)
        pool = self._of("pool", number)
        if pool > min(height, width):
            valid = (
                f"at most {min(height, width)} after convolution {number + 1}, which gives {height} × {width}"
            )
            raise ConfigError("model.pool", pool, f"{valid} values")
        return height // pool, width // pool

    def _of(self, key: str, number: int) -> int:
        """The value of a key for a convolution, counted from 0."""
        values: tuple[int, ...] = getattr(self, key)
        return values[number if len(values) > 1 else 0]

    def remarks(self, run: Any) -> list[str]:
        if not run.dataset.permutes:
            return []
        return [
            f"model={self.name} with dataset={run.dataset.name}: pixels that are neighbours to a convolution are "
            "not so in the image."
        ]

    def canonical(self, run: Any) -> "Cnn":
        for key in ("kernel", "stride", "padding", "pool"):
            values = getattr(self, key)
            if len(values) not in (1, len(self.channels)):
                valid = f"a list of one number, or of {len(self.channels)}, as many as model.channels"
                raise ConfigError(f"model.{key}", list(values), valid)
        same: dict[str, Any] = {
            key: tuple(self._of(key, number) for number in range(len(self.channels)))
            for key in ("kernel", "stride", "padding", "pool")
        }
        return replace(self, **same)
