"""What a diagnostic may look at: a network between two tasks, and one of the tasks."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from plasticity.diagnostics.gradients import Factors, gradient_factors
from plasticity.diagnostics.ranks import gram_matrix, singular_values
from plasticity.networks.layer import propagate

if TYPE_CHECKING:
    from plasticity.datasets import Task
    from plasticity.engines import Learner
    from plasticity.networks.layer import Layer
    from plasticity.networks.network import Network
    from plasticity.run import Run

Value = TypeVar("Value", int, float)


class HiddenLayer:
    """A hidden layer on some examples. What several measures need is computed once.

    Args:
        layer: the layer.
        h: what its units gave: float32, [examples, columns · units · positions].

    Attributes:
        activations: h of each unit, its mean over positions (so that a channel of a convolution has one value for
            each example); the sum of |h| over columns, where there are several: float32, [examples, units].
        magnitudes: the same of |h|.
    """

    def __init__(self, layer: "Layer", h: np.ndarray):
        by_unit = h.reshape(len(h), layer.columns, layer.units, layer.positions)
        self.activations = _of_units(by_unit if layer.columns == 1 else np.abs(by_unit))
        self.magnitudes = np.abs(self.activations) if layer.positions == 1 else _of_units(np.abs(by_unit))

    @cached_property
    def gram(self) -> np.ndarray:
        """The `gram_matrix` of the activations: float64, [units, units]."""
        return gram_matrix(self.activations)

    @cached_property
    def singular_values(self) -> np.ndarray:
        """The `singular_values` of the activations, largest first: float64, [min(examples, units)]."""
        examples, units = self.activations.shape
        return singular_values(self.activations, self.gram if units <= examples else None)


class View:
    """What a diagnostic may look at, but must not change.

    Args:
        run: the run.
        learner: the run's network, between two tasks.
        task: the task that it is about to learn, or has just learnt.
    """

    def __init__(self, run: "Run", learner: "Learner", task: "Task"):
        self.run, self.learner, self.task = run, learner, task
        self._layers: dict[int, list[HiddenLayer]] = {}
        self._gradients: dict[int, list[Factors | None]] = {}

    @cached_property
    def network(self) -> "Network":
        """A copy of the network."""
        return self.learner.network()

    @property
    def initial(self) -> "Network":
        """The network before the run's first step."""
        return _initial(self.run)

    def inputs(self, examples: int = 1_000) -> np.ndarray:
        """The first examples of the task, or all of a shorter one: float32, [examples, inputs]."""
        return self.task.inputs(examples)

    def targets(self, examples: int = 1_000) -> np.ndarray:
        """The classes of these examples, [examples], or the values to predict, [examples, outputs]."""
        targets: np.ndarray = self.task.targets[self.task.order[:examples]]
        return targets

    def hidden_layers(self, examples: int = 1_000) -> list[HiddenLayer]:
        """The hidden layers on the first examples of the task, or all of a shorter one."""
        if examples not in self._layers:
            activations = self.learner.activations(self.task, examples)
            pairs = zip(self.run.layers, activations, strict=False)
            self._layers[examples] = [HiddenLayer(layer, h) for layer, h in pairs]
        return self._layers[examples]

    def pre_activations(self, examples: int = 1_000) -> list[np.ndarray]:
        """z of each hidden layer on the same examples: float32, [examples, units] or, for a convolution, with a row
        for each position of each."""
        import torch
        from torch.nn.functional import linear

        parameters = {name: torch.from_numpy(array) for name, array in self.network.parameters.items()}
        *hidden, _ = propagate(self.run.layers, parameters, torch.from_numpy(self.inputs(examples)), linear)
        return [
            layer.samples(passed.z).numpy() for layer, passed in zip(self.run.layers, hidden, strict=False)
        ]

    def gradient_factors(self, examples: int = 1_000) -> list[Factors | None]:
        """The errors and the inputs of every layer on the same examples, the output layer last; None if undefined.

        See `plasticity.diagnostics.gradient_factors`.
        """
        if examples not in self._gradients:
            self._gradients[examples] = gradient_factors(
                self.run.layers,
                self.network.parameters,
                self.inputs(examples),
                self.targets(examples),
                self.run.dataset.objective.loss,
            )
        return self._gradients[examples]

    def errors_and_inputs(self, examples: int = 1_000) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The same as two lists, of the layers for which they are defined."""
        known = [factors for factors in self.gradient_factors(examples) if factors is not None]
        return [errors for errors, _ in known], [inputs for _, inputs in known]


def _of_units(by_unit: np.ndarray) -> np.ndarray:
    """Summed over columns, averaged over positions: [examples, units]."""
    _, columns, _, positions = by_unit.shape
    summed = by_unit[:, 0] if columns == 1 else by_unit.sum(axis=1)
    return summed[..., 0] if positions == 1 else summed.mean(axis=-1)


def by_layer(name: str, values: Sequence[Value | None]) -> dict[str, Value]:
    """Columns of a measure, one for each hidden layer: "name.layer_1", ….

    Args:
        name: of the measure.
        values: of each hidden layer; None where it is not defined, which has no column.
    """
    named = {f"{name}.layer_{number}": value for number, value in enumerate(values, start=1)}
    return {column: value for column, value in named.items() if value is not None}


def by_layer_and_output(name: str, values: Sequence[Value | None]) -> dict[str, Value]:
    """The same, but the last value is that of the output layer: "name.output"."""
    output = {} if values[-1] is None else {f"{name}.output": values[-1]}
    return by_layer(name, values[:-1]) | output


@lru_cache(maxsize=2)
def _initial(run: "Run") -> "Network":
    from plasticity.networks.network import initial_network

    return initial_network(run)
