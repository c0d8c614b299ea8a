"""A second implementation of a step, in NumPy and double precision, with every derivative written out by hand.

It shares nothing with the package but the streams of draws, which are part of the definition of a run.
"""

from dataclasses import dataclass
from math import erf, floor, pi, sqrt
from typing import Any

import numpy as np
import torch

from plasticity.datasets import Dataset, Task
from plasticity.networks.mlp import Mlp
from plasticity.networks.network import Network
from plasticity.objectives import CrossEntropy, Objective
from plasticity.optimisers import SGD
from plasticity.part import integer, part
from plasticity.regularisers import L2, NoRegulariser
from plasticity.replacement import ContinualBackpropagation
from plasticity.run import Run
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
    "smooth_leaky": lambda z: 0.1 * z + 0.9 * z * sigmoid(5 * z / 3),
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
    "smooth_leaky": lambda z: 0.1 + 0.9 * sigmoid(5 * z / 3) * (1 + 5 * z / 3 * (1 - sigmoid(5 * z / 3))),
}

REPLACEMENT_GAIN = {
    "relu": sqrt(2), "selu": 1.0, "tanh": 5 / 3, "sigmoid": 1.0,
    "leaky_relu": sqrt(2 / 1.0001), "elu": sqrt(2), "swish": sqrt(2), "gelu": sqrt(2),
    "smooth_leaky": sqrt(2 / 1.01),
}  # fmt: skip


@dataclass
class Step:
    """What happened in one step: loss and sum of scores before the update, chosen units per hidden layer."""

    loss: float
    score: float
    chosen: list[list[int]]


class Oracle:
    """A network that takes one step after another. Lists by layer, weights [units, inputs]."""

    def __init__(self, run: Run, network: Network):
        self.run = run
        self.decay = 0.0 if run.regulariser.name == "none" else run.regulariser.strength
        self.weights = [weight.astype(np.float64) for weight in network.weights]
        self.biases = [bias.astype(np.float64) for bias in network.biases]
        self.utility = [utility.astype(np.float64) for utility in network.remembered("utility")]
        self.mean_activation = [mean.astype(np.float64) for mean in network.remembered("mean_activation")]
        self.age = [age.copy() for age in network.remembered("age")]
        self.debt = [float(debt) for debt in network.remembered("debt")]

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
            h = VALUE[self.run.activation.name](sums[-1])
            values.append(h)
        return sums, values[:-1]

    def step(self, example: np.ndarray, target: np.ndarray, step: int) -> Step:
        """One step on an example, or on a batch, whose examples are processed one by one."""
        batch = [(example, target)] if example.ndim == 1 else list(zip(example, target, strict=True))
        losses, scores, gradients, hidden = [], [], [], []
        for one, wanted in batch:
            sums, h = self.forward(one)
            loss, score, error = self._judge(sums[-1], wanted)
            losses.append(loss)
            scores.append(score)
            gradients.append(self._gradient(one.astype(np.float64), sums, h, error))
            hidden.append(self._observed(sums, h))
        self._descend(gradients)
        layers = range(len(self.weights) - 1)
        for layer in layers:
            self._remember(layer, [h[layer] for h in hidden])
        chosen = [self._choose(layer, step) for layer in layers]
        for layer, units in enumerate(chosen):
            for unit in units:
                self._replace(layer, unit, step)
        return Step(sum(losses) / len(batch), sum(scores), chosen)

    def loss(self, example: np.ndarray, target: np.ndarray) -> float:
        """The mean loss of an example or a batch, without learning from it."""
        batch = [(example, target)] if example.ndim == 1 else zip(example, target, strict=True)
        return float(np.mean([self._judge(self.forward(one)[0][-1], wanted)[0] for one, wanted in batch]))

    def _judge(self, outputs: np.ndarray, target: np.ndarray) -> tuple[float, float, np.ndarray]:
        """The loss, the score, and the derivative of the loss with respect to the outputs."""
        if self.run.dataset.objective.name == "squared_error":
            difference = outputs - target
            error = float(np.mean(difference**2))
            return error, error, 2 * difference / len(outputs)
        share = np.exp(outputs - outputs.max())
        share /= share.sum()
        right = float(int(np.argmax(outputs)) == int(target))
        return float(-np.log(share[target])), right, share - np.eye(len(outputs))[target]

    def _gradient(self, example: np.ndarray, sums: list, hidden: list, error: np.ndarray) -> list:
        """The derivatives of one example's loss with respect to the weights and the biases of each layer."""
        inputs, gradient = [example, *hidden], []
        for layer in reversed(range(len(self.weights))):
            gradient.insert(0, (np.outer(error, inputs[layer]), error))
            if layer > 0:
                error = (self.weights[layer].T @ error) * SLOPE[self.run.activation.name](sums[layer - 1])
        return gradient

    def _observed(self, sums: list, hidden: list) -> list[np.ndarray]:
        """What the layers observe as their activations."""
        if self.run.replacement.observed == "hidden":
            return hidden
        listed = [values for pair in zip(sums, hidden, strict=False) for values in pair]  # z₁, h₁, z₂, h₂, …
        return listed[: len(hidden)]

    def _descend(self, gradients: list) -> None:
        """Descends along the mean of the examples' gradients."""
        step_size = self.run.optimiser.step_size
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            of_weights = sum(gradient[layer][0] for gradient in gradients) / len(gradients)
            of_biases = sum(gradient[layer][1] for gradient in gradients) / len(gradients)
            self.weights[layer] = weight - step_size * (of_weights + self.decay * weight)
            self.biases[layer] = bias - step_size * (of_biases + self.decay * bias)

    def _remember(self, layer: int, activations: list[np.ndarray]) -> None:
        """Means over the examples of a step, which ages a unit and decays its running means only once."""
        eta, size = self.run.replacement.decay_rate, len(activations)
        self.age[layer] = self.age[layer] + 1
        mean = sum(activations) / size
        self.mean_activation[layer] = eta * self.mean_activation[layer] + (1 - eta) * mean
        f = self.mean_activation[layer] / (1 - eta ** self.age[layer].astype(np.float64))
        y = sum(self._usefulness(layer, h, h - f) for h in activations) / size
        self.utility[layer] = eta * self.utility[layer] + (1 - eta) * y

    def _usefulness(self, layer: int, h: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """The y of each unit, as in the table of utilities."""
        w_out = np.abs(self.weights[layer + 1]).sum(axis=0) / len(self.weights[layer + 1])
        w_in = np.abs(self.weights[layer]).sum(axis=1) / self.weights[layer].shape[1]
        match self.run.replacement.utility.name:
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
        raise AssertionError(self.run.replacement.utility)

    def _choose(self, layer: int, step: int) -> list[int]:
        replacement = self.run.replacement
        rate = replacement.rate if layer + 1 in replacement.layers else 0.0
        eligible = [unit for unit, age in enumerate(self.age[layer]) if age > replacement.maturity_threshold]
        if replacement.accrual == "debt":
            self.debt[layer] += rate * len(eligible)
            n = floor(self.debt[layer])
            self.debt[layer] -= n
        else:
            m = rate * len(eligible)
            draws = unit_interval(self.run.seed, Purpose.CHANCE, (step,), len(self.debt))
            n = floor(m) if m >= 1 else 1 if draws[layer] < m else 0
        usefulness = self.utility[layer] / (1 - replacement.decay_rate ** self.age[layer].astype(np.float64))
        if replacement.utility.name == "random":
            usefulness = unit_interval(self.run.seed, Purpose.RANDOM_UTILITY, (layer, step), len(usefulness))
        return sorted(eligible, key=lambda unit: (usefulness[unit], unit))[:n]

    def _replace(self, layer: int, unit: int, step: int) -> None:
        replacement, fan_in = self.run.replacement, self.weights[layer].shape[1]
        if replacement.bias_compensation:
            start = 1 - replacement.decay_rate ** float(self.age[layer][unit])
            mean = self.mean_activation[layer][unit] / start
            self.biases[layer + 1] += mean * self.weights[layer + 1][:, unit]
        bound = REPLACEMENT_GAIN[self.run.activation.name] * sqrt(3 / fan_in)
        position = (layer, unit, step)
        self.weights[layer][unit] = uniform(bound, self.run.seed, Purpose.REPLACEMENT, position, fan_in)
        self.biases[layer][unit] = 0
        self.weights[layer + 1][:, unit] = 0
        self.utility[layer][unit] = self.mean_activation[layer][unit] = self.age[layer][unit] = 0


def assert_near(found: Any, expected: Any, rtol: float, atol: float = 0.0, err_msg: str = "") -> None:
    """As NumPy's `assert_allclose`, which takes ten times as long where nothing is wrong."""
    found, expected = np.asarray(found), np.asarray(expected)
    with np.errstate(invalid="ignore"):  # ∞ - ∞
        is_near = np.abs(found - expected) <= atol + rtol * np.abs(expected)
    if found.shape != expected.shape or not is_near.all():
        np.testing.assert_allclose(found, expected, rtol, atol, err_msg=err_msg)


def assert_agrees(network: Network, oracle: Oracle, tolerance: float = 1e-5) -> None:
    """A learner's network equals the oracle's up to single precision; ages and debts exactly."""
    found_by_kind = {
        "weights": network.weights, "biases": network.biases, "utility": network.remembered("utility"),
        "mean_activation": network.remembered("mean_activation"),
    }  # fmt: skip
    for kind, arrays in found_by_kind.items():
        for layer, (found, expected) in enumerate(zip(arrays, getattr(oracle, kind), strict=True)):
            assert found.dtype == np.float32
            message = f"{kind} of layer {layer + 1}"
            assert_near(found, expected, rtol=tolerance, atol=tolerance, err_msg=message)
    for found, expected in zip(network.remembered("age"), oracle.age, strict=True):
        assert found.tolist() == expected.tolist()
    assert all(debt.shape == () and debt.dtype == np.float64 for debt in network.remembered("debt"))
    assert [float(debt) for debt in network.remembered("debt")] == oracle.debt


@dataclass(frozen=True, kw_only=True)
class Examples(Dataset):
    """A dataset of any shape, for networks of a few units."""

    inputs: int = integer(3, at_least=1)
    outputs: int = integer(2, at_least=1)
    loss: Objective = part(Objective, CrossEntropy())
    tasks: int = integer(3, at_least=1)
    examples_per_task: int = integer(10, at_least=1)

    @property
    def objective(self) -> Objective:
        return self.loss


@dataclass(frozen=True, kw_only=True)
class Pictures(Examples):
    """The same as pictures, of two channels and a height of one unless their number is that of 2 × 6 × 5 values."""

    inputs: int = integer(60, at_least=1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, 6, 5) if self.inputs == 60 else (2, 1, self.inputs // 2)


def small_run(
    inputs: int = 3, width: int = 2, depth: int = 1, outputs: int = 2,
    activation: str = "relu", loss: str = "cross_entropy", step_size: float = 0.1,
    weight_decay: float = 0.0, seed: int = 0, layers: tuple[int, ...] | None = None,
    widths: tuple[int, ...] | None = None, batch_size: int = 1, normalisation: str = "none", **replacement: Any,
) -> Run:  # fmt: skip
    """A run of a small network; all layers are replaced unless `layers` says otherwise."""
    return Run(
        model=Mlp(
            **({"widths": widths} if widths else {"width": width, "depth": depth}),
            normalisation=normalisation,
        ),
        activation=activation,
        replacement=ContinualBackpropagation(layers="all" if layers is None else layers, **replacement),
        regulariser=L2(strength=weight_decay) if weight_decay else NoRegulariser(),
        dataset=Examples(
            inputs=inputs, outputs=outputs, loss=loss, batch_size=batch_size,
            examples_per_task=10 * batch_size,
        ),
        optimiser=SGD(step_size=step_size),
        seed=seed,
    )  # fmt: skip


def random_task(run: Run, examples: int, number: int = 0) -> Task:
    """A task of random examples, about a third of whose inputs are 0, in a random order of its rows."""
    dataset, draw = run.dataset, np.random.default_rng(number)
    rows = draw.uniform(-1, 1, (examples + 2, dataset.inputs)) * (draw.random(dataset.inputs) > 0.3)
    if isinstance(dataset.objective, CrossEntropy):
        targets = draw.integers(0, dataset.outputs, examples + 2).astype(np.int32)
    else:
        targets = draw.normal(size=(examples + 2, dataset.outputs)).astype(np.float32)
    order = draw.permutation(examples + 2)[:examples].astype(np.int32)
    return Task(number, number * examples // dataset.batch_size, rows.astype(np.float32), targets, order)


def shown(run: Run, task: Task, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The example of a step and its target; or the batch, with one more dimension."""
    size = run.dataset.batch_size
    if size == 1:
        return task.example(step), task.targets[task.order[step]]
    positions = range(step * size, step * size + size)
    return (
        np.stack([task.example(position) for position in positions]),
        task.targets[task.order[positions.start : positions.stop]],
    )


def as_tensors(example: np.ndarray, target: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """An example and its target as a reference learner's step takes them."""
    kind = torch.int64 if np.asarray(target).dtype.kind == "i" else torch.float32
    return torch.from_numpy(example), torch.tensor(target, dtype=kind)
