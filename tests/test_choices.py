"""Methods that choose units, beside continual backpropagation: each against its definition, in double precision."""

from dataclasses import dataclass, field, replace
from math import floor, log2, sqrt

import numpy as np
import pytest
from oracle import as_tensors, random_task, shown, small_run

from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.network import Network, initial_network
from plasticity.replacement import (
    ContinualPartialResets,
    RandomReplacement,
    ReDo,
    ReGraMa,
    Replacement,
    SelfNormalisedResets,
)
from plasticity.run import Run
from plasticity.streams import Purpose, uniform, unit_interval

WIDTHS, STEP_SIZE, DECAY = (8, 7), 0.1, 0.05
METHODS: dict[str, Replacement] = {
    "redo": ReDo(interval=20, threshold=0.3),
    "redo_at_0": ReDo(interval=4, threshold=0.0),
    "regrama": ReGraMa(interval=20, threshold=0.3),
    "regrama_at_0": ReGraMa(interval=4, threshold=0.0),
    "snr": SelfNormalisedResets(quantile=0.8, update_tasks=2, least=2, most=40),
    "cpr": ContinualPartialResets(interval=10, strength=0.3),
    "random": RandomReplacement(rates=[0.03, 0.05]),
}


def run_with(method: Replacement, batch_size: int = 1, **others) -> Run:
    """A run of a small network with weight decay, which no method may take for a part of the loss."""
    given = {"inputs": 5, "widths": WIDTHS, "outputs": 4, "step_size": STEP_SIZE, "weight_decay": DECAY}
    return replace(small_run(**given | others, batch_size=batch_size), replacement=method)


# --- The definitions -------------------------------------------------------------------------------------


@dataclass
class Definition:
    """A method as it is defined, one layer at a time; the numbers that it remembers start from nothing.

    Attributes:
        run: the run.
        steps: number of steps that were taken.
        sums: of the magnitudes of each layer's units since the last check.
        utility: u of each layer's units.
        silence: of each unit of each layer; likewise `thresholds` and `completed`, the lengths of silences.
        debts: of each layer.
    """

    run: Run
    steps: int = 0
    sums: list = field(default_factory=lambda: [np.zeros(units) for units in WIDTHS])
    utility: list = field(default_factory=lambda: [np.ones(units) for units in WIDTHS])
    silence: list = field(default_factory=lambda: [[0] * units for units in WIDTHS])
    completed: list = field(default_factory=lambda: [[[] for _ in range(units)] for units in WIDTHS])
    thresholds: list = field(default_factory=list)
    debts: list = field(default_factory=lambda: [0.0, 0.0])

    def step(self, hidden: list, gradients: list) -> list[list[tuple[int, float | None]]]:
        """The units chosen after a step in each layer, with the share by which they are moved, if only in part.

        Args:
            hidden: h of each layer, [samples, units].
            gradients: of the loss with respect to each layer's weights, [units, inputs].
        """
        self.steps += 1
        method, rule = self.run.replacement, getattr(self, f"_{self.run.replacement.name}")
        magnitudes = [np.abs(gradient).mean(axis=1) for gradient in gradients]
        return [
            rule(layer, hidden[layer], magnitudes[layer]) if layer + 1 in method.layers else []
            for layer in range(len(hidden))
        ]

    def _redo(self, layer, h, gradient):
        return self._dormant(layer, np.abs(h).mean(axis=0), 1e-9)

    def _regrama(self, layer, h, gradient):
        return self._dormant(layer, gradient, 1e-8)

    def _dormant(self, layer, magnitude, floor):
        method = self.run.replacement
        self.sums[layer] = self.sums[layer] + magnitude
        if self.steps % method.interval:
            return []
        mean = self.sums[layer] / method.interval
        self.sums[layer] = 0 * mean
        share = mean / (sum(mean) / len(mean) + floor)
        return [(unit, None) for unit, one in enumerate(share) if one <= method.threshold]

    def _cpr(self, layer, h, gradient):
        method = self.run.replacement
        self.utility[layer] = 0.99 * self.utility[layer] + 0.01 * gradient / (gradient.mean() + 1e-8)
        if self.steps % method.interval:
            return []
        shares = method.strength * np.minimum(1, 2 / (1 + np.exp(16 * (self.utility[layer] - 1))))
        self.utility[layer] = np.ones_like(shares)
        return list(enumerate(shares))

    def _random(self, layer, h, gradient):
        rates, units, seed = self.run.replacement.rates, WIDTHS[layer], self.run.seed
        self.debts[layer] += (rates[layer] if isinstance(rates, tuple) else rates) * units
        number = floor(self.debts[layer])
        self.debts[layer] -= number
        draws = unit_interval(seed, Purpose.RANDOM_UTILITY, (layer, self.steps - 1), units)
        return [(unit, None) for unit in sorted(range(units), key=lambda unit: draws[unit])[:number]]

    def _snr(self, layer, h, gradient):
        method, chosen = self.run.replacement, []
        if not self.thresholds:
            self.thresholds = [[method.most / 2] * units for units in WIDTHS]
        for unit, active in enumerate((h > 0).any(axis=0)):
            if active and self.silence[layer][unit]:
                self.completed[layer][unit].append(self.silence[layer][unit])
            self.silence[layer][unit] = 0 if active else self.silence[layer][unit] + 1
            if self.silence[layer][unit] >= self.thresholds[layer][unit]:
                self.completed[layer][unit].append(self.silence[layer][unit])
                self.silence[layer][unit] = 0
                chosen.append((unit, None))
        if self.steps % (method.update_tasks * self.run.dataset.steps_per_task) == 0:
            for unit, lengths in enumerate(self.completed[layer]):
                before, quantile = self.thresholds[layer][unit], smallest(lengths, method.quantile)
                after = quantile if quantile < before else 2 * before
                self.thresholds[layer][unit] = min(max(after, method.least), method.most)
                lengths.clear()
        return chosen


def smallest(lengths: list[int], quantile: float) -> int:
    """q of some silences, whose lengths above 64 are told apart to a 32nd of an octave."""
    if not lengths:
        return 1
    enough = [a for a in sorted(lengths) if sum(one <= a for one in lengths) / len(lengths) >= quantile]
    return enough[0] if enough[0] <= 64 else max(n for n in range(65, 4_096) if place(n) == place(enough[0]))


def place(length: int) -> int:
    """The 32nd of an octave above 64 that a length is rounded to; the k-th ends at 64 · 2^(k / 32)."""
    return floor(32 * log2((length - 0.5) / 64))


def descended(run: Run, network: Network, example: np.ndarray, target: np.ndarray):
    """Weights and biases after a step of descent; h of the hidden layers; gradients of the loss by layer."""
    weights, biases = ([array.astype(float) for array in of] for of in (network.weights, network.biases))
    passed = [np.atleast_2d(example).astype(float)]
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = passed[-1] @ weight.T + bias
        passed.append(np.maximum(z, 0) if layer < len(WIDTHS) else z)
    share = np.exp(passed[-1] - passed[-1].max(axis=1, keepdims=True))
    error = share / share.sum(axis=1, keepdims=True) - np.eye(share.shape[1])[np.atleast_1d(target)]
    gradients = []
    for layer in reversed(range(len(weights))):
        of_weights, of_biases = error.T @ passed[layer] / len(error), error.mean(axis=0)
        gradients.insert(0, of_weights)
        error = (error @ weights[layer]) * (passed[layer] > 0)
        weights[layer] -= STEP_SIZE * (of_weights + DECAY * weights[layer])
        biases[layer] -= STEP_SIZE * (of_biases + DECAY * biases[layer])
    return weights, biases, passed[1:-1], gradients[:-1]


def apply(run: Run, weights: list, biases: list, chosen: list, step: int) -> None:
    """Replaces or moves the chosen units, first layer first."""
    for layer, units in enumerate(chosen):
        for unit, share in units:
            fan_in = weights[layer].shape[1]
            bound, position = sqrt(6 / fan_in), (layer, unit, step)
            fresh = uniform(bound, run.seed, Purpose.REPLACEMENT, position, fan_in).astype(float)
            kept = 0.0 if share is None else 1 - share
            weights[layer][unit] = kept * weights[layer][unit] + (1 - kept) * fresh
            weights[layer + 1][:, unit] *= kept
            if share is None:
                biases[layer][unit] = 0.0


def follow(run: Run, steps: int, start: Network | None = None) -> list[list[int]]:
    """Takes steps, each compared with its definition; the number of units chosen after each, by layer."""
    learner, definition = ReferenceLearner(run, start or initial_network(run)), Definition(run)
    task, counts = random_task(run, steps * run.dataset.batch_size), []
    for step in range(steps):
        example, target = shown(run, task, step)
        weights, biases, hidden, gradients = descended(run, learner.network(), example, target)
        _, _, replaced = learner.step(*as_tensors(example, target), step)
        chosen = definition.step(hidden, gradients)
        assert replaced == [len(units) for units in chosen], f"step {step}"
        apply(run, weights, biases, chosen, step)
        network = learner.network()
        for found, expected in zip([*network.weights, *network.biases], [*weights, *biases], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6, err_msg=f"step {step}")
        if definition.thresholds:
            for layer, thresholds in enumerate(network.remembered("threshold"), start=1):
                if layer in run.replacement.layers:
                    assert thresholds.tolist() == definition.thresholds[layer - 1]
        counts.append(replaced)
    return counts


def mostly_silent(run: Run) -> Network:
    """A start at which all but two units of each layer are silent for long, whatever they are shown."""
    network = initial_network(run)
    for biases, units in zip(network.biases, WIDTHS, strict=False):
        biases[: units - 2] = -5
    return network


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_its_definition(name, batch_size):
    run = run_with(METHODS[name], batch_size, seed=1)
    counts = np.array(follow(run, 200, mostly_silent(run)))
    assert counts.sum() >= 10 and counts.all(axis=1).any(), "both layers have had units replaced in one step"


@pytest.mark.parametrize("name", METHODS)
def test_outside_the_set_of_layers_nothing_is_replaced(name):
    run = run_with(replace(METHODS[name], layers=(2,)), seed=1)
    counts = np.array(follow(run, 200, mostly_silent(run)))
    assert counts[:, 0].sum() == 0 and counts[:, 1].sum() >= 3
