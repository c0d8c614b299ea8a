"""A second account of one step, in NumPy and double precision, with every derivative written out by hand.

It shares nothing with the package but the streams of draws, which are part of what a run is.
"""

from dataclasses import dataclass
from math import erf, floor, pi, sqrt

import numpy as np

from plasticity.config import (
    ActivationConfig,
    ModelConfig,
    OptimiserConfig,
    RegulariserConfig,
    ReplacementConfig,
    RunConfig,
)
from plasticity.datasets.task import Task
from plasticity.network import State
from plasticity.streams import Purpose, uniform, unit_interval


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def normal_share(z: np.ndarray) -> np.ndarray:
    """Φ, the share of a standard normal below z."""
    return np.array([(1 + erf(value / sqrt(2))) / 2 for value in z])


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

VALUE = {
    "relu": lambda z: np.where(z > 0, z, 0),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * (np.exp(z) - 1)),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "swish": lambda z: z * sigmoid(z),
    "gelu": lambda z: z * normal_share(z),
}

SLOPE = {
    "relu": lambda z: np.where(z > 0, 1.0, 0.0),
    "selu": lambda z: SELU_SCALE * np.where(z > 0, 1, SELU_ALPHA * np.exp(z)),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: sigmoid(z) * (1 - sigmoid(z)),
    "leaky_relu": lambda z: np.where(z > 0, 1.0, 0.01),
    "elu": lambda z: np.where(z > 0, 1, np.exp(z)),
    "swish": lambda z: sigmoid(z) + z * sigmoid(z) * (1 - sigmoid(z)),
    "gelu": lambda z: normal_share(z) + z * np.exp(-(z**2) / 2) / sqrt(2 * pi),
}

REPLACEMENT_GAIN = {
    "relu": sqrt(2), "selu": 1.0, "tanh": 5 / 3, "sigmoid": 1.0,
    "leaky_relu": sqrt(2 / 1.0001), "elu": sqrt(2), "swish": sqrt(2), "gelu": sqrt(2),
}  # fmt: skip


@dataclass
class Step:
    """What happened in one step: loss and prediction before the update, chosen units per hidden layer."""

    loss: float
    right: bool
    chosen: list[list[int]]


class Oracle:
    """A network that takes one step after another. Lists by layer, weights [units, inputs]."""

    def __init__(self, config: RunConfig, state: State):
        self.config = config
        self.weights = [weight.astype(np.float64) for weight in state.weights]
        self.biases = [bias.astype(np.float64) for bias in state.biases]
        self.utility = [utility.astype(np.float64) for utility in state.utility]
        self.mean_activation = [mean.astype(np.float64) for mean in state.mean_activation]
        self.age = [age.copy() for age in state.age]
        self.debt = [float(debt) for debt in state.debt]

    @property
    def magnitude(self) -> np.ndarray:
        """Σ|w| of each layer."""
        return np.array([np.abs(weight).sum() for weight in self.weights])

    def forward(self, example: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """z and h of every layer; the outputs are the last z."""
        sums, values = [], []
        h = example.astype(np.float64)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            sums.append(weight @ h + bias)
            h = VALUE[self.config.activation.name](sums[-1])
            values.append(h)
        return sums, values[:-1]

    def step(self, example: np.ndarray, target: np.ndarray, step: int) -> Step:
        sums, hidden = self.forward(example)
        loss, error = self._loss(sums[-1], target)
        right = self.config.dataset.loss == "cross_entropy" and int(np.argmax(sums[-1])) == int(target)
        self._descend(example.astype(np.float64), sums, hidden, error)
        for layer, h in enumerate(hidden):
            self._remember(layer, h)
        chosen = [self._choose(layer, step) for layer in range(len(hidden))]
        for layer, units in enumerate(chosen):
            for unit in units:
                self._replace(layer, unit, step)
        return Step(loss, right, chosen)

    def _loss(self, outputs: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss and its derivative by the outputs."""
        if self.config.dataset.loss == "squared_error":
            difference = outputs - target
            return float(np.mean(difference**2)), 2 * difference / len(outputs)
        share = np.exp(outputs - outputs.max())
        share /= share.sum()
        return float(-np.log(share[target])), share - np.eye(len(outputs))[target]

    def _descend(self, example: np.ndarray, sums: list, hidden: list, error: np.ndarray) -> None:
        step_size, decay = self.config.optimiser.step_size, self.config.regulariser.strength
        inputs = [example, *hidden]
        for layer in reversed(range(len(self.weights))):
            weight, bias = self.weights[layer], self.biases[layer]
            if layer > 0:
                below = (weight.T @ error) * SLOPE[self.config.activation.name](sums[layer - 1])
            self.weights[layer] = weight - step_size * (np.outer(error, inputs[layer]) + decay * weight)
            self.biases[layer] = bias - step_size * (error + decay * bias)
            error = below

    def _remember(self, layer: int, h: np.ndarray) -> None:
        eta = self.config.replacement.decay_rate
        self.age[layer] = self.age[layer] + 1
        self.mean_activation[layer] = eta * self.mean_activation[layer] + (1 - eta) * h
        start = 1 - eta ** self.age[layer].astype(np.float64)
        y = self._usefulness(layer, h, h - self.mean_activation[layer] / start)
        self.utility[layer] = eta * self.utility[layer] + (1 - eta) * y

    def _usefulness(self, layer: int, h: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """The y of the table of utilities."""
        w_out = np.abs(self.weights[layer + 1]).sum(axis=0) / len(self.weights[layer + 1])
        w_in = np.abs(self.weights[layer]).sum(axis=1) / self.weights[layer].shape[1]
        match self.config.replacement.utility:
            case "contribution":
                return np.abs(h) * w_out
            case "zero_contribution":
                return np.abs(deviation) * w_out
            case "adaptable_contribution":
                return np.abs(deviation) * w_out / w_in
            case "adaptation":
                return 1 / w_in
            case "weight":
                return w_out
            case "feature_by_input":
                return np.abs(deviation) / w_in
            case "random":
                return np.zeros_like(h)
        raise AssertionError(self.config.replacement.utility)

    def _choose(self, layer: int, step: int) -> list[int]:
        replacement = self.config.replacement
        rate = replacement.rate if layer + 1 in replacement.layers else 0.0
        eligible = [unit for unit, age in enumerate(self.age[layer]) if age > replacement.maturity_threshold]
        self.debt[layer] += rate * len(eligible)
        n = floor(self.debt[layer])
        self.debt[layer] -= n
        usefulness = self.utility[layer] / (1 - replacement.decay_rate ** self.age[layer].astype(np.float64))
        if replacement.utility == "random":
            usefulness = unit_interval(
                self.config.seed, Purpose.RANDOM_UTILITY, (layer, step), len(usefulness)
            )
        return sorted(eligible, key=lambda unit: (usefulness[unit], unit))[:n]

    def _replace(self, layer: int, unit: int, step: int) -> None:
        replacement, fan_in = self.config.replacement, self.weights[layer].shape[1]
        if replacement.bias_compensation:
            start = 1 - replacement.decay_rate ** float(self.age[layer][unit])
            mean = self.mean_activation[layer][unit] / start
            self.biases[layer + 1] += mean * self.weights[layer + 1][:, unit]
        bound = REPLACEMENT_GAIN[self.config.activation.name] * sqrt(3 / fan_in)
        position = (layer, unit, step)
        self.weights[layer][unit] = uniform(bound, self.config.seed, Purpose.REPLACEMENT, position, fan_in)
        self.biases[layer][unit] = 0
        self.weights[layer + 1][:, unit] = 0
        self.utility[layer][unit] = self.mean_activation[layer][unit] = self.age[layer][unit] = 0


def assert_agrees(state: State, oracle: Oracle, tolerance: float = 1e-5) -> None:
    """A learner's state equals the oracle's up to single precision; ages and debts exactly."""
    for kind in ("weights", "biases", "utility", "mean_activation"):
        for layer, (found, expected) in enumerate(
            zip(getattr(state, kind), getattr(oracle, kind), strict=True)
        ):
            assert found.dtype == np.float32
            message = f"{kind} of layer {layer + 1}"
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=message)
    for found, expected in zip(state.age, oracle.age, strict=True):
        assert found.tolist() == expected.tolist()
    assert state.debt.tolist() == oracle.debt


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A dataset's config of any shape, for networks of a few units."""

    inputs: int = 3
    outputs: int = 2
    loss: str = "cross_entropy"
    name: str = "examples"
    tasks: int = 3
    examples_per_task: int = 10


def small_config(
    inputs: int = 3, width: int = 2, depth: int = 1, outputs: int = 2,
    activation: str = "relu", loss: str = "cross_entropy", step_size: float = 0.1,
    weight_decay: float = 0.0, seed: int = 0, layers: tuple[int, ...] | None = None, **replacement: object,
) -> RunConfig:  # fmt: skip
    """A run of a small network; all layers are replaced where `layers` does not say otherwise."""
    regulariser = {"name": "l2", "strength": weight_decay} if weight_decay else {}
    every = tuple(range(1, depth + 1))
    return RunConfig(
        model=ModelConfig(width=width, depth=depth),
        activation=ActivationConfig(name=activation),
        replacement=ReplacementConfig(layers=every if layers is None else layers, **replacement),
        regulariser=RegulariserConfig(**regulariser),
        dataset=Examples(inputs=inputs, outputs=outputs, loss=loss),
        optimiser=OptimiserConfig(step_size=step_size),
        seed=seed,
    )


def random_task(config: RunConfig, examples: int, number: int = 0) -> Task:
    """A task of random examples, about a third of whose inputs are 0, in a random order of its rows."""
    dataset, draw = config.dataset, np.random.default_rng(number)
    rows = draw.uniform(-1, 1, (examples + 2, dataset.inputs)) * (draw.random(dataset.inputs) > 0.3)
    if dataset.loss == "cross_entropy":
        targets = draw.integers(0, dataset.outputs, examples + 2).astype(np.int32)
    else:
        targets = draw.normal(size=(examples + 2, dataset.outputs)).astype(np.float32)
    order = draw.permutation(examples + 2)[:examples].astype(np.int32)
    return Task(number, number * examples, rows.astype(np.float32), targets, order)
