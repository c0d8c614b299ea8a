"""The compiled engine against the reference engine, with parts that it has never seen."""

import sys

import numpy as np
import pytest
import user

import plasticity
from plasticity.diagnostics import step_plasticity
from plasticity.engines import choose, get
from plasticity.errors import UserError
from plasticity.network import initial_network
from plasticity.replacement import Replacement

if get("compiled").unsupported(plasticity.compose()) is not None:
    pytest.skip("no C++ compiler", allow_module_level=True)

SMALL = ["model.width=8", "model.depth=2", "dataset.tasks=2", "dataset.examples_per_task=400"]
OFTEN = ["replacement.rate=0.02", "replacement.maturity_threshold=20", "optimiser.step_size=0.02"]


class Oldest(Replacement):
    """Every 50 steps replaces the unit of each layer that was replaced longest ago, if it is not in the first."""

    def initial_memory(self, units):
        return {"age": np.zeros(units, np.int64), "steps": np.zeros((), np.int64)}

    def update(self, memory, step):
        for number in memory["age"] + memory["steps"]:
            number += 1
        return [(steps % 50 == 0).double() for steps in memory["steps"]]

    def choose(self, memory, step, due):
        assert step.number % 50 == 49, "units are chosen only when they are due"
        return [[int(age.argmax())] if layer else [] for layer, age in enumerate(memory["age"])]


@pytest.fixture(scope="module", autouse=True)
def my_parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    user.write(folder)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("my_parts", None)


def both(run, tasks):
    """The results of each task, and the networks after the last one, of both engines."""
    found = []
    stream = run.dataset.open(run.seed, None)
    for name in ("reference", "compiled"):
        learner = get(name).learner(run, initial_network(run))
        results = [
            learner.learn(stream.task(number), lambda steps: None, losses=True) for number in range(tasks)
        ]
        found.append((results, learner.network()))
    return found


def share(result):
    return step_plasticity(result.losses.before, result.losses.after)


def assert_equal(run, tasks=2):
    (expected, reference), (results, compiled) = both(run, tasks)
    for one, other in zip(expected, results, strict=True):
        assert other.replaced.tolist() == one.replaced.tolist()
        assert other.score == pytest.approx(one.score, abs=3 / run.dataset.examples_per_task)
        assert other.loss == pytest.approx(one.loss, rel=1e-4)
        assert other.weight_magnitude == pytest.approx(one.weight_magnitude, rel=1e-5)
        assert share(other) == pytest.approx(share(one), abs=1e-3)
    for one, other in zip(
        reference.weights + reference.biases, compiled.weights + compiled.biases, strict=True
    ):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-4)
    assert reference.memory.keys() == compiled.memory.keys()
    for name, array in reference.memory.items():
        if "age" in name or "debt" in name:
            assert np.array_equal(array, compiled.memory[name]), name
        else:
            assert compiled.memory[name] == pytest.approx(array, rel=1e-3, abs=1e-4), name
    return sum(result.replaced.sum() for result in results)


def test_it_learns_and_replaces_as_the_reference_engine_does():
    own = ["activation=my_parts.Slope", "regulariser=my_parts.L2Init", "replacement/utility=my_parts.Size"]
    run = plasticity.compose(*own, "replacement.bias_compensation=true", *OFTEN, *SMALL)
    assert assert_equal(run) > 10


def test_a_users_own_replacement_method_is_called_after_every_step():
    run = plasticity.Run(
        replacement=Oldest(layers="all"),
        model=plasticity.compose(*SMALL).model,
        dataset=plasticity.compose(*SMALL).dataset,
    )
    assert assert_equal(run) == 16


def test_learners_of_different_runs_side_by_side_each_take_their_own_steps():
    """No step checks whether it was compiled for its learner, so one learner must never get another's."""
    run = ["activation=my_parts.Slope", "model.depth=1", *SMALL[:1], *SMALL[2:], *OFTEN[:2]]
    runs = [plasticity.compose(*run, f"optimiser.step_size={step_size}") for step_size in (0.02, 0.03)]
    learners = {
        name: [get(name).learner(run, initial_network(run)) for run in runs]
        for name in ("reference", "compiled")
    }
    losses = set()
    for number in range(2):
        task = runs[0].dataset.open(0, None).task(number)
        for expected, found in zip(*learners.values(), strict=True):
            right, result = (one.learn(task, lambda steps: None) for one in (expected, found))
            assert result.loss == pytest.approx(right.loss, rel=1e-4)
            assert result.replaced.tolist() == right.replaced.tolist()
            losses.add(round(right.loss, 3))
    assert len(losses) == 4, "they are told apart"


def test_auto_takes_it_for_long_runs_that_the_native_engine_cannot_compute():
    own = "activation=my_parts.Slope"
    long, short = plasticity.compose(own), plasticity.compose(own, *SMALL)
    assert [choose("auto", run).engine for run in (long, short)] == ["compiled", "reference"]
    assert choose("auto", long).reason == "activation=my_parts.Slope has no native form"
    assert (
        choose("compiled", short).engine == "compiled" and choose("auto", plasticity.compose()).reason is None
    )


def test_without_a_compiler_it_is_not_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    own = plasticity.compose("activation=my_parts.Slope")
    assert choose("auto", own).engine == "reference"
    with pytest.raises(UserError, match=r"engine=compiled cannot compute this run: .*C\+\+ compiler"):
        choose("compiled", own)
