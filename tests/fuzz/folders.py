"""Whatever is in a run's folder: the run ends finished, with all of its rows, or is refused with a sentence."""

import contextlib
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path
from threading import Event

from hypothesis import strategies as st

from analysis import load_runs, summarise
from analysis.runs import listing
from plasticity.errors import UserError
from plasticity.launch.plan import plan
from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.training.observer import Silent
from plasticity.training.session import Session
from plasticity.training.train import train

RUN = Run.of({"model": {"width": 5, "depth": 1}, "dataset": {"tasks": 5, "examples_per_task": 20}, "seed": 3})
FILES = ("config.yaml", "state.json", "tasks.csv", "checkpoint.npz", "claim", "traceback.txt")

LIKELY = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"-1",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"task,",
    b"\n\n",
    b": [",
]
contents = st.one_of(st.binary(max_size=30), st.sampled_from(LIKELY))
changes = st.one_of(
    st.tuples(st.just("replace"), contents),
    st.tuples(st.just("splice"), st.floats(0, 1), st.integers(0, 40), contents),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("remove")),
    st.tuples(st.just("directory")),
)
ruins = st.lists(st.tuples(st.sampled_from(FILES), changes), min_size=1, max_size=3)
stages = st.sampled_from([2, 5])
"""Number of tasks after which the run was stopped."""


class _StopAfter(Silent):
    def __init__(self, tasks: int):
        self.tasks, self.stop = tasks, Event()

    def learnt(self, identity: str, tasks_done: int, score: float) -> None:
        if tasks_done == self.tasks:
            self.stop.set()


@cache
def _whole(tasks: int) -> Path:
    """A directory with the run as it is after some tasks."""
    runs = Path(tempfile.mkdtemp(prefix="fuzz-"))
    observer = _StopAfter(tasks)
    train(RUN, RunFolder.of(runs, RUN), Session(observer, stop=observer.stop))
    return runs


def _change(path: Path, change: tuple) -> None:
    how, *what = change
    before = path.read_bytes() if path.is_file() else b""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if how == "directory":
        path.mkdir()
    elif how == "replace":
        path.write_bytes(what[0])
    elif how == "cut":
        path.write_bytes(before[: int(what[0] * len(before))])
    elif how == "splice":
        at, length, new = int(what[0] * len(before)), what[1], what[2]
        path.write_bytes(before[:at] + new + before[at + length :])


def run(tasks: int, changed: list[tuple[str, tuple]]) -> None:
    """Ruins a run's folder; looks at it, launches it, and loads its rows.

    Raises:
        AssertionError: when a run is neither finished nor refused with a sentence, or anything else is left behind.
    """
    with tempfile.TemporaryDirectory() as place:
        runs = Path(place, "runs")
        shutil.copytree(_whole(tasks), runs)
        folder = RunFolder.of(runs, RUN)
        for file, change in changed:
            _change(folder.path / file, change)
        _look(runs)
        try:
            plan([RUN], runs, force=False, engine="auto")
        except UserError as refused:
            assert "is refused: it must hold the requested run" in str(refused), refused
            return
        ours = folder.path / "traceback.txt"
        ours.unlink() if ours.is_file() else shutil.rmtree(ours, ignore_errors=True)
        state = train(RUN, folder, Session())
        assert state.status == "finished", state
        assert folder.state(RUN).status == "finished", folder.state(RUN)
        assert not ours.exists(), ours.read_text()
        assert len(folder.rows()) == len(load_runs(runs)) == RUN.dataset.tasks
        assert {path.name for path in Path(place).iterdir()} == {"runs"}
        assert [entry.status for entry in [folder.state(RUN)]] == ["finished"]


def _look(runs: Path) -> None:
    """What analysis does with all folders."""
    with contextlib.redirect_stdout(io.StringIO()):
        frame = summarise(runs)
        load_runs(runs)
        if len(frame):
            listing(frame)
