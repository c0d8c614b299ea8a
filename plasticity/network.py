"""The network and how it starts: what a run has learnt, in plain arrays that every engine uses."""

from dataclasses import dataclass

import numpy as np

from plasticity.activations import initial_bound
from plasticity.config import RunConfig
from plasticity.streams import Purpose, uniform


@dataclass
class State:
    """A network and the memory of its replacement, between two steps.

    Layer numbers start at 1 in the config, list positions at 0: `weights[0]` leads from the inputs to hidden
    layer 1, `utility[0]` is hidden layer 1's.

    Attributes:
        weights: depth + 1 arrays, float32, [units, inputs of the layer].
        biases: depth + 1 arrays, float32, [units].
        utility: depth arrays, float32, [width]: the running utility u, not corrected for its start.
        mean_activation: depth arrays, float32, [width]: the running mean activation f, likewise.
        age: depth arrays, int64, [width]: steps since a unit was made.
        debt: float64, [depth]: the part of a unit that each layer still owes.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    utility: list[np.ndarray]
    mean_activation: list[np.ndarray]
    age: list[np.ndarray]
    debt: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by a flat name, as a checkpoint stores them; `from_arrays` is the way back."""
        named = {"debt": self.debt}
        for kind in ("weights", "biases", "utility", "mean_activation", "age"):
            named |= {f"{kind}.{layer}": array for layer, array in enumerate(getattr(self, kind))}
        return named

    @classmethod
    def from_arrays(cls, named: dict[str, np.ndarray]) -> "State":
        """The state that `arrays` named."""

        def series(kind: str) -> list[np.ndarray]:
            return [named[f"{kind}.{layer}"] for layer in range(sum(n.startswith(f"{kind}.") for n in named))]

        return cls(
            weights=series("weights"),
            biases=series("biases"),
            utility=series("utility"),
            mean_activation=series("mean_activation"),
            age=series("age"),
            debt=named["debt"],
        )


def initial_state(config: RunConfig) -> State:
    """The state before the first step: weights Kaiming-uniform with the activation's gain, all else 0."""
    sizes, depth, width = config.layer_sizes, config.model.depth, config.model.width
    weights = []
    for layer, (fan_in, units) in enumerate(zip(sizes, sizes[1:], strict=False)):
        bound = initial_bound(config.activation.name if layer < depth else None, fan_in)
        draws = uniform(bound, config.seed, Purpose.INITIAL_WEIGHTS, (layer,), units * fan_in)
        weights.append(draws.reshape(units, fan_in))
    return State(
        weights=weights,
        biases=[np.zeros(units, np.float32) for units in sizes[1:]],
        utility=[np.zeros(width, np.float32) for _ in range(depth)],
        mean_activation=[np.zeros(width, np.float32) for _ in range(depth)],
        age=[np.zeros(width, np.int64) for _ in range(depth)],
        debt=np.zeros(depth, np.float64),
    )
