"""A network between two steps: what a run has learnt, in plain arrays that every engine accepts and returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plasticity.networks.layer import Parameter
from plasticity.run import Run
from plasticity.streams import Purpose, uniform

KINDS = ("weights", "biases", "gains", "offsets")
"""The names of the parameters of this package's layers. In files, those of others have a prefix."""

PREFIX = "parameter."


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
    network = Network({})
    for number, layer in enumerate(run.layers):
        for place, (kind, parameter) in enumerate(layer.parameters.items()):
            network.parameters[f"{kind}.{number}"] = initial_values(parameter, run.seed, (number, place))
        if number + 1 < len(run.layers):
            remembered = run.replacement.memory_of(layer)
            network.memory |= {f"{name}.{number}": array for name, array in remembered.items()}
    return network


def initial_values(parameter: Parameter, seed: int, position: tuple[int, ...]) -> np.ndarray:
    """The initial values of a parameter.

    Args:
        parameter: the parameter.
        seed: the run's seed.
        position: in the stream of initial weights: the positions of the layer, and of the parameter in it.
    """
    if parameter.bound is None:
        return np.full(parameter.shape, parameter.start, np.float32)
    draws = uniform(parameter.bound, seed, Purpose.INITIAL_WEIGHTS, position, parameter.size)
    return draws.reshape(parameter.shape)
