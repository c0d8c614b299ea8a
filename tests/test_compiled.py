"""The compiled engine against the reference engine, with parts that it has never seen."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import user

import plasticity
from plasticity.diagnostics import step_plasticity
from plasticity.engines import Choice, choose, cxx, decide, get
from plasticity.errors import UserError, reason
from plasticity.networks.network import initial_network
from plasticity.replacement import Replacement
from plasticity.store import RunFolder
from plasticity.training.session import Session
from plasticity.training.train import train

if get("compiled").unsupported(plasticity.compose()) is not None:
    pytest.skip("no C++ compiler", allow_module_level=True)

SMALL = ["model.width=8", "model.depth=2", "dataset.tasks=2", "dataset.examples_per_task=200"]


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


def learnt(runs, tasks):
    """For each run, the results of each task and the network after the last one, of both engines.

    The learners of all runs learn side by side.
    """
    found = [[], []]
    for engine, of_each in zip(("reference", "compiled"), found, strict=True):
        learners = [get(engine).learner(run, initial_network(run)) for run in runs]
        results = [[] for _ in runs]
        for number in range(tasks):
            for run, learner, kept in zip(runs, learners, results, strict=True):
                task = run.dataset.open(run.seed, None).task(number)
                kept.append(learner.learn(task, lambda steps: None, losses=True))
        of_each += [(kept, learner.network()) for kept, learner in zip(results, learners, strict=True)]
    return list(zip(*found, strict=True))


def share(result):
    return step_plasticity(result.losses.before, result.losses.after)


def assert_equal(run, expected, found):
    (expected, reference), (results, compiled) = expected, found
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


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder of what other processes compiled, as a user's environment may name one."""
    folder = tmp_path_factory.mktemp("inductor")
    (folder / "fxgraph").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def side_by_side(my_parts, elsewhere):
    """Two runs that differ in a number alone, and what both engines make of them."""
    own = ["activation=my_parts.Slope", "regulariser=my_parts.L2Init", *SMALL]
    runs = [
        replace(
            plasticity.compose(*own, f"optimiser.step_size={step_size}"), replacement=Oldest(layers="all")
        )
        for step_size in (0.02, 0.03)
    ]
    return list(zip(runs, learnt(runs, 2), strict=True))


def test_it_learns_and_replaces_as_the_reference_engine_does_whatever_is_learnt_beside_it(side_by_side):
    """No step checks whether it was compiled for its learner, so one learner must never get another's.

    The method of the user's own is called after every step, and chooses a unit after every 50th of 400.
    """
    losses = set()
    for run, (expected, found) in side_by_side:
        assert assert_equal(run, expected, found) == 8
        losses |= {round(result.loss, 3) for result in expected[0]}
    assert len(losses) == 4, "they are told apart"


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
    fault = "engine=compiled needs a C++ compiler, but g++ does not do: a.h:7: error: no such thing"
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
    assert state.reason.startswith("engine=compiled, which computes all seeds of this run, cannot do so now")
