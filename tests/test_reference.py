from copy import deepcopy

import numpy as np
import pytest
import torch
from oracle import (
    REPLACEMENT_GAIN,
    SLOPE,
    VALUE,
    Oracle,
    as_tensors,
    assert_agrees,
    assert_near,
    random_task,
    shown,
    small_run,
)
from updates import sgd_of_torch

from plasticity.activations import Activation
from plasticity.datasets import SparseRows, Task
from plasticity.diagnostics import step_plasticity
from plasticity.engines.engine import TaskResult
from plasticity.engines.reference import ADVANCE_EVERY, ReferenceEngine, ReferenceLearner
from plasticity.errors import Diverged
from plasticity.networks.model import Model
from plasticity.networks.network import Network, initial_network
from plasticity.objectives import Objective
from plasticity.optimisers import Optimiser
from plasticity.part import find, names
from plasticity.regularisers import Regulariser
from plasticity.replacement import Replacement
from plasticity.run import Run
from plasticity.utilities import Utility

torch.set_num_threads(1)  # as the engine does: more threads only wait for one another


def ignore(examples: int) -> None:
    """Progress is not shown."""


def assert_identical(one: Network, other: Network) -> None:
    """Bit for bit."""
    arrays, others = one.arrays(), other.arrays()
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        assert array.tobytes() == others[name].tobytes(), name


# --- Forward, backward and update ----------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", VALUE)
def test_twenty_steps_equal_the_oracle(activation, loss, weight_decay):
    run = small_run(
        inputs=6, width=5, depth=2, outputs=4, activation=activation, loss=loss, step_size=0.1,
        weight_decay=weight_decay, layers=(), seed=1,
    )  # fmt: skip
    start = initial_network(run)
    learner, oracle = ReferenceLearner(run, start), Oracle(run, start)
    task = random_task(run, 20)
    for step in range(20):
        example, target = shown(run, task, step)
        with torch.no_grad():
            *hidden, last = learner.forward(torch.from_numpy(example))
        sums, expected_hidden = oracle.forward(example)
        assert_near(last.outputs, sums[-1], rtol=1e-4, atol=1e-5)
        for passed, expected_h, expected_z in zip(hidden, expected_hidden, sums[:-1], strict=True):
            assert_near(passed.h, expected_h, rtol=1e-4, atol=1e-5)
            assert_near(passed.z, expected_z, rtol=1e-4, atol=1e-5)
        found = learner.step(*as_tensors(example, target), step)
        expected = oracle.step(example, target, step)
        expected_loss = pytest.approx(expected.loss, rel=1e-4, abs=1e-5)
        score = expected.score if loss == "cross_entropy" else expected_loss  # the error is the score
        assert found == (expected_loss, score, [0, 0])
        assert_agrees(learner.network(), oracle, tolerance=2e-5)
    # The steps moved every layer by far more than the tolerance.
    for weight, first in zip(learner.network().weights, start.weights, strict=True):
        assert np.abs(weight - first).max() > 0.005


@pytest.mark.parametrize(("weight_decay", "exact"), [(0.0, True), (0.01, False)])
def test_update_is_that_of_torch(weight_decay, exact):
    run = small_run(
        inputs=6, width=8, depth=2, outputs=4, step_size=0.05, weight_decay=weight_decay, layers=()
    )
    learner = ReferenceLearner(run, initial_network(run))
    layers = [torch.nn.Linear(6, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 4)]
    for layer, weight, bias in zip(layers, learner.network().weights, learner.network().biases, strict=True):
        layer.weight, layer.bias = (torch.nn.Parameter(torch.from_numpy(array)) for array in (weight, bias))
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    step_on = sgd_of_torch(network.parameters(), 0.05, weight_decay)
    task = random_task(run, 50)
    learner.learn(task, ignore)
    for step in range(50):
        example, target = torch.from_numpy(task.example(step)), torch.tensor(task.targets[task.order[step]])
        step_on(torch.nn.functional.cross_entropy(network(example), target.long()))
    for number, layer in enumerate(layers):
        for kind, expected in (("weights", layer.weight), ("biases", layer.bias)):
            ours, theirs = learner.network().parameters[f"{kind}.{number}"], expected.detach().numpy()
            # Weight decay rounds once more here than there.
            assert np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_weight_decay_acts_on_biases_too():
    # Nothing to learn: outputs 0 for targets 0. Each step takes 1/2 · 1/4 of every parameter.
    run = small_run(loss="squared_error", step_size=0.5, weight_decay=0.25, layers=())
    start = initial_network(run)
    start.biases[0][:] = [-8, -16]  # no unit is active
    start.weights[1][:] = 1
    learner = ReferenceLearner(run, start)
    learner.learn(
        Task(0, 0, np.zeros((1, 3), np.float32), np.zeros((1, 2), np.float32), np.array([0])), ignore
    )
    assert learner.network().biases[0].tolist() == [-7, -14]
    assert learner.network().weights[1].tolist() == [[0.875] * 2] * 2
    assert np.array_equal(learner.network().weights[0], start.weights[0] * np.float32(0.875))


# --- A task and its result -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_result_of_a_task_equals_the_oracle(loss, batch_size):
    run = small_run(
        inputs=6, width=5, depth=2, outputs=4, activation="tanh", loss=loss, rate=0.05,
        maturity_threshold=10, batch_size=batch_size,
    )  # fmt: skip
    start, task = initial_network(run), random_task(run, 60 * batch_size, number=3)
    learner, oracle = ReferenceLearner(run, start), Oracle(run, start)
    result = learner.learn(task, ignore, losses=True)
    steps, magnitudes, shares = [], [], []
    for step in range(60):
        examples = shown(run, task, step)
        steps.append(oracle.step(*examples, 180 + step))
        magnitudes.append(oracle.magnitude)
        shares.append(min(max(1 - oracle.loss(*examples) / steps[-1].loss, 0), 1))
    assert result.loss == pytest.approx(np.mean([step.loss for step in steps]), rel=1e-4)
    score = sum(step.score for step in steps) / (60 * batch_size)
    if loss == "cross_entropy":
        assert result.score == score
        assert 0 < result.score < 1
    else:
        assert result.score == pytest.approx(score, rel=1e-4)
        assert result.score == pytest.approx(result.loss, rel=1e-6)
    np.testing.assert_allclose(result.weight_magnitude, np.mean(magnitudes, axis=0), rtol=1e-5)
    assert result.weight_magnitude.shape == (3,) and result.weight_magnitude.dtype == np.float64
    replaced = np.sum([[len(units) for units in step.chosen] for step in steps], axis=0)
    assert result.replaced.tolist() == replaced.tolist()
    assert replaced.min() >= 8
    assert result.replaced.dtype == np.int64
    plasticity = step_plasticity(result.losses.before, result.losses.after)
    assert plasticity == pytest.approx(np.mean(shares), abs=1e-5)
    assert 0 < plasticity < 1 and min(shares) < max(shares)
    # Ages count steps, whatever the number of examples in one.
    ages = learner.network().remembered("age")
    assert [age.tolist() for age in ages] == [age.tolist() for age in oracle.age]
    assert max(age.max() for age in ages) <= 60


def one_example(run: Run, label: int, times: int) -> Task:
    """The same example again and again."""
    rows = np.full((1, run.dataset.inputs), 0.5, np.float32)
    return Task(0, 0, rows, np.array([label], np.int32), np.zeros(times, np.int32))


def of_biases_alone(steps: int) -> TaskResult:
    """Steps of size 1 on an example of class 1, from output biases (1, 0) and weights of 0.

    The first one makes them (1 − p, p), p = e / (1 + e) = 0.73.
    """
    run = small_run(step_size=1.0, layers=())
    start = initial_network(run)
    for weight in start.weights:
        weight[:] = 0
    start.biases[1][:] = [1, 0]
    return ReferenceLearner(run, start).learn(one_example(run, 1, steps), ignore)


def test_accuracy_counts_the_prediction_before_the_update():
    # Wrong once, then right. Counted after the update it would be right all 4 times.
    assert of_biases_alone(4).score == 0.75


def test_accuracy_of_a_batch_counts_the_predictions_before_the_update():
    # Two examples of class 1 in a step: both wrong in the first one, both right in the second.
    run = small_run(step_size=1.0, layers=(), batch_size=2)
    start = initial_network(run)
    for weight in start.weights:
        weight[:] = 0
    start.biases[1][:] = [1, 0]
    result = ReferenceLearner(run, start).learn(one_example(run, 1, 4), ignore)
    assert result.score == 0.5
    p = np.e / (1 + np.e)  # the mean gradient of equal examples is that of one
    assert result.loss == pytest.approx((np.log(1 + np.e) + np.log(1 + np.exp(1 - 2 * p))) / 2, rel=1e-6)


def test_loss_is_that_before_the_update():
    p = np.e / (1 + np.e)
    expected = (np.log(1 + np.e) + np.log(1 + np.exp(1 - 2 * p))) / 2
    assert of_biases_alone(2).loss == pytest.approx(expected, rel=1e-6)


def test_weight_magnitude_is_measured_after_each_step_and_its_replacement_without_biases():
    run = small_run(width=4, depth=2, activation="tanh", rate=0.3, maturity_threshold=0)
    task = random_task(run, 12)
    whole = ReferenceLearner(run, initial_network(run))
    result = whole.learn(task, ignore)
    # The same steps one task each, and the networks between them.
    stepwise, magnitudes, replaced = (
        ReferenceLearner(run, initial_network(run)),
        [],
        np.zeros(2, np.int64),
    )
    for step in range(12):
        replaced += stepwise.learn(
            Task(0, step, task.rows, task.targets, task.order[step : step + 1]), ignore
        ).replaced
        magnitudes.append([np.abs(w.astype(np.float64)).sum() for w in stepwise.network().weights])
    assert_identical(whole.network(), stepwise.network())
    np.testing.assert_allclose(result.weight_magnitude, np.mean(magnitudes, axis=0), rtol=1e-12)
    assert result.replaced.tolist() == replaced.tolist()
    assert replaced.min() >= 12


def test_sparse_and_dense_rows_and_a_permutation_are_the_same_examples():
    run = small_run(inputs=6, width=4, rate=0.1, maturity_threshold=0)
    dense = random_task(run, 30)
    permutation = np.array([3, 0, 5, 1, 2, 4], np.int32)
    # Column i is shown as input permutation[i]: rows that are taken back by it are shown as they were.
    rows = SparseRows.of(dense.rows[:, permutation])
    permuted = Task(0, 0, rows, dense.targets, dense.order, permutation)
    one, other = (ReferenceLearner(run, initial_network(run)) for _ in range(2))
    assert one.learn(dense, ignore).loss == other.learn(permuted, ignore).loss
    assert_identical(one.network(), other.network())


@pytest.mark.parametrize("examples", [1, ADVANCE_EVERY - 1, ADVANCE_EVERY, 2 * ADVANCE_EVERY + 30])
def test_progress_adds_up_to_the_examples_of_a_task(examples):
    run = small_run()
    signs: list[int] = []
    ReferenceLearner(run, initial_network(run)).learn(random_task(run, examples), signs.append)
    assert sum(signs) == examples
    assert min(signs) >= 1 and max(signs) <= ADVANCE_EVERY


def test_progress_counts_batches_as_steps():
    run = small_run(batch_size=2)
    signs: list[int] = []
    task = random_task(run, 2 * ADVANCE_EVERY + 20)
    ReferenceLearner(run, initial_network(run)).learn(task, signs.append)
    assert signs == [ADVANCE_EVERY, 10]


def test_progress_may_end_a_task():
    class Stopped(Exception):
        pass

    def stop(examples: int) -> None:
        raise Stopped

    run = small_run()
    with pytest.raises(Stopped):
        ReferenceLearner(run, initial_network(run)).learn(random_task(run, 300), stop)


# --- Divergence ----------------------------------------------------------------------------------------


def test_divergence_names_task_and_step():
    # After the first step the weights are about 1e30, and the outputs, of three such layers, beyond 3e38.
    run = small_run(depth=2, activation="leaky_relu", loss="squared_error", step_size=1e30, layers=())
    learner = ReferenceLearner(run, initial_network(run))
    with pytest.raises(Diverged) as raised:
        learner.learn(random_task(run, 10, number=4), ignore)
    assert (raised.value.task, raised.value.step) == (4, 1)
    assert str(raised.value) == "diverged in task 4 at step 1: the loss is no longer finite"


def test_divergence_of_a_batch_names_its_step():
    run = small_run(
        depth=2, activation="leaky_relu", loss="squared_error", step_size=1e30, layers=(), batch_size=3
    )
    with pytest.raises(Diverged) as raised:
        ReferenceLearner(run, initial_network(run)).learn(random_task(run, 12, number=4), ignore)
    assert (raised.value.task, raised.value.step) == (4, 1)


def test_divergence_of_a_later_step_names_that_step():
    # Row 1 is too large to add up; with so small a step size the units are still active when it comes.
    run = small_run(loss="squared_error", step_size=1e-3, layers=())
    rows = np.ones((2, 3), np.float32)
    rows[1] = 3e38
    start = initial_network(run)
    start.weights[0][:] = 1
    start.weights[1][:] = 1
    task = Task(2, 20, rows, np.zeros((2, 2), np.float32), np.array([0, 0, 0, 0, 0, 1, 0]))
    with pytest.raises(Diverged) as raised:
        ReferenceLearner(run, start).learn(task, ignore)
    assert (raised.value.task, raised.value.step) == (2, 5)


# --- Continuing from a network -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("utility", ["contribution", "adaptable_contribution", "random"])
def test_resumed_learner_equals_an_uninterrupted_one_bit_for_bit(utility, batch_size, tmp_path):
    run = small_run(
        inputs=6, width=7, depth=3, outputs=4, activation="selu", step_size=0.02, weight_decay=0.001,
        layers=(1, 3), rate=0.013, maturity_threshold=20, utility=utility, bias_compensation=True, seed=9,
        batch_size=batch_size,
    )  # fmt: skip
    tasks = [random_task(run, 30 * batch_size, number) for number in range(4)]
    uninterrupted = ReferenceLearner(run, initial_network(run))
    expected = [uninterrupted.learn(task, ignore) for task in tasks]
    replaced = np.sum([result.replaced for result in expected], axis=0)
    assert replaced[0] > 3 and replaced[1] == 0 and replaced[2] > 3

    first = ReferenceLearner(run, initial_network(run))
    found = [first.learn(task, ignore) for task in tasks[:2]]
    np.savez(tmp_path / "network.npz", **first.network().arrays())
    with np.load(tmp_path / "network.npz") as stored:
        second = ReferenceLearner(run, Network.from_arrays(dict(stored)))
    assert 0 < float(second.network().remembered("debt")[0]) < 1
    found += [second.learn(task, ignore) for task in tasks[2:]]

    assert_identical(second.network(), uninterrupted.network())
    for result, other in zip(found, expected, strict=True):
        assert (result.score, result.loss) == (other.score, other.loss)
        assert np.array_equal(result.weight_magnitude, other.weight_magnitude)
        assert np.array_equal(result.replaced, other.replaced)


def test_network_is_a_copy():
    run = small_run(rate=0.5, maturity_threshold=0)
    learner = ReferenceLearner(run, initial_network(run))
    learner.learn(random_task(run, 10), ignore)
    kept, copy = learner.network(), deepcopy(learner.network())
    learner.learn(random_task(run, 10, number=1), ignore)
    assert_identical(kept, copy)
    assert any((now != then).any() for now, then in zip(learner.network().weights, kept.weights, strict=True))


# --- Names and constants -------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "selu", "tanh", "sigmoid", "leaky_relu"])
def test_gain_is_that_of_torch(activation):
    gain = find(Activation, activation, "activation").gain
    assert gain == pytest.approx(torch.nn.init.calculate_gain(activation), rel=1e-15)


def test_the_oracle_knows_every_part():
    """Whoever adds a part adds it to the oracle, or writes another test of it and names it here."""
    assert (
        set(names(Activation)) - {"crelu"} == set(VALUE) == set(SLOPE) == set(REPLACEMENT_GAIN)
    )  # test_layers
    assert set(names(Model)) == {"mlp", "cnn"}  # test_layers
    assert names(Utility) == [
        "contribution", "zero_contribution", "adaptable_contribution", "adaptation", "weight",
        "feature_by_input", "random",
    ]  # fmt: skip
    assert set(names(Objective)) == {"cross_entropy", "squared_error"}
    assert set(names(Regulariser)) == {"none", "l2", "l2_init", "spectral", "parseval"}  # test_rules
    assert set(names(Optimiser)) == {"sgd", "adam", "upgd"}  # test_rules
    assert set(names(Replacement)) == {"cbp", "cpr", "random", "redo", "regrama", "snr"}  # test_choices


# --- The engine ----------------------------------------------------------------------------------------


def test_learners_of_the_engine_do_not_disturb_one_another():
    good = [small_run(seed=seed) for seed in (0, 1)]
    bad = small_run(loss="squared_error", activation="leaky_relu", depth=2, step_size=1e30, seed=2)
    tasks = [random_task(good[0], 10, number) for number in range(2)]
    engine = ReferenceEngine()
    assert [engine.unsupported(run) for run in (*good, bad)] == [None] * 3
    learners = [engine.learner(run, initial_network(run)) for run in good]
    results: list[list[TaskResult]] = [[], []]
    for task in tasks:
        for learner, found in zip(learners, results, strict=True):
            found.append(learner.learn(task, ignore))
        with pytest.raises(Diverged):
            engine.learner(bad, initial_network(bad)).learn(random_task(bad, 10), ignore)
    for run, found in zip(good, results, strict=True):
        alone = ReferenceLearner(run, initial_network(run))
        assert [result.loss for result in found] == [alone.learn(task, ignore).loss for task in tasks]


def test_engine_takes_one_thread():
    try:
        torch.set_num_threads(2)
        ReferenceEngine().learner(small_run(), initial_network(small_run()))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)
