from copy import deepcopy

import numpy as np
import pytest
import torch
from oracle import Oracle, assert_agrees, random_task, small_config

from plasticity.activations import GAINS
from plasticity.config import UTILITIES, RunConfig
from plasticity.datasets.task import SparseRows, Task
from plasticity.engines import reference
from plasticity.engines.engine import TaskResult
from plasticity.engines.reference import ADVANCE_EVERY, ReferenceEngine, ReferenceLearner
from plasticity.errors import Diverged
from plasticity.network import State, initial_state
from plasticity.regulariser import REGULARISERS
from plasticity.replacement import UTILITIES as UTILITY_FUNCTIONS

torch.set_num_threads(1)  # as the engine does: more threads only wait for one another


def ignore(examples: int) -> None:
    """Nobody wants to know how far a task has come."""


def assert_identical(one: State, other: State) -> None:
    """Bit for bit."""
    arrays, others = one.arrays(), other.arrays()
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        assert array.tobytes() == others[name].tobytes(), name


# --- Forward, backward and update ----------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", GAINS)
def test_fifty_steps_equal_the_oracle(activation, loss, weight_decay):
    config = small_config(
        inputs=6, width=5, depth=2, outputs=4, activation=activation, loss=loss, step_size=0.1,
        weight_decay=weight_decay, layers=(), seed=1,
    )  # fmt: skip
    start = initial_state(config)
    learner, oracle = ReferenceLearner(config, start), Oracle(config, start)
    task = random_task(config, 50)
    for step in range(50):
        example, target = task.example(step), task.targets[task.order[step]]
        with torch.no_grad():
            outputs, hidden = learner.forward(torch.from_numpy(example))
        sums, expected_hidden = oracle.forward(example)
        np.testing.assert_allclose(outputs, sums[-1], rtol=1e-4, atol=1e-5)
        for h, expected_h in zip(hidden, expected_hidden, strict=True):
            np.testing.assert_allclose(h, expected_h, rtol=1e-4, atol=1e-5)
        kind = torch.int64 if loss == "cross_entropy" else torch.float32
        found = learner.step(torch.from_numpy(example), torch.tensor(target, dtype=kind), step)
        expected = oracle.step(example, target, step)
        assert found == (pytest.approx(expected.loss, rel=1e-4, abs=1e-5), expected.right, [0, 0])
        assert_agrees(learner.state(), oracle, tolerance=2e-5)
    # The steps moved every layer by far more than the tolerance.
    for weight, first in zip(learner.state().weights, start.weights, strict=True):
        assert np.abs(weight - first).max() > 0.005


@pytest.mark.parametrize(("weight_decay", "exact"), [(0.0, True), (0.01, False)])
def test_update_is_that_of_torch(weight_decay, exact):
    config = small_config(
        inputs=6, width=8, depth=2, outputs=4, step_size=0.05, weight_decay=weight_decay, layers=()
    )
    learner = ReferenceLearner(config, initial_state(config))
    layers = deepcopy(learner.layers)
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, weight_decay=weight_decay)
    task = random_task(config, 50)
    learner.learn(task, ignore)
    for step in range(50):
        example, target = torch.from_numpy(task.example(step)), torch.tensor(task.targets[task.order[step]])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(example), target.long()).backward()
        optimiser.step()
    for found, expected in zip(learner.layers, layers, strict=True):
        for name in ("weight", "bias"):
            ours, theirs = (getattr(layer, name).detach().numpy() for layer in (found, expected))
            # Weight decay rounds once more here than there.
            assert np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_weight_decay_acts_on_biases_too():
    # Nothing to learn: outputs 0 for targets 0. Each step takes 1/2 · 1/4 of every parameter.
    config = small_config(loss="squared_error", step_size=0.5, weight_decay=0.25, layers=())
    start = initial_state(config)
    start.biases[0][:] = [-8, -16]  # no unit is active
    start.weights[1][:] = 1
    learner = ReferenceLearner(config, start)
    learner.learn(
        Task(0, 0, np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32), np.array([0])), ignore
    )
    assert learner.state().biases[0].tolist() == [-7, -14]
    assert learner.state().weights[1].tolist() == [[0.875] * 2] * 2
    assert np.array_equal(learner.state().weights[0], start.weights[0] * np.float32(0.875))


# --- A task and its result -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_result_of_a_task_equals_the_oracle(loss):
    config = small_config(
        inputs=6, width=5, depth=2, outputs=4, activation="tanh", loss=loss, rate=0.05, maturity_threshold=10
    )
    start, task = initial_state(config), random_task(config, 60, number=3)
    result = ReferenceLearner(config, start).learn(task, ignore)
    oracle = Oracle(config, start)
    steps, magnitudes = [], []
    for step in range(60):
        steps.append(oracle.step(task.example(step), task.targets[task.order[step]], 180 + step))
        magnitudes.append(oracle.magnitude)
    assert result.loss == pytest.approx(np.mean([step.loss for step in steps]), rel=1e-4)
    if loss == "cross_entropy":
        assert result.accuracy == sum(step.right for step in steps) / 60
        assert 0 < result.accuracy < 1
    else:
        assert np.isnan(result.accuracy)
    np.testing.assert_allclose(result.weight_magnitude, np.mean(magnitudes, axis=0), rtol=1e-5)
    assert result.weight_magnitude.shape == (3,) and result.weight_magnitude.dtype == np.float64
    replaced = np.sum([[len(units) for units in step.chosen] for step in steps], axis=0)
    assert result.replaced.tolist() == replaced.tolist()
    assert replaced.min() >= 8
    assert result.replaced.dtype == np.int64


def one_example(config: RunConfig, label: int, times: int) -> Task:
    """The same example again and again."""
    rows = np.full((1, config.dataset.inputs), 0.5, np.float32)
    return Task(0, 0, rows, np.array([label], np.int32), np.zeros(times, np.int32))


def of_biases_alone(steps: int) -> TaskResult:
    """Steps of size 1 on an example of class 1, from output biases (1, 0) and weights of 0.

    The first one makes them (1 − p, p), p = e / (1 + e) = 0.73.
    """
    config = small_config(step_size=1.0, layers=())
    start = initial_state(config)
    for weight in start.weights:
        weight[:] = 0
    start.biases[1][:] = [1, 0]
    return ReferenceLearner(config, start).learn(one_example(config, 1, steps), ignore)


def test_accuracy_counts_the_prediction_before_the_update():
    # Wrong once, then right. Counted after the update it would be right all 4 times.
    assert of_biases_alone(4).accuracy == 0.75


def test_loss_is_that_before_the_update():
    p = np.e / (1 + np.e)
    expected = (np.log(1 + np.e) + np.log(1 + np.exp(1 - 2 * p))) / 2
    assert of_biases_alone(2).loss == pytest.approx(expected, rel=1e-6)


def test_weight_magnitude_is_measured_after_each_step_and_its_replacement_without_biases():
    config = small_config(width=4, depth=2, activation="tanh", rate=0.3, maturity_threshold=0)
    task = random_task(config, 12)
    whole = ReferenceLearner(config, initial_state(config))
    result = whole.learn(task, ignore)
    # The same steps one task each, and the states between them.
    stepwise, magnitudes, replaced = (
        ReferenceLearner(config, initial_state(config)),
        [],
        np.zeros(2, np.int64),
    )
    for step in range(12):
        replaced += stepwise.learn(
            Task(0, step, task.rows, task.targets, task.order[step : step + 1]), ignore
        ).replaced
        magnitudes.append([np.abs(w.astype(np.float64)).sum() for w in stepwise.state().weights])
    assert_identical(whole.state(), stepwise.state())
    np.testing.assert_allclose(result.weight_magnitude, np.mean(magnitudes, axis=0), rtol=1e-12)
    assert result.replaced.tolist() == replaced.tolist()
    assert replaced.min() >= 12


def test_sparse_and_dense_rows_and_a_permutation_are_the_same_examples():
    config = small_config(inputs=6, width=4, rate=0.1, maturity_threshold=0)
    dense = random_task(config, 30)
    permutation = np.array([3, 0, 5, 1, 2, 4], np.int32)
    # Column i is shown as input permutation[i]: rows that are taken back by it are shown as they were.
    rows = SparseRows.of(dense.rows[:, permutation])
    permuted = Task(0, 0, rows, dense.targets, dense.order, permutation)
    one, other = (ReferenceLearner(config, initial_state(config)) for _ in range(2))
    assert one.learn(dense, ignore).loss == other.learn(permuted, ignore).loss
    assert_identical(one.state(), other.state())


@pytest.mark.parametrize("examples", [1, ADVANCE_EVERY - 1, ADVANCE_EVERY, 2 * ADVANCE_EVERY + 30])
def test_progress_adds_up_to_the_examples_of_a_task(examples):
    config = small_config()
    signs: list[int] = []
    ReferenceLearner(config, initial_state(config)).learn(random_task(config, examples), signs.append)
    assert sum(signs) == examples
    assert min(signs) >= 1 and max(signs) <= ADVANCE_EVERY


def test_progress_may_end_a_task():
    class Stopped(Exception):
        pass

    def stop(examples: int) -> None:
        raise Stopped

    config = small_config()
    with pytest.raises(Stopped):
        ReferenceLearner(config, initial_state(config)).learn(random_task(config, 300), stop)


# --- Divergence ----------------------------------------------------------------------------------------


def test_divergence_names_task_and_step():
    # After the first step the weights are about 1e30, and the outputs, of three such layers, beyond 3e38.
    config = small_config(depth=2, activation="leaky_relu", loss="squared_error", step_size=1e30, layers=())
    learner = ReferenceLearner(config, initial_state(config))
    with pytest.raises(Diverged) as raised:
        learner.learn(random_task(config, 10, number=4), ignore)
    assert (raised.value.task, raised.value.step) == (4, 1)
    assert str(raised.value) == "diverged in task 4 at step 1: the loss is no longer finite"


def test_divergence_of_a_later_step_names_that_step():
    # Row 1 is too large to add up; with so small a step size the units are still active when it comes.
    config = small_config(loss="squared_error", step_size=1e-3, layers=())
    rows = np.ones((2, 3), np.float32)
    rows[1] = 3e38
    start = initial_state(config)
    start.weights[0][:] = 1
    start.weights[1][:] = 1
    task = Task(2, 20, rows, np.zeros((2, 2), np.float32), np.array([0, 0, 0, 0, 0, 1, 0]))
    with pytest.raises(Diverged) as raised:
        ReferenceLearner(config, start).learn(task, ignore)
    assert (raised.value.task, raised.value.step) == (2, 5)


# --- Going on from a state -----------------------------------------------------------------------------


@pytest.mark.parametrize("utility", ["contribution", "adaptable_contribution", "random"])
def test_resumed_learner_equals_an_uninterrupted_one_bit_for_bit(utility, tmp_path):
    config = small_config(
        inputs=6, width=7, depth=3, outputs=4, activation="selu", step_size=0.02, weight_decay=0.001,
        layers=(1, 3), rate=0.013, maturity_threshold=20, utility=utility, bias_compensation=True, seed=9,
    )  # fmt: skip
    tasks = [random_task(config, 50, number) for number in range(4)]
    uninterrupted = ReferenceLearner(config, initial_state(config))
    expected = [uninterrupted.learn(task, ignore) for task in tasks]
    replaced = np.sum([result.replaced for result in expected], axis=0)
    assert replaced[0] > 3 and replaced[1] == 0 and replaced[2] > 3

    first = ReferenceLearner(config, initial_state(config))
    found = [first.learn(task, ignore) for task in tasks[:2]]
    np.savez(tmp_path / "state.npz", **first.state().arrays())
    with np.load(tmp_path / "state.npz") as stored:
        second = ReferenceLearner(config, State.from_arrays(dict(stored)))
    assert 0 < second.state().debt[0] < 1
    found += [second.learn(task, ignore) for task in tasks[2:]]

    assert_identical(second.state(), uninterrupted.state())
    for result, other in zip(found, expected, strict=True):
        assert (result.accuracy, result.loss) == (other.accuracy, other.loss)
        assert np.array_equal(result.weight_magnitude, other.weight_magnitude)
        assert np.array_equal(result.replaced, other.replaced)


def test_state_is_a_copy():
    config = small_config(rate=0.5, maturity_threshold=0)
    learner = ReferenceLearner(config, initial_state(config))
    learner.learn(random_task(config, 10), ignore)
    kept, copy = learner.state(), deepcopy(learner.state())
    learner.learn(random_task(config, 10, number=1), ignore)
    assert_identical(kept, copy)
    assert any((now != then).any() for now, then in zip(learner.state().weights, kept.weights, strict=True))


# --- Names and constants -------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "selu", "tanh", "sigmoid", "leaky_relu"])
def test_gain_is_that_of_torch(activation):
    assert GAINS[activation] == pytest.approx(torch.nn.init.calculate_gain(activation), rel=1e-15)


def test_every_name_of_the_config_is_computed():
    assert tuple(UTILITY_FUNCTIONS) == UTILITIES
    assert set(reference.ACTIVATIONS) == set(GAINS)
    assert set(reference.LOSSES) == {"cross_entropy", "squared_error"}
    assert set(REGULARISERS) == {"none", "l2"}


# --- The engine ----------------------------------------------------------------------------------------


class FakeRun:
    """A run of some tasks that remembers what it was told."""

    def __init__(self, config: RunConfig, tasks: list[Task], log: list, done: bool = False):
        self.config, self.given, self.log, self.done = config, tasks, log, done
        self.results: list[TaskResult] = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.log.append((self.config.seed, kind))
        return True

    def start(self):
        return None if self.done else initial_state(self.config)

    def tasks(self):
        return iter(self.given)

    def advance(self, examples):
        pass

    def record(self, task, result, learner):
        self.log.append((self.config.seed, task.number))
        self.results.append(result)


def test_engine_computes_runs_in_their_order_and_a_failed_one_harms_no_other():
    log: list = []
    good = [small_config(seed=seed) for seed in (0, 1, 3)]
    bad = small_config(loss="squared_error", activation="leaky_relu", depth=2, step_size=1e30, seed=2)
    tasks = [random_task(good[0], 10, number) for number in range(2)]
    runs = [
        FakeRun(good[0], tasks, log),
        FakeRun(good[1], tasks, log, done=True),
        FakeRun(bad, [random_task(bad, 10)], log),
        FakeRun(good[2], tasks, log),
    ]
    ReferenceEngine(threads=2).compute(runs)
    assert log == [(0, 0), (0, 1), (0, None), (1, None), (2, Diverged), (3, 0), (3, 1), (3, None)]
    alone = ReferenceLearner(good[2], initial_state(good[2]))
    assert [result.loss for result in runs[3].results] == [alone.learn(task, ignore).loss for task in tasks]
