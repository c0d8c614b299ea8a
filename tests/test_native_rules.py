"""The native engine against the reference engine, over combinations of all parts, drawn at random."""

import random
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from oracle import Examples, random_task
from test_native import assert_identical, ignore
from test_traced_replacement import assert_agree as agree

from plasticity.datasets import Task
from plasticity.engines import forms, native
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.pulled import Pulled
from plasticity.engines.reference import ReferenceLearner
from plasticity.errors import ConfigError
from plasticity.networks.network import Network, initial_network
from plasticity.run import Run

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]

STEPS, TASKS = 25, 2

CHOICES = {
    "replacement": [
        {"name": "cbp", "rate": 0.05, "maturity_threshold": 5, "decay_rate": 0.9},
        {"name": "redo", "interval": 7, "threshold": 0.4},
        {"name": "regrama", "interval": 7, "threshold": 0.3},
        {"name": "snr", "quantile": 0.8, "update_tasks": 1, "least": 2, "most": 30},
        {"name": "cpr", "interval": 6, "strength": 0.3},
        {"name": "random", "rates": 0.04},
    ],
    "layers": [[1], [2], [3], [1, 2, 3], [2, 3], []],
    "activation": ["relu", "relu", "relu", "tanh", "selu", "smooth_leaky", "crelu"],
    "normalisation": ["none", "none", "layer_norm"],
    "regulariser": [
        "none", "none", {"name": "l2", "strength": 0.5}, {"name": "l2_init", "strength": 0.1}, "spectral",
    ],
    "constraint": [
        "none", {"name": "weight_clipping", "bound": 1.2},
        {"name": "weight_clipping", "bound": 0.8, "output": False},
    ],
    "perturbation": [
        "none", "none", {"name": "shrink_and_perturb", "every": 4, "shrink": 0.1, "noise": 0.2},
        {"name": "shrink_and_perturb", "every": 9, "shrink": 0.3, "fresh": "initial"},
        {"name": "shrink_and_perturb", "every": 1, "shrink": 0.01, "noise": 0.01},
        {"name": "weight_reinitialisation", "every": 5},
    ],
    "optimiser": [{"name": "sgd", "step_size": 0.05}] * 3 + [{"name": "adam", "step_size": 0.003}],
    "batch_size": [1, 1, 4],
}  # fmt: skip

REFUSED = (
    "activation=crelu has no native form: .*",
    "regulariser=spectral has no native form: .*",
    "perturbation=weight_reinitialisation has no native form: its observe",
    "replacement=(regrama|cpr) has no native form: the gradient of a batch",
)
"""Reasons why the native engine leaves a run to the others."""


def combination(seed: int) -> Run:
    """A run of parts drawn at random."""
    draw = random.Random(seed)
    drawn = {key: draw.choice(options) for key, options in CHOICES.items()}
    batch_size, normalisation = drawn.pop("batch_size"), drawn.pop("normalisation")
    return Run(**drawn | {
        "replacement": drawn["replacement"] | {"layers": drawn.pop("layers")},
        "model": {"name": "mlp", "widths": [draw.randint(3, 21) for _ in range(3)], "normalisation": normalisation},
        "dataset": Examples(inputs=9, outputs=4, batch_size=batch_size, examples_per_task=STEPS * batch_size),
        "seed": seed,
    })  # fmt: skip


assert_agree = partial(agree, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("seed", range(48))
def test_every_combination_equals_the_reference_or_is_refused(seed):
    """Each task from the reference's network."""
    try:
        run = combination(seed)
    except ConfigError as error:
        assert "whose units are never silent" in str(error)
        return
    if reason := NativeEngine().unsupported(run):
        assert any(re.fullmatch(pattern, reason) for pattern in REFUSED), reason
        return
    reference = ReferenceLearner(run, initial_network(run))
    for number in range(TASKS):
        task = random_task(run, run.dataset.examples_per_task, number)
        learner = NativeLearner(run, reference.network())
        found, expected = (each.learn(task, ignore, losses=True) for each in (learner, reference))
        assert found.replaced.tolist() == expected.replaced.tolist()
        assert found.losses.before == pytest.approx(expected.losses.before, rel=2e-3, abs=2e-4)
        assert found.losses.after == pytest.approx(expected.losses.after, rel=2e-3, abs=2e-4)
        np.testing.assert_allclose(found.weight_magnitude, expected.weight_magnitude, rtol=1e-3)
        assert_agree(learner.network(), reference.network())


def sparse_task(run: Run, number: int) -> Task:
    """A task of examples of which most inputs are 0, so that rows wait for hundreds of steps."""
    draw, dataset = np.random.default_rng(number), run.dataset
    rows = draw.uniform(0, 1, (dataset.examples_per_task, dataset.inputs)) * (
        draw.random((dataset.examples_per_task, dataset.inputs)) < 0.03
    )
    labels = draw.integers(0, dataset.outputs, len(rows)).astype(np.int32)
    order = np.arange(len(rows), dtype=np.int32)
    return Task(number, number * dataset.steps_per_task, rows.astype(np.float32), labels, order)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("method", ["cbp", "cpr"])
def test_rows_that_wait_to_be_pulled_equal_those_that_are_pulled_in_every_step(
    method, batch_size, monkeypatch
):
    """By the reference, by programs that move all weights, and by rows that are settled once they are used."""
    replacement = {
        "cbp": {"name": "cbp", "rate": 0.01, "maturity_threshold": 20, "bias_compensation": True},
        "cpr": {"name": "cpr", "interval": 40, "strength": 0.2},
    }[method]
    if method == "cpr" and batch_size > 1:
        pytest.skip("the gradient of a batch has no native form")
    run = Run(
        model={"name": "mlp", "widths": [37, 21]}, replacement=replacement,
        regulariser={"name": "l2_init", "strength": 0.05}, optimiser={"name": "sgd", "step_size": 0.02},
        dataset=Examples(inputs=60, outputs=4, batch_size=batch_size, examples_per_task=200 * batch_size),
    )  # fmt: skip
    assert isinstance(forms.form(run.regulariser, run), Pulled)
    waiting, reference = (one(run, initial_network(run)) for one in (NativeLearner, ReferenceLearner))
    monkeypatch.setattr(forms, "can_wait", lambda run: False)
    learners = [waiting, reference, NativeLearner(run, initial_network(run))]
    assert not isinstance(forms.form(run.regulariser, run), Pulled)
    replaced = 0
    for number in range(2):
        task = sparse_task(run, number)
        found, *expected = (one.learn(task, ignore) for one in learners)
        for other in expected:
            assert found.replaced.tolist() == other.replaced.tolist()
            assert found.loss == pytest.approx(other.loss, rel=1e-5)
            np.testing.assert_allclose(found.weight_magnitude, other.weight_magnitude, rtol=5e-5)
        for learner in learners[1:]:
            assert_agree(waiting.network(), learner.network())
        replaced += found.replaced.sum()
    assert replaced > 5


def test_activations_before_the_first_step_are_those_of_the_network_as_it_is():
    """Rows that wait to be pulled owe nothing yet."""
    run = Run(regulariser={"name": "l2_init"}, dataset=Examples(inputs=60, outputs=4, examples_per_task=50))
    learners = [one(run, initial_network(run)) for one in (NativeLearner, ReferenceLearner)]
    assert isinstance(forms.form(run.regulariser, run), Pulled)
    task = sparse_task(run, 0)
    for found, expected in zip(*(learner.activations(task, 50) for learner in learners), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    losses = [learner.learn(task, ignore).loss for learner in learners]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_rows_in_use_are_those_of_inputs_even_where_a_network_diverges(value):
    """Layers are padded, and 0 · ∞ is not 0 there: the kernel would go through memory that is not the layer's."""
    run = Run(model={"width": 9, "depth": 2}, dataset=Examples(inputs=7, outputs=3, examples_per_task=5))
    network = initial_network(run)
    network.weights[0][:] = value
    learner = NativeLearner(run, network)
    learner.activations(random_task(run, 5), 5)
    assert [layer.used <= layer.inputs for layer in learner.layers] == [True, True, True]


def test_a_reset_run_goes_on_with_the_initial_values_that_it_was_reset_to():
    run = Run(
        model={"width": 9, "depth": 2}, replacement={"name": "cbp", "layers": []},
        regulariser={"name": "l2_init", "strength": 0.1}, intervention="reset",
        dataset=Examples(inputs=7, outputs=3, examples_per_task=50),
    )  # fmt: skip
    network = initial_network(run)
    run.intervention(run, network, 1)
    learners = [one(run, network) for one in (NativeLearner, ReferenceLearner)]
    for learner in learners:
        learner.learn(random_task(run, 50), ignore)
    found, expected = (learner.network() for learner in learners)
    assert found.was_reset
    assert_agree(found, expected)
    resumed = NativeLearner(run, Network.from_arrays(found.arrays()))
    for learner in (learners[0], resumed):
        learner.learn(random_task(run, 50, 1), ignore)
    assert_identical(resumed.network(), learners[0].network())


@pytest.mark.parametrize(
    "others",
    [
        {
            "replacement": {
                "rate": 0.02,
                "maturity_threshold": 5,
                "decay_rate": 0.9,
                "utility": "contribution",
            }
        },
        {"replacement": {"rate": 0.02, "maturity_threshold": 5, "decay_rate": 0.9, "utility": "adaptation"}},
        {"perturbation": {"name": "shrink_and_perturb", "every": 3, "shrink": 0.1, "noise": 0.01}},
    ],
    ids=["not at all", "by its utility", "perturbed"],
)
def test_weights_are_clipped_at_the_end_of_a_step_whatever_sees_them_before(others):
    run = Run(
        model={"width": 9, "depth": 2}, constraint={"name": "weight_clipping", "bound": 1.0},
        optimiser={"name": "sgd", "step_size": 0.3}, dataset=Examples(inputs=7, outputs=3, examples_per_task=60),
        **others,
    )  # fmt: skip
    learner, reference = (one(run, initial_network(run)) for one in (NativeLearner, ReferenceLearner))
    free = NativeLearner(replace(run, constraint="none"), initial_network(run))
    task = random_task(run, 60)
    found, expected, unbounded = (one.learn(task, ignore) for one in (learner, reference, free))
    assert found.replaced.tolist() == expected.replaced.tolist()
    assert_agree(learner.network(), reference.network())
    assert found.weight_magnitude[0] < 0.8 * unbounded.weight_magnitude[0]


@pytest.mark.parametrize("every", [1, 7])
def test_a_perturbed_learner_resumes_bit_for_bit(every, monkeypatch):
    """With silences and limits of weights, too, and in pieces that end anywhere."""
    run = Run(
        model={"width": 9, "depth": 2}, constraint={"name": "weight_clipping", "bound": 1.0},
        replacement={"name": "snr", "quantile": 0.8, "update_tasks": 1, "least": 2, "most": 30},
        perturbation={"name": "shrink_and_perturb", "every": every, "shrink": 0.05, "noise": 0.1},
        dataset=Examples(inputs=7, outputs=3, examples_per_task=45),
    )  # fmt: skip
    tasks = [random_task(run, 45, number) for number in range(3)]
    uninterrupted, network, replaced = NativeLearner(run, initial_network(run)), initial_network(run), 0
    for task in tasks:
        learner = NativeLearner(run, Network.from_arrays(network.arrays()))
        monkeypatch.setattr(native, "ADVANCE_EVERY", 5)
        result = learner.learn(task, ignore)
        monkeypatch.undo()
        assert result.replaced.tolist() == uninterrupted.learn(task, ignore).replaced.tolist()
        network, replaced = learner.network(), replaced + result.replaced.sum()
    assert_identical(network, uninterrupted.network())
    assert replaced > 3


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_loss_after_a_step_sees_rows_as_they_will_be_and_leaves_them_waiting(batch_size):
    run = Run(
        model={"name": "mlp", "widths": [20, 21]}, replacement={"name": "cbp", "rate": 1e-3},
        regulariser={"name": "l2_init", "strength": 0.005}, optimiser={"name": "sgd", "step_size": 0.2},
        dataset=Examples(inputs=60, outputs=4, batch_size=batch_size, examples_per_task=200 * batch_size),
    )  # fmt: skip
    assert isinstance(forms.form(run.regulariser, run), Pulled)
    asked, unasked, reference = (
        one(run, initial_network(run)) for one in (NativeLearner, NativeLearner, ReferenceLearner)
    )
    for number in range(2):
        task = sparse_task(run, number)
        unasked.learn(task, ignore)
        found, expected = (one.learn(task, ignore, losses=True).losses for one in (asked, reference))
        assert found.after == pytest.approx(expected.after, rel=1e-4)
        ours, theirs = asked.network().parameters, unasked.network().parameters
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
