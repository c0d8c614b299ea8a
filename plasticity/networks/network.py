"""A network between two steps: what a run has learnt, in plain arrays that every engine accepts and returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plasticity.networks.layer import Parameter
from plasticity.run import Run
from plasticity.streams import Purpose, uniform

KINDS = ("weights", "biases", "gains", "offsets")
"""The names of the parameters of this package's layers. In files, those of others have a prefix."""

PREFIX = "parameter."

INITIAL = "initial."
"""The prefix of what is remembered of parameters that were reset: the values that they then started from."""

Draw = Callable[[float, int, Purpose, tuple[int, ...], int], np.ndarray]
"""Draws uniformly, as `plasticity.streams.uniform` does."""


@dataclass
class Network:
    """The parameters of each layer, and what the parts of a run remember in addition.

    Layers are numbered from 1 in configs and columns; list positions and the numbers in arrays' names start at 0:
    "weights.0" leads from the inputs to hidden layer 1.

    Attributes:
        parameters: float32 arrays by name and layer, such as "weights.0", [units, inputs of the layer] in a fully
            connected one, and "biases.0", [units].
        memory: further arrays, such as "utility.0" for what replacement remembers of hidden layer 1, and
            "weights.momentum.0" for what an optimiser remembers of its weights.
    """

    parameters: dict[str, np.ndarray]
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        shapes = [f"{name} {list(array.shape)}" for name, array in self.parameters.items()]
        memory = [f"{len(self.memory)} arrays of memory"] if self.memory else []
        return f"Network({', '.join(shapes + memory)})"

    @classmethod
    def of(
        cls,
        weights: Sequence[np.ndarray],
        biases: Sequence[np.ndarray],
        memory: Mapping[str, np.ndarray] | None = None,
    ) -> "Network":
        """A network of fully connected layers.

        Args:
            weights: [units, inputs] of each layer, the output layer last.
            biases: [units] of each layer.
            memory: what is remembered.
        """
        parameters: dict[str, np.ndarray] = {}
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            parameters |= {f"weights.{number}": weight, f"biases.{number}": bias}
        return cls(parameters, dict(memory or {}))

    @property
    def weights(self) -> list[np.ndarray]:
        """The weights of each layer, the output layer last."""
        return self._of_layers("weights")

    @property
    def biases(self) -> list[np.ndarray]:
        """The biases of each layer, the output layer last."""
        return self._of_layers("biases")

    def _of_layers(self, kind: str) -> list[np.ndarray]:
        return [array for name, array in self.parameters.items() if name.rpartition(".")[0] == kind]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by a flat name, as checkpoints store them; `from_arrays` is the inverse."""
        named = {name if _is_known(name) else PREFIX + name: array for name, array in self.parameters.items()}
        if shadowed := named.keys() & self.memory.keys():
            raise ValueError(f"{min(shadowed)} is a parameter: what is remembered needs another name")
        return named | self.memory

    @classmethod
    def from_arrays(cls, named: Mapping[str, np.ndarray]) -> "Network":
        """The network whose `arrays` these are."""
        network = cls({})
        for name in sorted(named, key=_layer):
            own = _is_known(name) or name.startswith(PREFIX)
            (network.parameters if own else network.memory)[name.removeprefix(PREFIX)] = named[name]
        return network

    def is_finite(self) -> bool:
        """Whether all parameters are finite; if not, the run diverges in its next step."""
        return all(bool(np.isfinite(array).all()) for array in self.parameters.values())

    @property
    def was_reset(self) -> bool:
        """Whether its parameters have been reset, so that their initial values are not those of the run's start."""
        return any(name.startswith(INITIAL) for name in self.memory)

    def remembered(self, name: str) -> list[np.ndarray]:
        """What replacement remembers of every hidden layer by a name, such as "age"."""
        found = {key: array for key, array in self.memory.items() if key.rpartition(".")[0] == name}
        return [found[key] for key in sorted(found, key=_layer)]


def _is_known(name: str) -> bool:
    return name.rpartition(".")[0] in KINDS


def _layer(name: str) -> int:
    """The position of an array's layer, by the end of its name."""
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else -1


def initial_network(run: Run) -> Network:
    """The network before the first step; its layers say how their parameters start."""
    return Network(initial_parameters(run), initial_memory(run))


def initial_parameters(
    run: Run, purpose: Purpose = Purpose.INITIAL_WEIGHTS, task: int = 0, draw: Draw = uniform
) -> dict[str, np.ndarray]:
    """The parameters of a new network: those that a run starts from, or others that are drawn in the same way.

    Args:
        run: the run.
        purpose: the stream that they are drawn from, at the positions of the layer, and of the parameter in it.
        task: the third coordinate in that stream.
        draw: what draws.
    """
    return {
        f"{kind}.{number}": initial_values(parameter, run.seed, purpose, (number, place, task), draw)
        for number, layer in enumerate(run.layers)
        for place, (kind, parameter) in enumerate(layer.parameters.items())
    }


def initial_memory(run: Run) -> dict[str, np.ndarray]:
    """What replacement remembers of each hidden layer at the start."""
    return {
        f"{name}.{number}": array
        for number, layer in enumerate(run.layers[:-1])
        for name, array in run.replacement.memory_of(layer).items()
    }


def initial_values(
    parameter: Parameter, seed: int, purpose: Purpose, position: tuple[int, ...], draw: Draw = uniform
) -> np.ndarray:
    """The initial values of a parameter.

    Args:
        parameter: the parameter.
        seed: the run's seed.
        purpose: the stream that they are drawn from, unless they are constant.
        position: in that stream.
        draw: what draws.
    """
    if parameter.bound is None:
        return np.full(parameter.shape, parameter.start, np.float32)
    return draw(parameter.bound, seed, purpose, position, parameter.size).reshape(parameter.shape)


def origin(run: Run, network: Network) -> dict[str, np.ndarray]:
    """The values that a network's parameters started from: at the start of the run, or when all were reset."""
    if not network.was_reset:
        return initial_parameters(run)
    return {name: network.memory[f"{INITIAL}{name}"] for name in network.parameters}
