"""Diagnostics as parts: what they look at, the columns that they give, and that they change nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from oracle import Oracle, random_task, small_run

from plasticity import diagnostics
from plasticity.composition.compose import compose_all, compose_settings
from plasticity.datasets import SparseRows, Task
from plasticity.diagnostics import (
    Curvature,
    DeadUnits,
    Diagnostic,
    Distance,
    DormantUnits,
    DuplicateUnits,
    EffectiveRank,
    GradientNorm,
    LinearisedUnits,
    Measurement,
    Probing,
    Rank,
    StepPlasticity,
    Utilities,
    View,
    ZeroGradients,
    curvature_rank,
    probing_accuracy,
)
from plasticity.engines import get
from plasticity.engines.kernel import binding
from plasticity.networks.network import initial_network
from plasticity.part import subclasses, to_part
from plasticity.training.record import learn_record

torch.set_num_threads(1)

AVAILABLE = [name for name in ("native", "reference") if get(name).unsupported(small_run()) is None]
CONF = Path(__file__).parent.parent / "conf" / "diagnostics"

ALL = compose_settings(["diagnostics=full"]).diagnostics


def learner_of(run, engine="reference", tasks=()):
    learner = get(engine).learner(run, initial_network(run))
    for task in tasks:
        learner.learn(task, lambda steps: None)
    return learner


class Tasks:
    """A stream of tasks of 30 examples."""

    def __init__(self, run):
        self.run = run

    def task(self, number):
        return random_task(self.run, 30, number)


def deep(activation="relu", **values):
    return small_run(inputs=6, width=5, depth=3, outputs=4, activation=activation, **values)


# --- What they look at ---


def permuted(sparse: bool) -> Task:
    draw = np.random.default_rng(0)
    rows = (draw.random((9, 7)) * (draw.random((9, 7)) > 0.5)).astype(np.float32)
    rows[4] = 0
    order, permutation = draw.permutation(9)[:6], draw.permutation(7)
    kept = SparseRows.of(rows) if sparse else rows
    return Task(
        0, 0, kept, np.arange(9, dtype=np.int32), order.astype(np.int32), permutation.astype(np.int32)
    )


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("examples", [1, 4, 6, 100])
def test_the_inputs_of_several_examples_are_those_of_each(sparse, examples):
    task = permuted(sparse)
    each = [task.example(position) for position in range(min(examples, 6))]
    assert task.inputs(examples).tolist() == np.stack(each).tolist()
    assert task.inputs(examples).dtype == np.float32


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("activation", binding.numbers("activation"))
def test_activations_are_those_of_a_plain_forward_pass(engine, activation):
    run = deep(activation)
    task, other = random_task(run, 40), random_task(run, 20, number=1)
    learner = learner_of(run, engine, [other])
    oracle = Oracle(run, learner.network())
    expected = [oracle.forward(task.example(position))[1] for position in range(30)]
    found = learner.activations(task, 30)
    assert [h.dtype for h in found] == [np.float32] * 3
    for layer, h in enumerate(found):
        np.testing.assert_allclose(h, [each[layer] for each in expected], rtol=2e-5, atol=2e-6)
    assert [h.shape for h in learner.activations(task, 1_000)] == [(40, 5)] * 3
    z = View(run, learner, task).pre_activations(30)
    for layer, h in enumerate(z):
        sums = [oracle.forward(task.example(position))[0][layer] for position in range(30)]
        np.testing.assert_allclose(h, sums, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_measuring_changes_neither_results_nor_network(engine, activation, weight_decay):
    run = deep(activation, rate=0.05, maturity_threshold=3, weight_decay=weight_decay)

    measured, plain = learner_of(run, engine), learner_of(run, engine)
    for record in range(3):
        with_columns = learn_record(run, Tasks(run), measured, record, [*ALL, StepPlasticity()])
        row = learn_record(run, Tasks(run), plain, record)
        assert {name: with_columns[name] for name in row} == row
        assert len(with_columns) > len(row)
    one, other = measured.network().arrays(), plain.network().arrays()
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }


@pytest.mark.skipif(len(AVAILABLE) < 2, reason="there is one engine")
@pytest.mark.parametrize("activation", binding.numbers("activation"))
def test_both_engines_measure_the_same_in_the_same_state(activation):
    run = deep(activation)
    network = learner_of(run, "reference", [random_task(run, 50)]).network()
    task = random_task(run, 200, number=1)
    found = [
        Measurement(ALL, run, get(engine).learner(run, network), task) for engine in ("native", "reference")
    ]
    for one, other in zip(found[0].before().items(), found[1].before().items(), strict=True):
        assert one[0] == other[0] and one[1] == pytest.approx(other[1], rel=1e-4, abs=1e-6)
    assert found[0].after()["utility_mean.layer_1"] == found[1].after()["utility_mean.layer_1"]


# --- Columns ---


class Fixed:
    """A learner with given activations and a given network."""

    def __init__(self, network, *activations):
        self.fixed, self.of_layers = network, [np.array(h, np.float32) for h in activations]

    def activations(self, task, examples):
        return [h[:examples] for h in self.of_layers]

    def network(self):
        return self.fixed


def test_columns_are_named_after_measure_and_layer():
    run = small_run(width=3, depth=2)
    alive, half = np.array([[1, 2, 3], [4, 5, 7], [1, 0, 1]]), np.array([[1, 0, 2], [1, 0, 2], [1, 0, 2]])
    view = View(run, Fixed(initial_network(run), alive, half), random_task(run, 3))
    assert DeadUnits()(view) == {"dead_units.layer_1": 0, "dead_units.layer_2": 1}
    assert DormantUnits()(view) == {"dormant_units.layer_1": 0, "dormant_units.layer_2": 1 / 3}
    assert DormantUnits(threshold=1)(view)["dormant_units.layer_2"] == 2 / 3
    assert LinearisedUnits()(view) == {"linearised_units.layer_1": 2 / 3, "linearised_units.layer_2": 2 / 3}
    assert DuplicateUnits()(view) == {"duplicate_units.layer_1": 2 / 3, "duplicate_units.layer_2": 1 / 3}
    assert Rank()(view) == {"rank.layer_1": 3, "rank.layer_2": 1}
    assert EffectiveRank()(view)["effective_rank.layer_2"] == pytest.approx(1)
    assert all(type(value) is int for part in (DeadUnits, Rank) for value in part()(view).values())
    assert DeadUnits(examples=2)(view) == {"dead_units.layer_1": 0, "dead_units.layer_2": 1}
    assert LinearisedUnits(examples=2)(view)["linearised_units.layer_1"] == 1


def test_what_is_not_finite_is_nan_in_a_row_and_no_reason_to_stop():
    run = small_run(width=2, depth=1)
    view = View(run, Fixed(initial_network(run), [[np.nan, 1], [1, 1]]), random_task(run, 2))
    for part in (DeadUnits(), Rank(), EffectiveRank(), DuplicateUnits(), DormantUnits()):
        assert np.isnan(list(part(view).values())).all()


def test_distance_is_from_the_runs_own_start():
    run = small_run(inputs=3, width=2, depth=1, outputs=2)
    network = initial_network(run)
    network.weights[0][1, 2] += 3
    network.biases[0][0] += 4
    network.biases[1][1] -= 12
    found = Distance().after(View(run, Fixed(network), random_task(run, 2)))
    expected = {"layer_1": 5, "output": 12}
    assert found == {
        **{
            f"distance_from_initialisation.{name}": pytest.approx(value, rel=1e-6)
            for name, value in expected.items()
        },
        "distance_from_initialisation": pytest.approx(13, rel=1e-6),
    }


def test_utilities_are_the_running_ones_after_the_task():
    run = small_run(width=4, depth=2)
    network = initial_network(run)
    network.memory["utility.0"][:], network.memory["utility.1"][:] = [4, 1, 2, 9], [0, 0, 0, 1]
    found = Utilities().after(View(run, Fixed(network), random_task(run, 2)))
    assert found["utility_mean.layer_1"] == 4 and found["utility_median.layer_1"] == 3
    assert found["utility_min.layer_1"] == 1 and found["utility_max.layer_1"] == 9
    assert found["utility_mean.layer_2"] == 0.25 and len(found) == 8


def test_a_method_without_utilities_has_no_columns_of_them():
    run = small_run()
    network = initial_network(run)
    network.memory.clear()
    assert Utilities().after(View(run, Fixed(network), random_task(run, 2))) == {}


def test_the_norm_and_the_zeros_of_gradients_of_a_network_are_those_of_all_its_weights():
    run = deep()
    learner, task = learner_of(run), random_task(run, 40)
    learner.parameters["biases.0"].data.fill_(-0.3)
    network = list(learner.parameters.values())
    gradients, zeros = [0.0] * 4, [0.0] * 4
    for position in range(30):
        outputs = learner.forward(torch.from_numpy(task.example(position)))[-1].outputs
        loss = run.dataset.objective.loss(outputs, torch.tensor(int(task.targets[task.order[position]])))
        for layer, gradient in enumerate(torch.autograd.grad(loss, network)[::2]):
            gradients[layer] = gradients[layer] + gradient.double() / 30
            zeros[layer] = zeros[layer] + (gradient == 0).double() / 30
    view = View(run, learner, task)
    norm, zero = GradientNorm(examples=30)(view), ZeroGradients(examples=30)(view)
    whole = torch.cat([gradient.flatten() for gradient in gradients])
    share = torch.cat([each.flatten() for each in zeros])
    assert norm["gradient_norm"] == pytest.approx(float(whole.norm()), rel=1e-5)
    assert norm["gradient_norm.output"] == pytest.approx(float(gradients[3].norm()), rel=1e-5)
    assert zero["zero_gradients"] == pytest.approx(float(share.mean()))
    assert zero["zero_gradients.layer_2"] == pytest.approx(float(zeros[1].mean()))
    assert 0 < zero["zero_gradients"] < 1


def test_curvature_is_of_every_layer_and_of_the_network():
    run = deep()
    view = View(run, learner_of(run), random_task(run, 60))
    found = Curvature(examples=50)(view)
    errors, inputs = view.errors_and_inputs(50)
    assert [len(error) for error in errors] == [50] * 4
    names = [*(f"curvature_rank.layer_{layer}" for layer in (1, 2, 3)), "curvature_rank.output"]
    each = [curvature_rank(*pair) for pair in zip(errors, inputs, strict=True)]
    assert found == dict(zip(names, each, strict=True)) | {"curvature_rank": curvature_rank(errors, inputs)}
    assert all(type(value) is int for value in found.values())


def test_probes_before_and_after_a_task_are_different_draws_from_the_runs_seed():
    run = deep(seed=7)
    learner, task = learner_of(run), random_task(run, 200, number=3)
    view = View(run, learner, task)
    before, after = Probing(epochs=1)(view), Probing(epochs=1).after(view)
    h, targets = learner.activations(task, 200)[1], task.targets[task.order]
    assert before["probing_accuracy_before.layer_2"] == probing_accuracy(
        h, targets, 7, (3, 2, 0), 4, epochs=1
    )
    assert after["probing_accuracy_after.layer_2"] == probing_accuracy(h, targets, 7, (3, 2, 1), 4, epochs=1)
    assert list(before.values()) != list(after.values())


def test_a_regression_has_no_probes():
    run = small_run(loss="squared_error")
    assert Probing()(View(run, learner_of(run), random_task(run, 20))) == {}


def test_only_measures_that_are_due_are_taken():
    run = small_run()
    parts = [DeadUnits(every=2), Rank(every=3), Utilities(every=2)]
    columns = []
    for number in range(4):
        measurement = Measurement(parts, run, learner_of(run), random_task(run, 5, number))
        columns.append([*measurement.before(), *measurement.after()])
        assert not measurement.of_steps
    utilities = [f"utility_{name}.layer_1" for name in ("mean", "median", "min", "max")]
    both = ["dead_units.layer_1", *utilities]
    assert columns == [["dead_units.layer_1", "rank.layer_1", *utilities], [], both, ["rank.layer_1"]]


@pytest.mark.parametrize("engine", AVAILABLE)
def test_steps_are_measured_where_that_is_due(engine):
    run = small_run(inputs=6, width=5, outputs=4)
    learner, parts = learner_of(run, engine), [StepPlasticity(every=2), DeadUnits()]
    rows = [learn_record(run, Tasks(run), learner, record, parts) for record in range(3)]
    assert ["step_plasticity" in row for row in rows] == [True, False, True]
    assert all("dead_units.layer_1" in row for row in rows) and 0 < rows[2]["step_plasticity"] < 1


# --- Choices ---


def test_every_measure_is_a_choice_by_its_own_name():
    single = {path.stem for path in CONF.glob("*.yaml")} - {"none", "basic", "full"}
    parts = {
        part.name
        for part in subclasses(Diagnostic)
        if part.__module__ == "plasticity.diagnostics.measures" and "." not in part.name
    }
    assert single == parts == {part.name for part in ALL} | {"step_plasticity"}
    for name in single:
        text = (CONF / f"{name}.yaml").read_text()
        assert text.startswith(f"# @package diagnostics.{name}\n")
        assert to_part(Diagnostic, yaml.safe_load(text), name).name == name


def test_basic_is_part_of_full():
    basic = compose_settings(["diagnostics=basic"]).diagnostics
    assert basic == ALL[: len(basic)] and len(basic) < len(ALL)


def test_diagnostics_are_not_part_of_a_runs_identity():
    chosen = ["none", "basic", "full", "dead_units", "[basic,curvature_rank]"]
    runs = compose_all([[f"diagnostics={name}"] for name in chosen])
    assert len(set(runs)) == 1 and len({run.identity for run in runs}) == 1


def test_every_public_name_is_there():
    assert all(hasattr(diagnostics, name) for name in diagnostics.__all__)
