"""Methods that choose units, beside continual backpropagation: each against its definition, in double precision.

How the compiled engine follows their kinds of update is in `test_compiled`: counts of silences, and gradients,
which move units in part.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import cache
from math import floor, log2, sqrt

import numpy as np
import pytest
import torch
from oracle import Pictures, as_tensors, assert_near, random_task, shown, small_run

from plasticity import ConfigError, Optimiser
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.layer import Passed, propagate
from plasticity.networks.network import Network, initial_network
from plasticity.replacement import (
    ContinualBackpropagation,
    ContinualPartialResets,
    RandomReplacement,
    ReDo,
    ReGraMa,
    Replacement,
    SelfNormalisedResets,
)
from plasticity.run import Run
from plasticity.streams import Purpose, uniform, unit_interval
from plasticity.utilities import Random

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
    lengths = sorted(lengths)
    enough = next(a for a in lengths if bisect_right(lengths, a) / len(lengths) >= quantile)
    return enough if enough <= 64 else longest(place(enough))


@cache
def longest(at: int) -> int:
    """The longest silence that is rounded to a 32nd of an octave."""
    return max(n for n in range(65, 4_096) if place(n) == at)


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
            assert_near(found, expected, rtol=1e-4, atol=2e-6, err_msg=f"step {step}")
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
    counts = np.array(follow(run, 100, mostly_silent(run)))
    assert counts.sum() >= 10 and counts.all(axis=1).any(), "both layers have had units replaced in one step"


@pytest.mark.parametrize("name", METHODS)
def test_outside_the_set_of_layers_nothing_is_replaced(name):
    run = run_with(replace(METHODS[name], layers=(2,)), seed=1)
    counts = np.array(follow(run, 100, mostly_silent(run)))
    assert counts[:, 0].sum() == 0 and counts[:, 1].sum() >= 3


# --- Edges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redo_at_0", "regrama_at_0"])
def test_the_whole_of_a_layer_that_is_all_zero_is_replaced_and_so_is_what_follows_it(name):
    """Units of the second layer lose, and are given again, the weights that lead from units of the first."""
    run = run_with(METHODS[name])
    network = initial_network(run)
    network.biases[0][:] = network.biases[1][:] = -5
    counts = follow(run, 12, network)
    assert counts[3] == list(WIDTHS) and sum(map(sum, counts[:3])) == 0


@pytest.mark.parametrize("seed", [1, 3])
def test_at_threshold_0_the_gradients_choose_as_the_activations_do(seed):
    networks, totals = [], []
    for method in (ReDo(interval=25, threshold=0.0), ReGraMa(interval=25, threshold=0.0)):
        run = run_with(method, seed=seed, weight_decay=0.0)
        learner = ReferenceLearner(run, mostly_silent(run))
        results = [learner.learn(random_task(run, 200, task), ignore) for task in range(2)]
        networks.append(learner.network().parameters)
        totals.append([result.replaced.tolist() for result in results])
    assert totals[0] == totals[1] and np.sum(totals[0]) > 15
    assert all(np.array_equal(array, networks[1][name]) for name, array in networks[0].items())


def ignore(steps: int) -> None:
    """What a learner reports to."""


@pytest.mark.parametrize("batch_size", [1, 3])
def test_thresholds_follow_silences_of_all_lengths(batch_size):
    """Silences from 1 to the threshold, some of which end only by it, in tasks of 100 steps."""
    method = SelfNormalisedResets(quantile=0.9, update_tasks=6, least=3, most=500)
    run = replace(run_with(method, batch_size), dataset=small_run(batch_size=batch_size).dataset)
    run = replace(run, dataset=replace(run.dataset, inputs=5, outputs=4, examples_per_task=100 * batch_size))
    learner, definition = ReferenceLearner(run, initial_network(run)), Definition(run)
    draw, seen, chosen_in_all = np.random.default_rng(5), set(), 0
    often = [1 / np.geomspace(1, 400, units) for units in WIDTHS]  # 1 in how many steps a silence ends
    for step in range(1_900):
        hidden = [
            np.where(draw.random(units) < share, 1.0, 0.0) * np.ones((batch_size, 1))
            for units, share in zip(WIDTHS, often, strict=True)
        ]
        for h in hidden:
            h[1:] = 0  # active in one example is active
        given = [torch.from_numpy(h if batch_size > 1 else h[0]).float() for h in hidden]
        done = learner._done(step, [Passed(h, h, h) for h in given])
        with torch.no_grad():
            units = learner.run.replacement.after_step(learner.memory, done)
            learner._replace(done, units)
        expected = definition.step(hidden, [np.zeros((units, 1)) for units in WIDTHS])
        assert units == [[unit for unit, _ in of_layer] for of_layer in expected], f"step {step}"
        thresholds = [of_layer.tolist() for of_layer in learner.memory["threshold"]]
        assert thresholds == definition.thresholds, f"step {step}"
        seen |= {one for of_layer in thresholds for one in of_layer}
        chosen_in_all += sum(map(len, units))
    # Without a completed silence, or with short ones, the least; with long ones, exact and rounded ones; the most.
    assert (
        {3, 500} < seen and any(3 < one < 64 for one in seen) and len([one for one in seen if one > 64]) > 8
    )
    assert chosen_in_all >= 10


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu", "crelu"])
def test_resets_of_silent_units_are_refused_where_no_unit_is_silent(activation):
    with pytest.raises(ConfigError, match=rf"replacement/method=snr is refused: .* activation={activation}"):
        run_with(METHODS["snr"], activation=activation)


def test_rates_are_one_or_as_many_as_hidden_layers():
    for rates, said in (
        ([0.1], "a list of 2"),
        ([0.1, 2], "from 0 to 1"),
        ("fast", "from 0 to 1"),
        ([], "0 to 1"),
    ):
        with pytest.raises(ConfigError, match=rf"rates=.* is refused: it must be .*{said}"):
            run_with(RandomReplacement(rates=rates))
    one, each, some = (
        run_with(RandomReplacement(rates=rates, layers=layers))
        for rates, layers in ((0.1, "all"), ([0.1, 0.1], "all"), ([0.1, 0.2], "layer_1"))
    )
    assert one == each and some == run_with(RandomReplacement(rates=0.1, layers=(1,)))
    assert run_with(RandomReplacement(rates=[0, 0.1])).replacement.layers == (2,)


@pytest.mark.parametrize("name", METHODS)
def test_without_layers_all_methods_are_one_run(name):
    run = run_with(replace(METHODS[name], layers="none"))
    assert run.identity == run_with(ContinualBackpropagation(layers="none")).identity


def test_the_control_at_one_rate_is_continual_backpropagation_without_a_preference():
    methods = (
        RandomReplacement(rates=0.02),
        ContinualBackpropagation(rate=0.02, maturity_threshold=0, utility=Random()),
    )
    runs = [run_with(method) for method in methods]
    learners = [ReferenceLearner(run, initial_network(run)) for run in runs]
    results = [learner.learn(random_task(runs[0], 100), ignore) for learner in learners]
    assert results[0].replaced.tolist() == results[1].replaced.tolist() == [16, 14]
    ours, theirs = (learner.network().parameters for learner in learners)
    assert all(np.array_equal(array, theirs[name]) for name, array in ours.items())


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimiser):
    """A running sum of gradients."""

    def memory(self, parameter):
        return {"sum": torch.zeros_like(parameter)}

    def step(self, parameter, gradient, memory):
        memory["sum"].mul_(0.9).add_(gradient)
        parameter.sub_(memory["sum"], alpha=0.01)


@pytest.mark.parametrize("name", ["cpr", "redo"])
def test_only_the_weights_of_units_that_are_moved_in_part_change(name):
    """The same step with and without its replacements, with an optimiser that remembers and normalised layers."""
    run = replace(run_with(METHODS[name], normalisation="layer_norm"), optimiser=Momentum())
    steps = run.replacement.interval
    learner, task = ReferenceLearner(run, mostly_silent(run)), random_task(run, steps)
    for step in range(steps - 1):
        assert learner.step(*as_tensors(*shown(run, task, step)), step)[2] == [0, 0]
    never = replace(run, replacement=replace(run.replacement, interval=10_000))
    other = ReferenceLearner(never, learner.network())
    for one in (learner, other):
        *_, replaced = one.step(*as_tensors(*shown(run, task, steps - 1)), steps - 1)
        assert sum(replaced) > 0 if one is learner else replaced == [0, 0]
    after, before = learner.network().arrays(), other.network().arrays()
    changed = {key for key, array in after.items() if not np.array_equal(array, before[key])}
    moved = {f"weights.{layer}" for layer in range(3)}
    if name == "cpr":
        assert changed == moved | {f"{key}.{layer}" for key in ("steps", "excess") for layer in range(2)}
    else:
        assert changed > moved | {"biases.0", "offsets.0", "weights.sum.0", "biases.sum.0", "weights.sum.1"}


# --- The gradient of the incoming weights ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Looking(Replacement):
    """Remembers the gradients that it is shown."""

    looks_at = ("gradients",)

    def initial_memory(self, units):
        return {"seen": np.zeros(units, np.float32)}

    def update(self, memory, step):
        for layer, seen in enumerate(memory["seen"]):
            seen.copy_(step.gradient(layer))
        return []

    def choose(self, memory, step, due):
        return [[] for _ in due] or [[] for _ in step.activations]


@dataclass(frozen=True, kw_only=True)
class Blind(Looking):
    """The same without saying so."""

    looks_at = ()


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    "parts",
    [
        {"model": {"name": "mlp", "widths": [6, 5], "normalisation": "layer_norm"}, "activation": "crelu"},
        {"model": {"name": "cnn", "channels": [3], "kernel": [3], "stride": [1], "padding": [0], "pool": [2],
                   "hidden": [5]}, "activation": "tanh"},
    ],
    ids=["layer_norm", "convolution"],
)  # fmt: skip
def test_the_gradient_is_that_of_the_loss_over_the_incoming_weights(parts, batch_size):
    """By differences of losses, of which the regulariser is no part."""
    run = replace(
        small_run(weight_decay=0.5, batch_size=batch_size),
        **parts, replacement=Looking(),
        dataset=Pictures(outputs=3, batch_size=batch_size, examples_per_task=2 * batch_size),
    )  # fmt: skip
    network = initial_network(run)
    task = random_task(run, batch_size)
    example, target = as_tensors(*shown(run, task, 0))
    learner = ReferenceLearner(run, network)
    learner.step(example, target, 0)
    for layer, seen in enumerate(learner.network().remembered("seen")):
        weights = network.weights[layer].astype(float)
        slopes = np.zeros_like(weights)
        for place in np.ndindex(weights.shape):
            slopes[place] = difference(run, network, f"weights.{layer}", place, example.double(), target)
        expected = np.abs(slopes).reshape(len(slopes), -1).mean(axis=1)
        np.testing.assert_allclose(seen, expected, rtol=2e-4, atol=1e-7)
        assert expected.any()


def difference(run: Run, network: Network, name: str, place: tuple, example, target) -> float:
    """The slope of the loss along one weight, in double precision."""
    losses = []
    for sign in (1, -1):
        arrays = {key: torch.from_numpy(array.astype(float)) for key, array in network.parameters.items()}
        arrays[name][place] += sign * 1e-6
        outputs = propagate(run.layers, arrays, example, torch.nn.functional.linear)[-1].outputs
        losses.append(float(run.dataset.objective.loss(outputs, target)))
    return (losses[0] - losses[1]) / 2e-6


def test_a_method_that_looks_at_gradients_has_to_say_so():
    run = run_with(Blind())
    learner = ReferenceLearner(run, initial_network(run))
    with pytest.raises(TypeError, match="looks_at"):
        learner.step(*as_tensors(*shown(run, random_task(run, 1), 0)), 0)


# --- Learning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_what_was_stored_between_two_tasks_is_resumed_bit_for_bit(name):
    run = run_with(METHODS[name], seed=1)
    tasks = [random_task(run, 33, task) for task in range(4)]
    whole = ReferenceLearner(run, mostly_silent(run))
    for task in tasks:
        whole.learn(task, ignore)
    network, replaced = mostly_silent(run), []
    for task in tasks:  # each in a learner of its own
        learner = ReferenceLearner(run, network)
        replaced.append(learner.learn(task, ignore).replaced)
        network = Network.from_arrays(dict(sorted(learner.network().arrays().items())))
    stored, expected = network.arrays(), whole.network().arrays()
    assert stored.keys() == expected.keys() and np.sum(replaced) >= 10
    assert all(array.tobytes() == stored[key].tobytes() for key, array in expected.items())
