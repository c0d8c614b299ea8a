"""A network between two steps: what a run has learnt, in plain arrays that every engine accepts and returns."""

from dataclasses import dataclass, field

import numpy as np

from plasticity.run import Run
from plasticity.streams import Purpose, uniform


@dataclass
class Network:
    """Weights and biases, and what the parts of a run remember in addition.

    Layers are numbered from 1 in configs and columns; list positions start at 0: `weights[0]` leads from the
    inputs to hidden layer 1.

    Attributes:
        weights: depth + 1 arrays, float32, [units, inputs of the layer].
        biases: depth + 1 arrays, float32, [units].
        memory: further arrays by name, such as "utility.0" for what replacement remembers of hidden layer 1, and
            "weights.momentum.0" for what an optimiser remembers of its weights.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by a flat name, as checkpoints store them; `from_arrays` is the inverse."""
        named = {f"weights.{layer}": array for layer, array in enumerate(self.weights)}
        named |= {f"biases.{layer}": array for layer, array in enumerate(self.biases)}
        if shadowed := named.keys() & self.memory.keys():
            raise ValueError(f"{min(shadowed)} is a parameter: what is remembered needs another name")
        return named | self.memory

    @classmethod
    def from_arrays(cls, named: dict[str, np.ndarray]) -> "Network":
        """The network whose `arrays` these are."""
        rest = dict(named)

        def series(kind: str) -> list[np.ndarray]:
            number = sum(f"{kind}.{layer}" in named for layer in range(len(named)))
            return [rest.pop(f"{kind}.{layer}") for layer in range(number)]

        return cls(weights=series("weights"), biases=series("biases"), memory=rest)

    def is_finite(self) -> bool:
        """Whether all weights and biases are finite; if not, the run diverges in its next step."""
        return all(bool(np.isfinite(array).all()) for array in [*self.weights, *self.biases])

    def remembered(self, name: str) -> list[np.ndarray]:
        """What replacement remembers of every hidden layer by a name, such as "age"."""
        return [self.memory[f"{name}.{layer}"] for layer in range(len(self.weights) - 1)]


def initial_network(run: Run) -> Network:
    """The network before the first step; `Model.initial` says how its parameters start."""
    sizes = run.layer_sizes
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    memory: dict[str, np.ndarray] = {}
    for layer, (fan_in, units) in enumerate(zip(sizes, sizes[1:], strict=False)):
        is_output = layer + 2 == len(sizes)
        bound = run.model.initial_bound(run.activation, fan_in, is_output)
        draws = uniform(bound, run.seed, Purpose.INITIAL_WEIGHTS, (layer,), units * fan_in)
        weights.append(draws.reshape(units, fan_in))
        if run.model.initial == "uniform":
            biases.append(uniform(bound, run.seed, Purpose.INITIAL_WEIGHTS, (layer, 1), units))
        else:
            biases.append(np.zeros(units, np.float32))
        if not is_output:
            remembered = run.replacement.initial_memory(units)
            memory |= {f"{name}.{layer}": array for name, array in remembered.items()}
    return Network(weights=weights, biases=biases, memory=memory)
