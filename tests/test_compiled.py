"""The compiled engine against the reference engine, with parts that it has never seen."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import user
from test_class_pairs import RUNS, assert_scores
from test_interventions import CHANGES, OWN, Regenerative
from test_interventions import learnt as after_tasks
from test_interventions import run as changed_run
from test_layers import Residual
from test_rules import ADAM, SHRINKS

import plasticity
from plasticity import Model
from plasticity.diagnostics import step_plasticity
from plasticity.engines import Choice, choose, cxx, decide, get
from plasticity.errors import UserError, reason
from plasticity.interventions import Reset
from plasticity.networks.cnn import Cnn
from plasticity.networks.convolution import Convolution
from plasticity.networks.network import initial_network
from plasticity.perturbations import ShrinkAndPerturb
from plasticity.replacement import SelfNormalisedResets
from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.training.record import intervene
from plasticity.training.session import Session
from plasticity.training.train import train
from tests.dense_oracle import examples, take
from tests.oracle import Pictures

if get("compiled").unsupported(plasticity.compose()) is not None:
    pytest.skip("no C++ compiler", allow_module_level=True)

SMALL = ["model.width=8", "model.depth=2", "dataset.tasks=2", "dataset.examples_per_task=200"]


@pytest.fixture(scope="module", autouse=True)
def my_parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    user.write(folder)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("my_parts", None)


def learnt(runs, tasks):
    """For each run, the results of each task and the network after the last one, of both engines.

    The learners of all runs learn side by side. Also the number of graphs compiled by the end of each task.
    """
    from torch._dynamo.utils import counters  # here, since every process of the tests imports this file

    found, graphs = [[], []], []
    for engine, of_each in zip(("reference", "compiled"), found, strict=True):
        learners = [get(engine).learner(run, initial_network(run)) for run in runs]
        results = [[] for _ in runs]
        for number in range(tasks):
            for run, learner, kept in zip(runs, learners, results, strict=True):
                if number:
                    intervene(run, learner, number)
                task = run.dataset.open(run.seed, None).task(number)
                kept.append(learner.learn(task, lambda steps: None, losses=True))
            graphs.append(counters["stats"]["unique_graphs"])
        of_each += [(kept, learner.network()) for kept, learner in zip(results, learners, strict=True)]
    return list(zip(*found, strict=True)), graphs


def share(result):
    return step_plasticity(result.losses.before, result.losses.after)


def assert_equal(run, expected, found):
    (expected, reference), (results, compiled) = expected, found
    for one, other in zip(expected, results, strict=True):
        assert other.replaced.tolist() == one.replaced.tolist()
        assert other.score == pytest.approx(one.score, abs=3 / run.dataset.examples_per_task)
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.weight_magnitude == pytest.approx(one.weight_magnitude, rel=1e-5)
        assert share(other) == pytest.approx(share(one), abs=1e-3)
    for one, other in zip(
        reference.weights + reference.biases, compiled.weights + compiled.biases, strict=True
    ):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert reference.memory.keys() == compiled.memory.keys()
    for name, array in reference.memory.items():
        if "steps" in name:
            assert np.array_equal(array, compiled.memory[name]), name
        else:
            assert compiled.memory[name] == pytest.approx(array, rel=1e-3, abs=1e-5), name
    return sum(result.replaced.sum() for result in results)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder of what other processes compiled, as a user's environment may name one."""
    folder = tmp_path_factory.mktemp("inductor")
    (folder / "fxgraph").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def precompiled(tmp_path_factory):
    """Has the compiler read once what all files include, which takes most of its time; they stay the same.

    A launch of `test_own_parts` compiles as every process of a user does.
    """
    from torch._inductor import codecache

    from plasticity.engines.compiled_learner import OPTIONS

    folder = tmp_path_factory.mktemp("headers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPTIONS, "cpp_cache_precompile_headers", True)
        patch.setattr(codecache, "_HEADER_DIR", str(folder))
        patch.setattr(codecache, "_HEADER_LOCK_DIR", str(folder / "locks"))
        yield


@pytest.fixture(scope="module")
def side_by_side(elsewhere, precompiled):
    """Two runs that differ in a number alone, what both engines make of them, and the graphs compiled by then."""
    runs = [
        changed_run(
            Reset(), ShrinkAndPerturb(), **OWN | {"regulariser": Regenerative(strength=strength)},
            activation="crelu", model={"widths": [7], "normalisation": "layer_norm"},
            dataset={"tasks": 3, "examples_per_task": 60},
            replacement={"name": "cpr", "interval": 10, "strength": 0.3},
        )
        for strength in (0.1, 0.2)
    ]  # fmt: skip
    found, graphs = learnt(runs, 3)
    return list(zip(runs, found, strict=True)), graphs


def test_it_learns_and_replaces_as_the_reference_engine_does_whatever_is_learnt_beside_it(side_by_side):
    """No step checks whether it was compiled for its learner, so one learner must never get another's.

    Their method looks at gradients and moves units in part; optimiser and regulariser are of one's own.
    """
    losses = set()
    for run, (expected, found) in side_by_side[0]:
        assert assert_equal(run, expected, found) == 3 * 6 * 7
        losses |= {round(result.loss, 3) for result in expected[0]}
    assert len(losses) == 6, "they are told apart"


def test_compiled_code_serves_all_tasks(side_by_side):
    """Each after the first of which starts from a network that was reset and perturbed."""
    _, (*_, before, first, second, third) = side_by_side
    assert before < first == second == third


@pytest.mark.parametrize("name", CHANGES)
def test_a_network_is_changed_between_tasks_as_in_the_reference_engine(name):
    of = changed_run(*CHANGES[name])
    network, found = after_tasks(of).network(), []
    for engine in ("reference", "compiled"):
        learner = after_tasks(of, engine, tasks=0)
        learner.load(network)
        intervene(of, learner, 1)
        found.append(learner.network().arrays())
    expected, arrays = found
    for key in expected:
        assert key.startswith("initial.") or np.array_equal(arrays[key], expected[key]), key
    assert not np.array_equal(arrays["weights.2"], network.weights[2])


@pytest.mark.parametrize("name", RUNS)
def test_a_score_is_that_of_the_outputs_without_anything_to_compile(name):
    data = RUNS["values"] if name == "values" else {"dataset": {"tasks": 1, "examples_per_task": 60}}
    run = Run.of({**data, "model": {"width": 7, "depth": 2}})
    assert_scores(get("compiled").learner(run, initial_network(run)), name, run.dataset.open(0, None).task(0))


def test_auto_takes_it_for_long_runs_that_the_native_engine_cannot_compute():
    own = "activation=my_parts.Normed"
    long, short = plasticity.compose(own), plasticity.compose(own, *SMALL)
    assert [choose("auto", run).engine for run in (long, short)] == ["compiled", "reference"]
    assert re.fullmatch(user.without_a_form("activation"), choose("auto", long).reason)
    assert (
        choose("compiled", short).engine == "compiled" and choose("auto", plasticity.compose()).reason is None
    )


def test_without_a_compiler_it_is_not_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    own = plasticity.compose("activation=my_parts.Normed")
    assert choose("auto", own).engine == "reference"
    with pytest.raises(UserError, match=r"engine=compiled cannot compute this run: .*C\+\+ compiler"):
        choose("compiled", own)


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Makes every C++ compiler one that fails with some lines."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("g++", "clang++", "c++"):
        lines = "\n".join(
            f"echo '{line}' >&2" for line in ("In file included:", "a.h:7: error: no such thing")
        )
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\nexit 1\n")
        (tmp_path / name).chmod(0o755)


def test_a_compiler_that_cannot_compile_is_not_taken(failing):
    own = plasticity.compose("activation=my_parts.Normed")
    fault = "engine=compiled needs a C++ compiler, but g++ is unsuitable: a.h:7: error: no such thing"
    chosen = choose("auto", own)
    assert chosen.engine == "reference"
    assert re.fullmatch(f"{user.without_a_form('activation')}, and {re.escape(fault)}", chosen.reason)
    with pytest.raises(UserError, match=re.escape(fault)):
        choose("compiled", own)


def test_another_compiler_than_the_first_will_do(failing, tmp_path):
    (tmp_path / "g++").rename(tmp_path / "unused")
    assert choose("auto", plasticity.compose("activation=my_parts.Normed")).engine == "compiled"
    assert Path(cxx.compiler()).name == "g++"  # the real one


def test_what_other_processes_compiled_is_never_used(side_by_side, elsewhere):
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cxx.folder())
    assert any((cxx.folder() / "fxgraph").iterdir()) and not any((elsewhere / "fxgraph").iterdir())


MAKE_FOLDER = "from plasticity.engines import cxx; print(cxx.folder(), flush=True); {then}"


def process_with_folder(folder, then="input()"):
    """A process that has made its folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_FOLDER.format(then=then)],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return process, Path(process.stdout.readline().strip())


def test_a_folder_lives_as_long_as_its_process_or_until_the_next_if_that_was_killed(tmp_path):
    (living, theirs), (killed, left) = process_with_folder(tmp_path), process_with_folder(tmp_path)
    assert theirs != left and theirs.is_dir() and left.is_dir()
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert left.is_dir()
    process_with_folder(tmp_path, "pass")[0].communicate()
    assert list(tmp_path.iterdir()) == [theirs]
    living.communicate("\n")
    assert not any(tmp_path.iterdir())


def test_an_error_of_many_lines_is_one_line_of_a_table():
    error = RuntimeError("C++ compile error\n\nOutput:\n" + "x.cpp:1: error: no such thing\n" * 1_000)
    shown = reason(error)
    assert shown.startswith("RuntimeError: C++ compile error Output: x.cpp:1: error") and len(shown) < 400
    assert "\n" not in shown and shown.endswith("… (see traceback.txt)")


def test_one_engine_computes_all_seeds_even_if_its_compiler_goes_away(tmp_path, monkeypatch):
    first, second = (plasticity.compose(*SMALL, f"seed={seed}") for seed in range(2))

    def launched():
        yield first
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("CXX", "")
        yield second

    choices = decide("compiled", launched())
    assert choices == [Choice("compiled")] * 2
    with pytest.raises(UserError, match=f"{second.identity}: engine=compiled cannot compute"):
        decide("compiled", [second])
    folder = RunFolder.of(tmp_path, second)
    state = train(second, folder, Session(engines={second.identity: choices[1]}))
    assert state.status == "failed" and folder.rows() == []
    assert state.reason.startswith(
        "engine=compiled, which computes all seeds of this run, cannot compute it here and now"
    )


# --- Other kinds of layers, and all rules at once --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OwnAndConvolution(Model):
    """A convolution, and a block of one's own."""

    def layers(self, inputs, outputs, activation):
        convolution, *_ = Cnn(channels=(3,), kernel=(3,), hidden=(), pool=(2,)).layers(
            inputs, outputs, activation
        )
        return [
            convolution,
            *Residual(blocks=1, units=6, size=8).layers((convolution.features,), outputs, activation),
        ]


@dataclass(frozen=True, kw_only=True)
class SilentOrOldest(SelfNormalisedResets):
    """With a memory of one's own: every 20 steps the unit of the second layer goes, too, that was replaced longest
    ago."""

    def initial_memory(self, units):
        return super().initial_memory(units) | {
            "age": np.zeros(units, np.int64),
            "count": np.zeros((), np.int64),
        }

    def update(self, memory, step):
        for number in memory["age"] + memory["count"]:
            number += 1
        silent = super().update(memory, step)
        return [one + 2 * (count % 20 == 0) for one, count in zip(silent, memory["count"], strict=True)]

    def choose(self, memory, step, due):
        assert all((one >= 2) == (step.number % 20 == 19) for one in due), (
            "the oldest go only when they are due"
        )
        chosen = super().choose(memory, step, [one % 2 for one in due])
        oldest = [int(age.argmax()) for age in memory["age"]]
        return [
            [*units, unit] if layer and one >= 2 and unit not in units else units
            for layer, (units, unit, one) in enumerate(zip(chosen, oldest, due, strict=True))
        ]


@pytest.mark.usefixtures("precompiled")
def test_other_kinds_of_layers_follow_all_rules_in_the_same_order():
    """With a method that counts silences, and ages in a memory of its own."""
    steps = 60
    run = Run(
        model=OwnAndConvolution(),
        regulariser={"name": "spectral", "strength": 0.02},
        optimiser=ADAM,
        perturbation=SHRINKS | {"every": 1, "shrink": 0.01, "noise": 0.01},
        constraint={"name": "weight_clipping", "bound": 1.0},
        replacement=SilentOrOldest(quantile=0.8, update_tasks=1, least=2, most=6),
        dataset=Pictures(outputs=3, batch_size=4, examples_per_task=4 * steps // 3),
        seed=2,
    )
    start = initial_network(run)
    start.biases[1][:] = np.linspace(-3, 0, 6)  # most units are silent
    reference, compiled = (get(name).learner(run, start) for name in ("reference", "compiled"))
    rows, classes = examples(run, steps)
    replaced, oldest = np.zeros(2, int), 0
    for step in range(steps):
        ours, theirs = (take(one, rows[step], classes[step], step) for one in (reference, compiled))
        replaced += ours[2]
        oldest += sum(ours[2]) if step % 20 == 19 else 0
        assert ours[2] == theirs[2] and ours[0] == pytest.approx(theirs[0], rel=1e-4)
        assert compiled.weight_magnitude() == pytest.approx(reference.weight_magnitude(), rel=1e-4)
    assert replaced[1] - 3 >= 5 and oldest >= 3
    expected, found = reference.network().arrays(), compiled.network().arrays()
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    assert isinstance(run.layers[0], Convolution)
