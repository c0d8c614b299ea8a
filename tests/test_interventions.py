"""What is done to a network at the start of a task, by hand and in every engine: interventions, perturbations."""

import json
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import pytest
import torch
from conftest import kill_after_checkpoint, uninterrupted

import plasticity
from plasticity.composition.methods import method_name
from plasticity.engines import get
from plasticity.errors import ConfigError, UserError
from plasticity.interventions import Fire, Intervention, NoIntervention, Reset, isometric
from plasticity.launch.trial import check_part
from plasticity.networks.network import Network, initial_network
from plasticity.optimisers import Optimiser
from plasticity.part import number
from plasticity.perturbations import NoPerturbation, Perturbation, ShrinkAndPerturb
from plasticity.regularisers import Regulariser
from plasticity.run import Run, completed
from plasticity.streams import Purpose, uniform
from plasticity.training.record import intervene, learn_record


@dataclass(frozen=True, kw_only=True)
class Momentum(Optimiser):
    """SGD with momentum, whose memory a reset has to clear."""

    def memory(self, parameter):
        return {"momentum": torch.zeros_like(parameter), "steps": torch.zeros((), dtype=torch.int64)}

    def step(self, parameter, gradient, memory):
        memory["steps"] += 1
        memory["momentum"].mul_(0.9).add_(gradient)
        parameter.sub_(memory["momentum"], alpha=0.005)


@dataclass(frozen=True, kw_only=True)
class Regenerative(Regulariser):
    """strength / 2 · ‖θ − θ₀‖²."""

    strength: float = number(0.1, at_least=0)

    def term(self, parameter, initial):
        return self.strength * (parameter - initial)


SMALL = {
    "model": {"widths": [7, 5]},
    "dataset": {"tasks": 4, "examples_per_task": 60},
    "replacement": {"rate": 0.02, "maturity_threshold": 10},
    "seed": 3,
}
OWN = {"optimiser": Momentum(), "regulariser": Regenerative()}


def run(intervention=None, perturbation=None, **values):
    parts = {
        "intervention": intervention or NoIntervention(),
        "perturbation": perturbation or NoPerturbation(),
    }
    return Run.of(SMALL | parts | values)


def learnt(of, engine="reference", tasks=1):
    """A learner after some tasks."""
    learner, stream = get(engine).learner(of, initial_network(of)), of.dataset.open(of.seed, None)
    for task in range(tasks):
        learner.learn(stream.task(task), lambda steps: None)
    return learner


def changed(of, change, task=2):
    """A network before and after a change."""
    before = learnt(of).network()
    after = Network.from_arrays({name: array.copy() for name, array in before.arrays().items()})
    change(of, after, task)
    return before, after


def by_hand(purpose, task):
    """The fresh weights of the network of `SMALL`, by their bounds."""
    bounds = [sqrt(2) * sqrt(3 / 784), sqrt(2) * sqrt(3 / 7), sqrt(3 / 5)]
    return [
        uniform(bound, 3, purpose, (layer, 0, task), units * inputs).reshape(units, inputs)
        for layer, (bound, units, inputs) in enumerate(zip(bounds, (7, 5, 10), (784, 7, 5), strict=True))
    ]


# --- Each by hand -------------------------------------------------------------------------------------------


def test_a_full_reset_draws_all_parameters_anew_and_forgets_everything():
    of = run(Reset(), **OWN)
    before, after = changed(of, of.intervention)
    assert (
        max(before.memory["age.0"]) > 0 and before.memory["steps.0"] if "steps.0" in before.memory else True
    )
    for layer, weights in enumerate(by_hand(Purpose.RESET, 2)):
        assert np.array_equal(after.weights[layer], weights) and not after.biases[layer].any()
        assert np.array_equal(after.memory[f"initial.weights.{layer}"], weights)
        assert not after.memory[f"initial.biases.{layer}"].any()
    start = initial_network(of).memory
    assert all(np.array_equal(after.memory[name], array) for name, array in start.items())
    assert {name for name in after.memory if not name.startswith("initial.")} == set(start)
    assert any(array.any() for name, array in before.memory.items() if name in start)


def test_biases_are_drawn_where_the_model_draws_them():
    of = run(Reset(), model={"widths": [7, 5], "initial": "uniform"})
    _, after = changed(of, of.intervention, task=1)
    assert np.array_equal(after.biases[1], uniform(1 / sqrt(7), 3, Purpose.RESET, (1, 1, 1), 5))


def test_a_reset_of_the_head_leaves_all_else():
    of = run(Reset(part="head"), **OWN)
    before, after = changed(of, of.intervention)
    assert np.array_equal(after.weights[2], by_hand(Purpose.RESET, 2)[2]) and not after.biases[2].any()
    assert before.biases[2].any()
    gone = {f"{kind}.{name}.2" for kind in ("weights", "biases") for name in ("momentum", "steps")}
    assert gone < set(before.memory) and set(after.memory) == set(before.memory) - gone
    kept = before.arrays().keys() - gone - {"weights.2", "biases.2"}
    assert all(np.array_equal(before.arrays()[name], after.arrays()[name]) for name in kept)


def isometric_by_hand(weights):
    """The iteration as it is written, in double precision."""
    is_wide = weights.shape[1] > weights.shape[0]
    x = (weights.T if is_wide else weights).astype(np.float64)
    x /= sqrt((x**2).sum())
    for _ in range(10):
        x = 1.5 * x - 0.5 * (x @ x.T @ x)
    return (x.T if is_wide else x) * sqrt(weights.shape[0] / weights.shape[1])


def test_fire_pulls_every_weight_matrix_towards_an_orthogonal_one():
    of = run(Fire())
    before, after = changed(of, of.intervention)
    for layer in range(3):
        np.testing.assert_allclose(after.weights[layer], isometric_by_hand(before.weights[layer]), atol=2e-6)
        assert after.weights[layer].dtype == np.float32
        assert np.array_equal(after.biases[layer], before.biases[layer])
    assert all(np.array_equal(after.memory[name], array) for name, array in before.memory.items())
    tall = isometric(initial_network(of).weights[2]).astype(
        np.float64
    )  # [10, 5], √2 times orthonormal columns
    assert np.abs(tall.T @ tall / 2 - np.eye(5)).max() < 0.01
    assert not isometric(np.zeros((3, 4), np.float32)).any()


def test_fire_takes_each_position_of_a_kernel_as_a_matrix():
    filters = np.random.default_rng(0).normal(size=(6, 4, 2, 3)).astype(np.float32)
    found = isometric(filters)
    for row in range(2):
        for column in range(3):
            expected = isometric_by_hand(filters[:, :, row, column]) / 6
            np.testing.assert_allclose(found[:, :, row, column], expected, atol=1e-6)


def test_shrink_and_perturb_adds_fresh_parameters_to_smaller_ones():
    of = run(perturbation=ShrinkAndPerturb(shrink=0.25, noise=0.5), **OWN)
    before, after = changed(of, of.perturbation)
    for layer, fresh in enumerate(by_hand(Purpose.PERTURBATION, 2)):
        assert np.array_equal(after.weights[layer], np.float32(0.75) * before.weights[layer] + fresh / 2)
        assert np.array_equal(after.biases[layer], np.float32(0.75) * before.biases[layer])
        assert after.weights[layer].dtype == np.float32
    assert after.memory.keys() == before.memory.keys()
    assert all(np.array_equal(after.memory[name], array) for name, array in before.memory.items())


def test_gains_are_perturbed_towards_1_and_offsets_towards_0():
    model = {"widths": [7, 5], "normalisation": "layer_norm"}
    of = run(perturbation=ShrinkAndPerturb(shrink=0.25, noise=0.5), model=model)
    before, after = changed(of, of.perturbation)
    for layer in (0, 1):
        gains, offsets = (before.parameters[f"{kind}.{layer}"] for kind in ("gains", "offsets"))
        assert np.array_equal(after.parameters[f"gains.{layer}"], np.float32(0.75) * gains + np.float32(0.5))
        assert np.array_equal(after.parameters[f"offsets.{layer}"], np.float32(0.75) * offsets)


def test_initial_parameters_are_those_of_the_last_reset():
    of = run(Reset(), ShrinkAndPerturb(shrink=0.5, fresh="initial"))
    assert of.perturbation.noise == 0.5
    before, after = changed(of, of.perturbation)
    assert np.array_equal(after.weights[0], before.weights[0] / 2 + initial_network(of).weights[0] / 2)
    learner = learnt(of)
    intervene(of, learner, 1)
    expected = by_hand(Purpose.RESET, 1)[1]  # half of it, and half of it again
    assert np.array_equal(learner.network().weights[1], expected)


# --- When ---------------------------------------------------------------------------------------------------

CALLS: list = []


class NoteIntervention(Intervention):
    def __call__(self, run, network, task):
        CALLS.append(("intervention", task, network.weights[0].copy()))
        network.parameters["weights.0"] += 1


class NotePerturbation(Perturbation):
    def __call__(self, run, network, task):
        CALLS.append(("perturbation", task, network.weights[0].copy()))


class Look(plasticity.Diagnostic):
    def __call__(self, view):
        CALLS.append(("before", view.task.number, view.network.weights[0]))
        return {}


def test_the_intervention_comes_first_then_the_perturbation_and_neither_before_the_first_task():
    CALLS.clear()
    of = run(NoteIntervention(), NotePerturbation())
    learner, stream = learnt(of, tasks=0), of.dataset.open(3, None)
    for record in range(3):
        learn_record(of, stream, learner, record, [Look()])
    assert [call[:2] for call in CALLS] == [
        ("before", 0),
        *[(name, task) for task in (1, 2) for name in ("before", "intervention", "perturbation")],
    ]
    before, intervention, perturbation = (call[2] for call in CALLS[1:4])
    assert np.array_equal(before, intervention) and np.array_equal(intervention + 1, perturbation)


# --- In both engines of networks like these (the third is in `test_compiled`) -------------------------------

CHANGES = {
    "full": (Reset(), None),
    "head": (Reset(part="head"), None),
    "fire": (Fire(), None),
    "perturb": (None, ShrinkAndPerturb()),
    "both": (Fire(), ShrinkAndPerturb(fresh="initial")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_native_engine_gives_the_same_network(name):
    of = run(*CHANGES[name])
    network = learnt(of).network()
    found = {}
    for engine in ("native", "reference"):
        learner = learnt(of, engine, tasks=0)
        learner.load(network)
        intervene(of, learner, 1)
        found[engine] = learner.network()
    for key, array in found["reference"].arrays().items():
        assert key.startswith("initial.") or np.array_equal(found["native"].arrays()[key], array), key
    assert not np.array_equal(found["native"].weights[2], network.weights[2])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_loaded_learner_is_as_a_new_one(engine):
    of = run(replacement={"rate": 0.02, "maturity_threshold": 10, "utility": "adaptable_contribution"})
    network, task = learnt(of, engine, tasks=2).network(), of.dataset.open(3, None).task(2)
    new, used = get(engine).learner(of, network), learnt(of, engine, tasks=1)
    used.load(network)
    one, other = (learner.learn(task, lambda steps: None) for learner in (new, used))
    assert (one.loss, one.score, one.replaced.tolist()) == (other.loss, other.score, other.replaced.tolist())
    assert sum(one.replaced) > 0
    for key, array in new.network().arrays().items():
        assert np.array_equal(array, used.network().arrays()[key]), key


def test_a_reset_run_resumes_with_the_initial_values_that_it_was_reset_to():
    of = run(Reset(), **OWN)
    stream, whole = of.dataset.open(3, None), learnt(of, tasks=0)
    expected = [learn_record(of, stream, whole, record) for record in range(4)]
    halves = learnt(of, tasks=0)
    rows = [learn_record(of, stream, halves, record) for record in range(2)]
    kept = halves.network().arrays()
    assert "initial.weights.1" in kept and "initial.weights.1" not in learnt(of).network().arrays()
    resumed = get("reference").learner(of, Network.from_arrays(kept))
    rows += [learn_record(of, stream, resumed, record) for record in (2, 3)]
    assert rows == expected
    assert np.array_equal(resumed.initial["weights.0"], by_hand(Purpose.RESET, 3)[0])


def test_a_killed_run_resumes_to_the_same_numbers(command, tmp_path):
    short = ["dataset.tasks=40", "dataset.examples_per_task=500", "model.width=10", "model.depth=2"]
    of = [*short, "checkpoint_seconds=1e-6", "intervention=reset", "perturbation=shrink_and_perturb"]
    folder = kill_after_checkpoint(command, *of, pause=0.05)
    assert command(*of).returncode == 0
    kept = json.loads((folder / "state.json").read_text())
    assert kept["status"] == "finished" and "started over" not in str(kept["notes"])
    assert kept["provenance"]["engine"] == "native"
    tables = command.tables()
    assert tables == uninterrupted(tmp_path / "whole", *of)
    assert list(tables.values()) != list(uninterrupted(tmp_path / "plain", *short).values())


# --- In a config --------------------------------------------------------------------------------------------


def test_none_is_left_out_of_an_identity_and_of_stored_runs():
    plain = Run()
    assert (
        plain.identity
        == replace(plain, intervention=NoIntervention(), perturbation=NoPerturbation()).identity
    )
    stored = {
        key: value for key, value in plain.values().items() if key not in ("intervention", "perturbation")
    }
    assert Run.stored(stored) == plain and completed(stored) == plain.values()
    names = [replace(plain, intervention=one).identity for one in (Reset(), Reset(part="head"), Fire())]
    assert len({plain.identity, *names}) == 4
    assert replace(plain, perturbation=ShrinkAndPerturb(shrink=0, noise=0)) == plain


def test_choices_and_refusals():
    of = plasticity.compose("intervention=reset", "intervention.part=head", "perturbation=shrink_and_perturb")
    assert of.intervention == Reset(part="head") and of.perturbation == ShrinkAndPerturb()
    assert method_name(of) == "cbp + reset + shrink_and_perturb"
    with pytest.raises(ConfigError, match=r"perturbation.every=0 is refused: it must be task, or a number"):
        plasticity.compose("perturbation=shrink_and_perturb", "perturbation.every=0")
    with pytest.raises(ConfigError, match=r"perturbation.noise=0.1 is refused: it must be left out"):
        run(perturbation={"name": "shrink_and_perturb", "fresh": "initial", "noise": 0.1})
    with pytest.raises(ConfigError, match=r"intervention.part=tail is refused: it must be one of full, head"):
        run({"name": "reset", "part": "tail"})


class Shorter(Intervention):
    def __call__(self, run, network, task):
        network.parameters["weights.0"] = network.parameters["weights.0"][1:]


@pytest.mark.parametrize(
    ("kind", "reason"), [(Shorter, "keeps the shapes of all parameters"), (Intervention, "defines __call__")]
)
def test_a_change_of_ones_own_is_tried_first(kind, reason):
    with pytest.raises(UserError, match=reason):
        check_part(run(kind()), "intervention", None)
    check_part(run(NoteIntervention()), "intervention", None)
