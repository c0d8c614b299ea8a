import math
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_double, c_float, c_int32
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from oracle import Examples, Pictures, assert_near, random_task, small_run

from plasticity.activations import Activation, ReLU
from plasticity.constraints import Constraint
from plasticity.datasets import SparseRows, Task
from plasticity.diagnostics import step_plasticity
from plasticity.engines import forms, native
from plasticity.engines.engine import TaskResult
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.reference import ReferenceLearner
from plasticity.errors import Diverged, UserError
from plasticity.machine.cores import cores
from plasticity.networks.mlp import Mlp
from plasticity.networks.model import Model
from plasticity.networks.network import Network, initial_network
from plasticity.objectives import CrossEntropy, Objective
from plasticity.optimisers import SGD, Optimiser
from plasticity.part import Part, names, to_part
from plasticity.regularisers import L2, NoRegulariser, Regulariser
from plasticity.replacement import ContinualBackpropagation, Memory, Replacement, Step
from plasticity.run import Run
from plasticity.streams import Purpose, uniform, words
from plasticity.utilities import Contribution, Utility

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]

TOLERANCE = 2e-5
"""How much two float32 computations of a short segment may differ, relative to numbers of the order of 1.

A sum of up to 40 products in another order differs by up to 40 roundings of 6e-8 each, 2e-6; the errors of twenty
steps with a step size of 0.1 add up, and a utility may divide by a mean weight of about 0.2.
"""


def ignore(examples: int) -> None:
    """Progress is not shown."""


def assert_identical(one: Network, other: Network) -> None:
    """Bit for bit."""
    arrays, others = one.arrays(), other.arrays()
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype and array.shape == others[name].shape, name
        assert array.tobytes() == others[name].tobytes(), name


def assert_same_result(one: TaskResult, other: TaskResult) -> None:
    """Bit for bit."""
    assert repr(one.score) == repr(other.score) and one.loss == other.loss
    assert one.weight_magnitude.tolist() == other.weight_magnitude.tolist()
    assert one.replaced.tolist() == other.replaced.tolist()


def sparse(task: Task, seed: int = 0) -> Task:
    """The same rows kept as their non-zero entries, with one row that has none, shown in another order."""
    rows = task.rows.copy()
    rows[task.order[0]] = 0
    permutation = np.random.default_rng(seed).permutation(rows.shape[1]).astype(np.int32)
    return replace(task, rows=SparseRows.of(rows), permutation=permutation)


NATIVE_ACTIVATIONS = [name for name in names(Activation) if name in binding.numbers("activation")]


def learnt(run: Run, tasks: list[Task], kernel: str | None = None) -> tuple[Network, list[TaskResult]]:
    """The network and the results of a native learner after some tasks from the start."""
    learner = NativeLearner(run, initial_network(run))
    learner.kernel = binding.kernel(kernel)
    results = [learner.learn(task, ignore) for task in tasks]
    return learner.network(), results


# --- The reference engine is the definition --------------------------------------------------------------


MARGINS: list[float] = []
"""How close each choice of a watched method was to another, relative to the utilities; cleared for each task."""


class WatchedReplacement(ContinualBackpropagation):
    """The definition, which also records how close the choice of a unit was to another one."""

    def _choose(self, memory: Memory, step: Step, layer: int, owed: float) -> list[int]:
        chosen = super()._choose(memory, step, layer, owed)
        utility = self._corrected(memory, "utility", layer)
        ranking = self.utility.ranking(utility, lambda: step.draw(layer)).tolist()
        others = (memory["age"][layer] > self.maturity_threshold).nonzero().flatten().tolist()
        others = [unit for unit in others if unit not in chosen]
        # Also among the chosen: their order decides in which order their compensations are added.
        for i, unit in enumerate(chosen):
            for other in chosen[i + 1 :] + others:
                low, high = ranking[unit], ranking[other]
                if not low == high == 0:  # both are exactly 0 in every computation: the first is taken
                    MARGINS.append(abs(high - low) / max(abs(high), abs(low)))
        return chosen


def watched(run: Run) -> Run:
    """The same run, for the reference alone: the native engine has no form of a watched method."""
    if type(run.replacement) is not ContinualBackpropagation:
        return run
    values = run.replacement.values()
    del values["name"]
    return replace(run, replacement=WatchedReplacement(**values))


def compare(run: Run, tasks: list[Task]) -> tuple[int, int]:
    """Steps both engines side by side, each task from the reference's network.

    A task in which the reference's choice of a unit depends on less than the tolerance is not compared.

    Returns:
        number of tasks compared, and of units replaced in them
    """
    assert NativeEngine().unsupported(run) is None
    reference = ReferenceLearner(watched(run), initial_network(run))
    compared = replaced = 0
    for task in tasks:
        learner = NativeLearner(run, reference.network())
        MARGINS.clear()
        found, expected = learner.learn(task, ignore), reference.learn(task, ignore)
        drawn = getattr(getattr(run.replacement, "utility", None), "name", None) == "random"
        if not drawn and min(MARGINS, default=math.inf) < TOLERANCE:
            continue
        assert_agree(learner.network(), reference.network())
        assert_near(found.loss, expected.loss, rtol=TOLERANCE, atol=TOLERANCE)
        magnitudes = found.weight_magnitude, expected.weight_magnitude
        assert_near(*magnitudes, rtol=TOLERANCE, atol=TOLERANCE)
        if run.dataset.objective.name == "cross_entropy":
            assert repr(found.score) == repr(expected.score)
        else:  # the score is the error
            assert_near(found.score, expected.score, rtol=TOLERANCE, atol=TOLERANCE)
        assert found.replaced.tolist() == expected.replaced.tolist()
        compared, replaced = compared + 1, replaced + int(expected.replaced.sum())
    return compared, replaced


def assert_agree(found: Network, expected: Network) -> None:
    """Up to single precision; ages, which show what was replaced and when, and debts exactly."""
    arrays, others = found.arrays(), expected.arrays()
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        other = others[name]
        assert array.dtype == other.dtype and array.shape == other.shape, name
        tolerance = 0 if name.startswith(("age", "debt")) else TOLERANCE
        assert_near(array, other, rtol=tolerance, atol=tolerance, err_msg=name)


def segments(run: Run, number: int, steps: int) -> list[Task]:
    """Tasks in a row; every other one sparse and permuted."""
    tasks = [random_task(run, steps, k) for k in range(number)]
    return [sparse(task) if task.number % 2 else task for task in tasks]


@pytest.mark.parametrize("activation", NATIVE_ACTIVATIONS)
def test_steps_equal_the_reference_for_every_utility_regulariser_and_compensation(activation):
    sets = {1: [(1,)], 2: [(1, 2), (2,), ()], 3: [(1, 2, 3), (1, 3), (2,), (3,)]}
    compared = replaced = 0
    combinations = list(enumerate(product(names(Utility), (0.0, 0.05), (False, True))))
    quarter = NATIVE_ACTIVATIONS.index(activation) % 4  # every combination with two activations
    for seed, (utility, weight_decay, compensation) in combinations[quarter::4]:
        depth = seed % 3 + 1
        run = small_run(
            inputs=9 + seed, width=4 + seed % 14, depth=depth, outputs=2 + seed % 5, activation=activation,
            loss="squared_error" if seed % 4 == 3 else "cross_entropy", weight_decay=weight_decay, seed=seed,
            layers=sets[depth][seed % len(sets[depth])], utility=utility, bias_compensation=compensation,
            rate=0.1, maturity_threshold=3, decay_rate=0.9,
        )  # fmt: skip
        counts = compare(run, segments(run, number=2, steps=12))
        compared, replaced = compared + counts[0], replaced + counts[1]
    assert compared >= 13 and replaced > 100  # of 14 tasks of 12 steps


@pytest.mark.parametrize("accrual", ["debt", "chance"])
@pytest.mark.parametrize("observed", ["hidden", "misaligned"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize(("width", "depth"), [(5, 6), (20, 1), (17, 3)])
def test_steps_of_the_published_bit_flipping_code_equal_the_reference(
    width, depth, activation, observed, accrual
):
    run = small_run(
        inputs=20, width=width, depth=depth, outputs=1, activation=activation, loss="squared_error",
        step_size=0.02, rate=0.3 / width, maturity_threshold=3, observed=observed, accrual=accrual,
        decay_rate=0.9, bias_compensation=True,
    )  # fmt: skip
    compared, replaced = compare(run, segments(run, number=4, steps=10))
    assert compared >= 2 and replaced > 2 * depth


@pytest.mark.parametrize(("batch_size", "utility"), [(2, "contribution"), *product([9], names(Utility))])
def test_steps_of_batches_equal_the_reference(utility, batch_size):
    compared = replaced = 0
    kinds = product(("hidden", "misaligned"), ("cross_entropy", "squared_error"), (0.0, 0.05))
    for seed, (observed, loss, weight_decay) in enumerate(kinds):
        run = small_run(
            inputs=9, width=17, depth=seed % 3 + 1, outputs=4, activation=["relu", "selu"][seed // 2 % 2],
            loss=loss, seed=seed, batch_size=batch_size, weight_decay=weight_decay, utility=utility,
            observed=observed, bias_compensation=seed % 2 == 0, rate=0.05, maturity_threshold=3, decay_rate=0.9,
        )  # fmt: skip
        counts = compare(run, segments(run, number=2, steps=12 * batch_size))
        compared, replaced = compared + counts[0], replaced + counts[1]
    assert compared >= 13 and replaced > 150  # of 16 tasks of 12 steps


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("observed", ["hidden", "misaligned"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_step_plasticity_equals_the_references_and_leaves_no_trace(activation, loss, observed, batch_size):
    run = small_run(
        inputs=9, width=17, depth=3, outputs=4, activation=activation, loss=loss, batch_size=batch_size,
        observed=observed, weight_decay=0.05, rate=0.05, maturity_threshold=3,
    )  # fmt: skip
    reference, plain, again = (
        engine(run, initial_network(run)) for engine in (ReferenceLearner, NativeLearner, NativeLearner)
    )
    for task in segments(run, number=2, steps=12 * batch_size):
        expected = reference.learn(task, ignore, losses=True)
        found, other = again.learn(task, ignore, losses=True), plain.learn(task, ignore)
        share, of_reference = (
            step_plasticity(one.losses.before, one.losses.after) for one in (found, expected)
        )
        assert share == pytest.approx(of_reference, abs=1e-4)
        assert 0 < share < 1 and other.losses is None
        assert found.losses.before.mean() == pytest.approx(found.loss)
        assert_same_result(found, other)
        assert found.replaced.tolist() == expected.replaced.tolist() and found.replaced.min() > 0
    assert_identical(again.network(), plain.network())


@pytest.mark.parametrize("width", [1, 16, 17, 130, 300])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_any_width_equals_the_reference(width, activation):
    run = small_run(
        inputs=20, width=width, depth=2, outputs=18, activation=activation, rate=min(2 / width, 0.5),
        maturity_threshold=2, bias_compensation=True, step_size=0.02, utility="adaptable_contribution",
    )  # fmt: skip
    compared, replaced = compare(run, segments(run, number=4, steps=8))
    assert compared >= 2 and replaced > 10


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("widths", [(7, 4), (4, 7), (17, 3, 33)])
def test_layers_of_different_widths_equal_the_reference(widths, activation):
    run = small_run(
        inputs=9, widths=widths, outputs=5, activation=activation, rate=0.1, maturity_threshold=3,
        decay_rate=0.9, bias_compensation=True, utility="adaptable_contribution",
    )  # fmt: skip
    compared, replaced = compare(run, segments(run, number=3, steps=20))
    assert compared >= 3 and replaced > 40


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("outputs, loss", [(1, "squared_error"), (1, "cross_entropy"), (33, "cross_entropy")])
def test_any_number_of_outputs_equals_the_reference(activation, outputs, loss):
    run = small_run(inputs=5, width=6, depth=1, outputs=outputs, loss=loss, activation=activation, layers=())
    assert compare(run, segments(run, number=4, steps=10))[0] == 4


def test_uniform_initial_parameters_equal_the_reference():
    run = small_run(inputs=9, widths=(7, 4), outputs=5, rate=0.1, maturity_threshold=3, decay_rate=0.9)
    run = replace(run, model=replace(run.model, initial="uniform"))
    assert initial_network(run).biases[0].any()
    compared, replaced = compare(run, segments(run, number=4, steps=20))
    assert compared >= 3 and replaced > 40


def test_targets_that_change_with_the_task_equal_the_reference():
    run = small_run(inputs=9, width=7, depth=2, outputs=4)
    first = random_task(run, 30)
    tasks = [
        replace(first, number=k, first_step=30 * k, targets=(first.targets + k).astype(np.int32) % 4)
        for k in range(4)
    ]
    reference, learner = ReferenceLearner(run, initial_network(run)), NativeLearner(run, initial_network(run))
    for task in tasks:
        assert repr(learner.learn(task, ignore).score) == repr(reference.learn(task, ignore).score)
        assert learner.examples.rows is first.rows and learner.examples.targets is task.targets
    assert_agree(learner.network(), reference.network())


@pytest.mark.parametrize("strength", [2.0, 9.9, 10.0, 10.1, 25.0])
def test_weight_decay_however_strong_equals_the_reference(strength):
    """Step size 0.1: a step keeps 80 %, 1 %, nothing, −1 % or −150 % of a weight."""
    run = small_run(inputs=5, width=6, depth=2, weight_decay=strength, layers=())
    assert compare(run, segments(run, number=3, steps=3))[0] == 3


def test_strong_weight_decay_over_a_long_task_equals_the_reference():
    """It multiplies the weights by 0.5 in every step, by 10⁻⁹⁰ in all."""
    run = small_run(inputs=5, width=6, depth=2, weight_decay=5.0, layers=())
    assert compare(run, [random_task(run, 300)])[0] == 1


@pytest.mark.parametrize("decay", [1e-4, 1e-6, 5e-8])
def test_weight_decay_of_many_steps_is_as_strong_as_it_should_be(decay):
    """It alone changes dead units without inputs: after t steps (1 − decay)^t of their weights is left."""
    tasks, steps = 3, 10_000
    run = small_run(inputs=4, width=20, step_size=0.1, weight_decay=decay / 0.1, layers=())
    start = initial_network(run)
    start.biases[0][:] = np.linspace(-1, -0.1, 20)
    learner = NativeLearner(run, start)
    for number in range(tasks):
        blank = random_task(run, steps, number)
        blank.rows[:] = 0
        learner.learn(blank, ignore)
    network, exponent = learner.network(), tasks * steps * math.log1p(-decay)
    # Rounded at every task's end, and whenever another half is gone.
    roundings = tasks + math.floor(exponent / -math.log(2))
    pairs = zip(network.biases[:1] + network.weights, start.biases[:1] + start.weights, strict=True)
    for found, before in pairs:
        strength = np.log(found.astype(np.float64) / before) / exponent
        assert np.abs(strength - 1).max() < 1.01 * roundings * 2.0**-24 / -exponent


def test_debt_of_more_units_than_there_are_eligible():
    run = small_run(inputs=3, width=4, rate=0.1, maturity_threshold=5)
    network, task = initial_network(run), random_task(run, 1)
    network.memory["age.0"][:], network.memory["debt.0"][...] = [9, 5, 9, 0], 6.5
    reference, learner = ReferenceLearner(run, network), NativeLearner(run, network)
    assert learner.learn(task, ignore).replaced == reference.learn(task, ignore).replaced == [3]
    assert_agree(learner.network(), reference.network())


@pytest.mark.parametrize("threshold", [2**63 - 2, 2**63 - 1])
def test_a_maturity_threshold_that_no_unit_reaches(threshold):
    run = small_run(inputs=3, width=4, rate=1.0, maturity_threshold=threshold)
    network, task = initial_network(run), random_task(run, 5)
    network.remembered("age")[0][:] = [0, 1, 10**6, 10**12]
    learner = NativeLearner(run, network)
    assert learner.learn(task, ignore).replaced == [0]
    assert learner.network().remembered("age")[0].tolist() == [5, 6, 10**6 + 5, 10**12 + 5]


def test_one_example_one_unit_one_input():
    run = small_run(inputs=1, width=1, depth=1, rate=1.0, maturity_threshold=0, layers=(1,))
    compared, replaced = compare(run, [random_task(run, 1, k) for k in range(10)])
    assert compared == 10 and replaced == 10


def test_long_means_and_old_units_equal_the_reference():
    run = small_run(
        inputs=4, width=5, depth=1, decay_rate=0.99, rate=0.005, maturity_threshold=100, step_size=0.01,
        utility="zero_contribution",
    )  # fmt: skip
    tasks = segments(run, number=8, steps=100)
    old = initial_network(run)
    old.remembered("age")[0][:] = [0, 90, 4000, 10**6, 10**12]
    reference, learner = ReferenceLearner(run, old), NativeLearner(run, old)
    for task in tasks:
        reference.learn(task, ignore), learner.learn(task, ignore)
        assert [age.tolist() for age in learner.network().remembered("age")] == [
            age.tolist() for age in reference.network().remembered("age")
        ]
    assert (learner.network().remembered("age")[0] < 800).sum() >= 2  # some were replaced


@pytest.mark.parametrize("decay_rate", [0.0, 0.5, 1 - 1e-7])
def test_any_decay_rate_equals_the_reference(decay_rate):
    run = small_run(
        inputs=4,
        width=8,
        depth=2,
        decay_rate=decay_rate,
        rate=0.1,
        maturity_threshold=2,
        bias_compensation=True,
    )
    assert compare(run, segments(run, number=10, steps=10))[0] >= 7


def test_among_equal_utilities_the_first_unit_is_replaced_and_undefined_ones_come_last():
    run = small_run(inputs=2, width=40, rate=2 / 40, maturity_threshold=5, utility="weight")
    network = initial_network(run)
    network.remembered("age")[0][:] = 1000
    network.remembered("utility")[0][:] = 1e9
    network.remembered("utility")[0][[3, 20, 30]] = math.nan
    network.remembered("utility")[0][[7, 11]] = 5.0
    task = random_task(run, 1)
    reference, learner = ReferenceLearner(run, network), NativeLearner(run, network)
    reference.learn(task, ignore), learner.learn(task, ignore)
    assert np.flatnonzero(learner.network().remembered("age")[0] == 0).tolist() == [7, 11]
    assert_agree_in_age(learner, reference)

    network.remembered("utility")[0][:] = math.nan
    reference, learner = ReferenceLearner(run, network), NativeLearner(run, network)
    reference.learn(task, ignore), learner.learn(task, ignore)
    assert np.flatnonzero(learner.network().remembered("age")[0] == 0).tolist() == [0, 1]
    assert_agree_in_age(learner, reference)


def assert_agree_in_age(learner: NativeLearner, reference: ReferenceLearner) -> None:
    found, expected = (network.remembered("age")[0] for network in (learner.network(), reference.network()))
    assert found.tolist() == expected.tolist()


# --- Divergence ------------------------------------------------------------------------------------------


def divergence(learner: NativeLearner | ReferenceLearner, tasks: list[Task]) -> tuple[int, int] | None:
    """Task and step at which a learner diverges."""
    try:
        for task in tasks:
            learner.learn(task, ignore)
    except Diverged as diverged:
        return diverged.task, diverged.step
    return None


@pytest.mark.parametrize("activation", ["relu", "swish"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("step_size", [3.0, 30.0, 1e4, 1e20, 1e38])
def test_divergence_is_found_where_the_reference_finds_it(activation, loss, step_size):
    run = small_run(
        inputs=6, width=7, depth=2, activation=activation, loss=loss, step_size=step_size, rate=0.1,
        maturity_threshold=3,
    )  # fmt: skip
    tasks = segments(run, number=5, steps=7)
    start = initial_network(run)
    found = divergence(NativeLearner(run, start), tasks)
    assert found == divergence(ReferenceLearner(run, start), tasks)
    assert found is not None or step_size < 1e20 or loss == "cross_entropy"


@pytest.mark.parametrize(("batch_size", "step"), [(1, 7), (3, 2)])
@pytest.mark.parametrize("dense", [True, False])
def test_undefined_inputs_end_a_task_at_their_step(dense, batch_size, step):
    run = small_run(inputs=4, width=20, depth=3, rate=0.3, maturity_threshold=1, batch_size=batch_size)
    task = random_task(run, 12)
    task.rows[task.order[7], 2] = math.nan
    if not dense:
        task = replace(task, rows=SparseRows.of(task.rows))
    assert divergence(NativeLearner(run, initial_network(run)), [task]) == (0, step)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_that_is_not_finite_does_not_learn(value):
    run = small_run(inputs=4, width=20, depth=2)
    network = initial_network(run)
    network.weights[1][3, 4] = value
    assert divergence(NativeLearner(run, network), [random_task(run, 5)]) == (0, 0)


# --- The same whatever computes it -----------------------------------------------------------------------


def variants() -> list[str]:
    """The kinds of kernel that this processor can run."""

    def runs(name: str) -> bool:
        try:
            binding.kernel(name)
        except UserError:
            return False
        return True

    return [name for name in ("x86-64", "x86-64-v3", "x86-64-v4") if runs(name)]


def widest_run(activation: str, width: int = 37, **options: object) -> Run:
    return small_run(
        inputs=50, width=width, depth=3, outputs=18, activation=activation, rate=0.02, maturity_threshold=4,
        bias_compensation=True, step_size=0.03, **options,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_layer_normalisation_equals_the_reference(activation, size):
    compared = replaced = 0
    for seed, width in enumerate((7, 16, 37)):
        run = small_run(
            inputs=9, width=width, depth=2, outputs=4, activation=activation, weight_decay=0.05, seed=seed,
            normalisation="layer_norm", batch_size=size, rate=0.05, maturity_threshold=5, decay_rate=0.9,
            bias_compensation=seed == 1,
        )  # fmt: skip
        assert all(np.all(initial_network(run).parameters[f"gains.{layer}"] == 1) for layer in range(2))
        found = compare(run, segments(run, number=3, steps=15 * size))
        compared, replaced = compared + found[0], replaced + found[1]
    assert compared >= 9 and replaced > 30


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
@pytest.mark.parametrize("activation", NATIVE_ACTIVATIONS)
def test_kernels_for_all_processors_agree_bit_for_bit(activation):
    for utility, weight_decay in zip(names(Utility), [0, 0.01] * 4, strict=False):
        batch_size = 3 if weight_decay else 1
        run = widest_run(activation, weight_decay=weight_decay, utility=utility, batch_size=batch_size)
        tasks = segments(run, number=2, steps=60)
        best, results = learnt(run, tasks)
        for name in variants():
            network, others = learnt(run, tasks, name)
            assert_identical(network, best)
            for one, other in zip(results, others, strict=True):
                assert_same_result(one, other)


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
@pytest.mark.parametrize(
    "width", [1, 16, 30, 46, 60, 78, 90, 112, 130, 150, 165, 180, 200, 210, 230, 256, 300]
)
def test_kernels_for_all_processors_agree_at_any_width(width):
    run = widest_run("relu", width=width, weight_decay=0.02)
    tasks = segments(run, number=1, steps=25)
    best, _ = learnt(run, tasks)
    for name in variants():
        assert_identical(learnt(run, tasks, name)[0], best)


def test_unknown_kernel_is_refused():
    with pytest.raises(UserError, match="PLASTICITY_KERNEL=x86-64-v9 is refused: it must be"):
        binding.kernel("x86-64-v9")


def test_kernel_named_in_the_environment_is_taken(monkeypatch):
    monkeypatch.setenv(binding.VARIANT, "no such kernel")
    run = small_run()
    with pytest.raises(UserError, match="no such kernel"):
        NativeLearner(run, initial_network(run))
    with pytest.raises(UserError, match="no such kernel"):
        NativeEngine().learner(run, initial_network(run))


@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("utility", names(Utility))
def test_learner_made_from_a_network_equals_an_uninterrupted_one_bit_for_bit(utility, weight_decay):
    for activation, batch_size in (("relu", 1), ("tanh", 1), ("relu", 4)):
        run = widest_run(activation, weight_decay=weight_decay, utility=utility, batch_size=batch_size)
        tasks = segments(run, number=4, steps=40)
        uninterrupted, results = learnt(run, tasks)
        network = initial_network(run)
        for task, result in zip(tasks, results, strict=True):
            learner = NativeLearner(run, Network.from_arrays(network.arrays()))
            assert_same_result(learner.learn(task, ignore), result)
            network = learner.network()
        assert_identical(network, uninterrupted)


@pytest.mark.parametrize(("batch_size", "steps"), [(1, [7] * 8 + [4]), (3, [2] * 10)])
def test_long_task_is_learnt_in_pieces_that_leave_no_trace(monkeypatch, batch_size, steps):
    run = widest_run("relu", weight_decay=0.02, utility="feature_by_input", batch_size=batch_size)
    tasks = segments(run, number=2, steps=60)
    whole, results = learnt(run, tasks)
    monkeypatch.setattr(native, "ADVANCE_EVERY", 7)
    pieces, others = learnt(run, tasks)
    assert_identical(pieces, whole)
    for one, other in zip(results, others, strict=True):
        assert_same_result(one, other)

    learner, progress = NativeLearner(run, initial_network(run)), []
    learner.learn(tasks[0], progress.append)
    assert progress == steps


@pytest.mark.parametrize("batch_size", [1, 5])
def test_sparse_dense_and_permuted_rows_are_the_same_examples(batch_size):
    run = widest_run("relu", batch_size=batch_size)
    task = sparse(random_task(run, 30))
    dense = np.zeros((len(task.rows.start) - 1, 50), np.float32)
    for step, row in enumerate(task.order):
        dense[row] = task.example(step)
    same = [
        task,
        replace(task, rows=dense, permutation=None),
        replace(task, rows=SparseRows.of(dense), permutation=None),
    ]
    (first, _), *others = [learnt(run, [task]) for task in same]
    for network, _ in others:
        assert_agree(network, first)


def test_examples_stay_as_they_are_whatever_is_shown_after_them():
    run = small_run(inputs=9, width=7, depth=2, rate=0.1, maturity_threshold=2)
    dense = random_task(run, 30)
    thin = sparse(dense)
    before = [array.copy() for array in (dense.rows, thin.rows.start, thin.rows.index, thin.rows.value)]
    learnt(run, [thin, dense, thin, dense])
    after = dense.rows, thin.rows.start, thin.rows.index, thin.rows.value
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_network_is_a_copy_and_the_one_it_started_from_stays():
    run = widest_run("tanh")
    start = initial_network(run)
    learner = NativeLearner(run, start)
    task = random_task(run, 30)
    learner.learn(task, ignore)
    assert_identical(start, initial_network(run))
    network = learner.network()
    kept = Network.from_arrays({name: array.copy() for name, array in network.arrays().items()})
    learner.learn(task, ignore)
    assert_identical(network, kept)


# --- The parts of the kernel ------------------------------------------------------------------------------


def fields(*listed: tuple[str, int, bytes]) -> list[binding.Field]:
    """A table of the fields of a structure S: names, offsets and kinds."""
    return [binding.Field(b"S", name.encode(), offset, kind) for name, offset, kind in listed]


def test_structures_are_declared_as_the_compiler_laid_them_out():
    (_, made), *more = binding.declared(
        fields(("a", 0, b"i"), ("b", 8, b"d"), ("c", 16, b"f"), ("", 24, b"\0"))
    )
    assert not more and [(name, kind) for name, kind in made._fields_] == [
        ("a", c_int32),
        ("b", c_double),
        ("c", c_float),
    ]
    assert {"inputs", "units", "body", "debt", "replaced"} <= set(dir(binding.structure("Layer")))


@pytest.mark.parametrize(
    "listed, first",
    [
        ([("a", 0, b"i"), ("b", 4, b"d"), ("", 12, b"\0")], "S.b is at 4 in the kernel, at 8 in Python"),
        ([("a", 0, b"i"), ("b", 8, b"i"), ("", 16, b"\0")], "S.b is at 8 in the kernel, at 4 in Python"),
        ([("a", 0, b"i"), ("", 8, b"\0")], "S. is at 8 in the kernel, at 4 in Python"),
    ],
    ids=["packed", "another kind", "larger"],
)
def test_a_layout_that_python_would_not_give_is_refused(listed, first):
    with pytest.raises(binding.LayoutError, match=first):
        list(binding.declared(fields(*listed)))


@pytest.mark.parametrize("field", ["activation", "loss", "utility"])
@pytest.mark.parametrize("number", [-1, 8, 2**31 - 1])
def test_what_the_kernel_does_not_know_is_refused_and_nothing_changes(field, number):
    run = small_run()
    learner, task = NativeLearner(run, initial_network(run)), random_task(run, 5)
    setattr(learner.learner, field, number)
    with pytest.raises(ValueError, match="that the kernel lacks"):
        learner.learn(task, ignore)
    assert_identical(learner.network(), initial_network(run))


@pytest.mark.parametrize(
    "loss, wrong", [("cross_entropy", "squared_error"), ("squared_error", "cross_entropy")]
)
def test_targets_of_the_other_loss_are_refused(loss, wrong):
    run = small_run(outputs=1, loss=loss)
    task = random_task(small_run(outputs=1, loss=wrong), 5)
    with pytest.raises(ValueError, match="that the kernel lacks"):
        NativeLearner(run, initial_network(run)).learn(task, ignore)


@pytest.mark.parametrize(
    "seed, position", [(0, (0, 0, 0)), (2**63 - 1, (4, 99, 10_999_999)), (7, (1, 2**40, 0))]
)
def test_words_are_those_of_the_streams(seed, position):
    found = np.zeros(1001, np.uint64)
    place = np.array(position, np.uint64)
    purpose = Purpose.REPLACEMENT
    binding.library().plasticity_words(seed, purpose, place.ctypes.data, len(found), found.ctypes.data)
    assert found.tolist() == words(seed, purpose, position, len(found)).tolist()
    drawn = binding.uniform(0.7, seed, purpose, position, np.empty(1001, np.float32))
    assert drawn.tobytes() == uniform(0.7, seed, purpose, position, 1001).tobytes()


def respond(activation: str, z: np.ndarray, kernel: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """h and slope as the kernel computes them."""
    arrays = [aligned(padded(len(z))) for _ in range(3)]
    arrays[0][: len(z)] = z
    pointers = [array.ctypes.data for array in arrays]
    binding.kernel(kernel).activate(binding.numbers("activation")[activation], len(arrays[0]), *pointers)
    return arrays[1][: len(z)], arrays[2][: len(z)]


def in_units_of_the_last_place(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest error, in units of the last place of the exact values."""
    error, last_place = np.abs(found.astype(np.float64) - exact), np.spacing(np.abs(exact).astype(np.float32))
    return float((error / last_place).max(initial=0))


def spread(low: float, high: float) -> np.ndarray:
    """Numbers of all sizes, of both signs where the range has both."""
    sizes = np.geomspace(1e-30, max(-low, high), 40_000)
    numbers = np.concatenate([np.linspace(low, high, 200_000), sizes, -sizes, [0.0]])
    return numbers[(numbers >= low) & (numbers <= high)].astype(np.float32)


erf = np.vectorize(math.erf, otypes=[np.float64])


@pytest.mark.parametrize(
    "activation, exact, low, high",
    [
        ("tanh", np.tanh, -12, 12),
        ("elu", lambda z: np.where(z > 0, z, np.expm1(z)), -90, 5),
        ("sigmoid", lambda z: np.exp(z) / (1 + np.exp(z)), -86, 30),
        ("relu", lambda z: np.maximum(z, 0), -5, 5),
        ("leaky_relu", lambda z: np.where(z > 0, z, np.float64(np.float32(0.01)) * z), -5, 5),
        ("swish", lambda z: z * np.exp(z) / (1 + np.exp(z)), -80, 30),
        # Below, 1 + erf cancels, as it does in the definition.
        ("gelu", lambda z: z * (1 + erf(z / math.sqrt(2))) / 2, -0.5, 8),
    ],
)
def test_activations_are_exact_to_a_few_units_in_the_last_place(activation, exact, low, high):
    z = spread(low, high)
    found, _ = respond(activation, z)
    assert in_units_of_the_last_place(found, exact(z.astype(np.float64))) < 4


def test_erf_and_exponential_by_themselves():
    z = spread(0.5, 8)
    share, _ = respond("gelu", z)
    found = 2 * (share.astype(np.float64) / z) - 1  # with the roundings of share and product, two each
    assert np.abs(found - erf(z.astype(np.float64) / math.sqrt(2))).max() < (2 + 4) * 2.0**-24
    z = spread(-86, -20)  # where 1 + e^z is 1, a sigmoid is e^z
    assert in_units_of_the_last_place(respond("sigmoid", z)[0], np.exp(z.astype(np.float64))) < 3


@pytest.mark.parametrize("activation", NATIVE_ACTIVATIONS)
def test_slopes_are_the_derivatives(activation):
    z = spread(-8, 8)
    z = z[np.abs(z) > 0.02]  # some have no derivative at 0
    below, above = z - np.float32(0.01), z + np.float32(0.01)
    difference = respond(activation, above)[0].astype(np.float64) - respond(activation, below)[0]
    _, slope = respond(activation, z)
    assert np.abs(slope - difference / (above.astype(np.float64) - below)).max() < 1e-4


@pytest.mark.parametrize("activation", NATIVE_ACTIVATIONS)
def test_activations_at_their_limits(activation):
    z = np.array([0.0, -0.0, 1e-40, -1e-40, 100.0, -100.0, 1e37, -1e37, math.nan], np.float32)
    expected = small_run(activation=activation).activation
    found, _ = respond(activation, z)
    np.testing.assert_allclose(found, expected(torch.from_numpy(z)).numpy(), rtol=1e-6, atol=1e-6)
    assert math.isnan(found[-1])


def test_a_mismatch_of_rows_and_network_is_refused():
    run = small_run(inputs=3, outputs=2)
    task = random_task(run, 5)
    wrong = [
        replace(task, order=np.array([0, 7], np.int32)),
        replace(task, order=np.array([-1], np.int32)),
        replace(task, targets=task.targets + 2),
        replace(task, targets=task.targets[:-1]),
        replace(task, rows=task.rows[:, :2]),
        replace(task, permutation=np.array([0, 1, 3], np.int32)),
        replace(task, permutation=np.array([0, 1], np.int32)),
        replace(task, rows=replace(SparseRows.of(task.rows), columns=4)),
        replace(task, rows=replace(SparseRows.of(task.rows), index=np.full(100, 3, np.int32))),
    ]
    for task in wrong:
        with pytest.raises(ValueError):
            NativeLearner(run, initial_network(run)).learn(task, ignore)


# --- Which parts have a native form ----------------------------------------------------------------------

KINDS = {
    "model": Model, "activation": Activation, "replacement": Replacement, "replacement.utility": Utility,
    "regulariser": Regulariser, "optimiser": Optimiser, "constraint": Constraint, "dataset.objective": Objective,
}  # fmt: skip
"""Every kind of part that a step consists of, by config key."""

PARTS = [(key, name) for key, kind in KINDS.items() for name in names(kind)]

GIVEN = {
    "l2": {"strength": 0.05},
    "redo": {"interval": 20},
    "regrama": {"interval": 20},
    "cnn": {"channels": [4], "kernel": [1], "pool": [1], "hidden": [7]},
}
"""The keys of parts that have no default."""


def run_with(key: str, value: Part) -> Run:
    """A run with a part in which units are replaced."""
    run = small_run(
        inputs=6, width=7, depth=2, outputs=4, rate=0.1, maturity_threshold=3, decay_rate=0.9,
        step_size=0.05, seed=1,
    )  # fmt: skip
    if value.name == "cnn":
        return replace(run, model=value, dataset=Pictures(inputs=6, outputs=4))
    if key == "dataset.objective":
        return replace(run, dataset=Examples(inputs=6, outputs=4, loss=value))
    if key == "replacement.utility":
        return replace(run, replacement=replace(run.replacement, utility=value))
    return replace(run, **{key: value})


@pytest.mark.parametrize("key, name", PARTS)
def test_every_part_equals_the_reference_or_is_named_as_unsupported(key, name):
    value = to_part(KINDS[key], {"name": name} | GIVEN.get(name, {}), key)
    run = run_with(key, value)
    reason = NativeEngine().unsupported(run)
    if forms.form(native._parts_of_steps(run)[key], run) is not None:
        assert reason is None
        assert compare(run, segments(run, number=4, steps=10))[0] >= 3
    else:
        assert re.fullmatch(rf"{key}={name} has no native form(: \S+ at \w+\.py:\d+)?", reason)


def test_every_part_with_a_native_form_is_one_of_those_compared():
    numbered = [name for field in forms.NUMBERED.values() for name in binding.numbers(field)]
    assert {kind.name for kind in forms.FORMS} | set(numbered) <= {name for _, name in PARTS}
    assert len(numbered) >= 17 and len(forms.FORMS) >= 5
    assert set(native._parts_of_steps(small_run())) == set(KINDS)


class MyReLU(ReLU):
    """A user's subclass, which may compute something else; so may all of those below."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z.relu().square()


class MyModel(Mlp):
    pass


class MyReplacement(ContinualBackpropagation):
    pass


class MyUtility(Contribution):
    pass


class MyL2(L2):
    pass


class MyNoRegulariser(NoRegulariser):
    pass


class MySGD(SGD):
    pass


class MyCrossEntropy(CrossEntropy):
    pass


@pytest.mark.parametrize(
    "key, value",
    [
        ("activation", MyReLU()),
        ("replacement.utility", MyUtility()),
        ("regulariser", MyL2(strength=0.1)),
        ("regulariser", MyNoRegulariser()),
        ("optimiser", MySGD()),
        ("dataset.objective", MyCrossEntropy()),
    ],
)
def test_a_subclass_of_a_supported_part_is_computed_by_its_own_code(key, value):
    run = run_with(key, value)
    assert not isinstance(forms.form(value, run), tuple(forms.FORMS.values()))
    assert compare(run, segments(run, number=4, steps=12))[0] >= 3


@pytest.mark.parametrize(
    "key, value, why",
    [
        ("model", MyModel(width=7, depth=2), ""),
        ("replacement", MyReplacement(), ": a before_replacement of its own"),
    ],
)
def test_a_subclass_whose_code_is_not_traced_is_not_supported(key, value, why):
    run = run_with(key, value)
    reason = f"{key}={__name__}.{type(value).__name__} has no native form{why}"
    assert NativeEngine().unsupported(run) == reason
    assert NativeEngine().unsupported(run_with("activation", ReLU())) is None


# --- The engine ------------------------------------------------------------------------------------------


def test_learner_of_the_engine_is_the_native_one():
    run = widest_run("tanh")
    tasks = segments(run, number=2, steps=40)
    learner = NativeEngine().learner(run, initial_network(run))
    results = [learner.learn(task, ignore) for task in tasks]
    network, expected = learnt(run, tasks)
    assert_identical(learner.network(), network)
    for one, other in zip(results, expected, strict=True):
        assert_same_result(one, other)


def runs_of_their_own(number: int, **options: Any) -> list[Run]:
    return [small_run(inputs=8, width=20, depth=2, seed=seed, **options) for seed in range(number)]


def test_learners_side_by_side_equal_learners_one_after_the_other():
    runs, meeting = runs_of_their_own(2), threading.Barrier(2)

    def learn(run: Run, together: bool) -> tuple[Network, list[TaskResult]]:
        learner, results = NativeEngine().learner(run, initial_network(run)), []
        for number in range(3):
            if together:
                meeting.wait(timeout=30)  # they only get past it together
            results.append(learner.learn(random_task(run, 200, number), ignore))
        return learner.network(), results

    with ThreadPoolExecutor(2) as pool:
        side_by_side = list(pool.map(lambda run: learn(run, together=True), runs))
    for run, (network, results) in zip(runs, side_by_side, strict=True):
        alone, expected = learn(run, together=False)
        assert_identical(network, alone)
        assert len(results) == 3
        for one, other in zip(results, expected, strict=True):
            assert_same_result(one, other)


def test_a_learner_that_diverges_harms_no_other():
    run = runs_of_their_own(1)[0]
    bad = small_run(inputs=8, width=20, depth=2, loss="squared_error", step_size=1e10)
    good = NativeLearner(run, initial_network(run))
    found = []
    for number in range(3):
        found.append(divergence(NativeLearner(bad, initial_network(bad)), [random_task(bad, 200)]))
        good.learn(random_task(run, 200, number), ignore)
    expected = divergence(ReferenceLearner(bad, initial_network(bad)), [random_task(bad, 200)])
    assert expected is not None and found == [expected] * 3
    alone, _ = learnt(run, [random_task(run, 200, number) for number in range(3)])
    assert_identical(good.network(), alone)


def test_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5, 6})
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert cores() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    assert cores() == 4


@pytest.mark.parametrize("units, inputs", [(1, 1), (4, 8), (20, 7), (10, 6), (50, 13), (100, 29), (150, 5)])
def test_weights_are_taken_and_put_whatever_the_order_of_their_rows(units, inputs):
    rng = np.random.default_rng(units)
    weights = [rng.standard_normal((units, inputs)).astype(np.float32) for _ in range(2)]
    layer = LayerMemory({"weights": weights[0], "biases": np.zeros(units, np.float32)}, 1)
    order = rng.permutation(inputs).astype(np.int32)
    layer.arrange(order)
    rows = np.concatenate([layer.arrays["body"], layer.arrays["tail"]], axis=1)
    assert np.array_equal(rows[:inputs, :units], weights[0].T[order]) and not rows[inputs:].any()
    assert np.array_equal(layer.weight, weights[0])
    kept = layer.parameters()
    layer.put({"weights": weights[1], "biases": np.ones(units, np.float32)})
    layer.take(kept)
    assert np.array_equal(kept["weights"], weights[1]) and np.array_equal(layer.weight, weights[1])
    assert kept["biases"].tolist() == [1] * units
    rows = np.concatenate([layer.arrays["body"], layer.arrays["tail"]], axis=1)
    assert np.array_equal(rows[:inputs, :units], weights[1].T[order]) and not rows[:, units:].any()
