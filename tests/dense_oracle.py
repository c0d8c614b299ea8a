"""A step of a perceptron with layer normalisation or CReLU, in NumPy and double precision, and what compares with
it."""

from math import sqrt

import numpy as np
import torch

from plasticity import Run
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.network import Network
from plasticity.streams import Purpose, uniform
from tests.oracle import assert_near


def examples(run: Run, steps: int):
    """Random examples, or batches, with classes that depend on them."""
    draw = np.random.default_rng(7)
    size, outputs = run.dataset.batch_size, run.dataset.outputs
    rows = draw.normal(size=(steps, size, run.dataset.inputs)).astype(np.float32)
    return rows, rows[:, :, :outputs].argmax(axis=2)


def take(learner: ReferenceLearner, rows: np.ndarray, classes: np.ndarray, number: int):
    """A step of a learner on an example, or a batch."""
    x, target = torch.from_numpy(rows), torch.from_numpy(classes)
    return learner.step(*((x[0], target[0]) if len(rows) == 1 else (x, target)), number)


def assert_close(network: Network, parameters, memory) -> None:
    found = network.parameters | network.memory
    for name, expected in [*parameters.items(), *memory.items()]:
        assert_near(found[name], expected, rtol=2e-4, atol=3e-6, err_msg=name)


class DenseOracle:
    """A step of a perceptron with layer normalisation, or with CReLU, and CBP, in double precision."""

    def __init__(self, run: Run, network: Network):
        self.run, self.depth = run, len(run.layers)
        self.normalised = run.model.normalisation == "layer_norm"
        self.columns = 2 if run.activation.name == "crelu" else 1
        self.p = {name: array.astype(np.float64) for name, array in network.parameters.items()}
        self.m = {name: array.astype(np.float64) for name, array in network.memory.items()}

    def step(self, x: np.ndarray, classes: np.ndarray, number: int) -> list[int]:
        trace, x = [], x.astype(np.float64)
        for layer in range(self.depth):
            a = x @ self.p[f"weights.{layer}"].T + self.p[f"biases.{layer}"]
            z, deviation, normal = a, None, None
            hidden = layer + 1 < self.depth
            if hidden and self.normalised:
                deviation = np.sqrt(a.var(axis=1, keepdims=True) + 1e-5)
                normal = (a - a.mean(axis=1, keepdims=True)) / deviation
                z = normal * self.p[f"gains.{layer}"] + self.p[f"offsets.{layer}"]
            trace.append((x, deviation, normal, z))
            x = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)][: self.columns], axis=1)
        shares = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        error = (shares - np.eye(z.shape[1])[classes]) / len(z)
        moved = {}
        for layer in reversed(range(self.depth)):
            x, deviation, normal, z = trace[layer]
            if layer + 1 < self.depth:
                halves = np.split(error, self.columns, axis=1)
                error = halves[0] * (z > 0) - (halves[1] * (z < 0) if self.columns == 2 else 0)
                if self.normalised:
                    moved |= {f"gains.{layer}": (error * normal).sum(0), f"offsets.{layer}": error.sum(0)}
                    scaled = error * self.p[f"gains.{layer}"]
                    centred = scaled - scaled.mean(axis=1, keepdims=True)
                    error = (centred - normal * (scaled * normal).mean(axis=1, keepdims=True)) / deviation
            moved |= {f"weights.{layer}": error.T @ x, f"biases.{layer}": error.sum(0)}
            error = error @ self.p[f"weights.{layer}"]
        self.descend(moved, number)
        return self.replace([z for *_, z in trace[:-1]], number)

    def descend(self, gradients: dict[str, np.ndarray], number: int) -> None:
        for name, gradient in gradients.items():
            decay = self.run.regulariser.strength if name.startswith(("weights", "biases")) else 0
            self.p[name] -= self.run.optimiser.step_size * (gradient + decay * self.p[name])

    def forget(self, layer: int, unit: int) -> None:
        """Called for each unit that was made anew."""

    def replace(self, sums: list[np.ndarray], number: int) -> list[int]:
        chosen, method = [], self.run.replacement
        kept = method.decay_rate
        for layer, z in enumerate(sums):
            age, f, u = (self.m[f"{kind}.{layer}"] for kind in ("age", "mean_activation", "utility"))
            age += 1
            y = np.zeros(z.shape[1])
            for column, h in enumerate([np.maximum(z, 0), np.maximum(-z, 0)][: self.columns]):
                mean = f if self.columns == 1 else f[column]
                mean[:] = kept * mean + (1 - kept) * h.mean(0)
                outgoing = np.split(self.p[f"weights.{layer + 1}"], self.columns, axis=1)[column]
                y += np.abs(h).mean(0) * np.abs(outgoing).mean(0)
            u[:] = kept * u + (1 - kept) * y
            eligible = np.flatnonzero(age > method.maturity_threshold)
            debt = self.m[f"debt.{layer}"] + method.rate * len(eligible)
            self.m[f"debt.{layer}"] = np.array(debt % 1)
            chosen.append(sorted(eligible, key=(u / (1 - kept**age)).__getitem__)[: int(debt)])
        for layer, units in enumerate(chosen):
            fan_in = self.p[f"weights.{layer}"].shape[1]
            for unit in units:
                position = (layer, unit, number)
                self.p[f"weights.{layer}"][unit] = uniform(
                    sqrt(6 / fan_in), self.run.seed, Purpose.REPLACEMENT, position, fan_in
                )
                self.p[f"biases.{layer}"][unit] = 0
                for column in range(self.columns):
                    self.p[f"weights.{layer + 1}"][:, column * len(sums[layer][0]) + unit] = 0
                if self.normalised:
                    self.p[f"gains.{layer}"][unit], self.p[f"offsets.{layer}"][unit] = 1, 0
                for kind in ("age", "mean_activation", "utility"):
                    self.m[f"{kind}.{layer}"][..., unit] = 0
                self.forget(layer, unit)
        return [len(units) for units in chosen]
