"""What a diagnostic may look at: a network between two tasks, and one of the tasks."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from plasticity.diagnostics.gradients import errors_and_inputs
from plasticity.diagnostics.ranks import gram_matrix, singular_values

if TYPE_CHECKING:
    from plasticity.datasets import Task
    from plasticity.engines import Learner
    from plasticity.networks.network import Network
    from plasticity.run import Run

Value = TypeVar("Value", int, float)


class HiddenLayer:
    """A hidden layer on some examples. What several measures need is computed once.

    Attributes:
        activations: h, float32, [examples, units].
    """

    def __init__(self, activations: np.ndarray):
        self.activations = activations

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
        self._gradients: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}

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
        return self.task.targets[self.task.order[:examples]]

    def hidden_layers(self, examples: int = 1_000) -> list[HiddenLayer]:
        """The hidden layers on the first examples of the task, or all of a shorter one."""
        if examples not in self._layers:
            activations = self.learner.activations(self.task, examples)
            self._layers[examples] = [HiddenLayer(h) for h in activations]
        return self._layers[examples]

    def pre_activations(self, examples: int = 1_000) -> list[np.ndarray]:
        """z of each hidden layer on the same examples: float32, [examples, units]."""
        layers = [layer.activations for layer in self.hidden_layers(examples)]
        parameters = zip(self.network.weights, self.network.biases, strict=True)
        below = [self.inputs(examples), *layers[:-1]]
        return [h @ weight.T + bias for h, (weight, bias) in zip(below, parameters, strict=False)]

    def errors_and_inputs(self, examples: int = 1_000) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The errors and the inputs of every layer on the same examples, the output layer last.

        See `plasticity.diagnostics.errors_and_inputs`.
        """
        if examples not in self._gradients:
            self._gradients[examples] = errors_and_inputs(
                self.network.weights,
                self.network.biases,
                self.inputs(examples),
                self.targets(examples),
                self.run.activation,
                self.run.dataset.objective.loss,
            )
        return self._gradients[examples]


def by_layer(name: str, values: Sequence[Value]) -> dict[str, Value]:
    """Columns of a measure, one for each hidden layer: "name.layer_1", ….

    Args:
        name: of the measure.
        values: of each hidden layer.
    """
    return {f"{name}.layer_{number}": value for number, value in enumerate(values, start=1)}


def by_layer_and_output(name: str, values: Sequence[Value]) -> dict[str, Value]:
    """The same, but the last value is that of the output layer: "name.output"."""
    return by_layer(name, values[:-1]) | {f"{name}.output": values[-1]}


@lru_cache(maxsize=2)
def _initial(run: "Run") -> "Network":
    from plasticity.networks.network import initial_network

    return initial_network(run)
