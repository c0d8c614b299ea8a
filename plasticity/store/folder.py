"""A run's folder on disk.

    runs/<identity>/config.yaml     what the run is, resolved
                    state.json      how far it is, when, where and by what it was computed
                    tasks.csv       its rows, appended as tasks are learnt
                    checkpoint.npz  the network after the last checkpointed row, while unfinished
                    snapshots/      its network before some tasks, by their numbers, and after the last
                    claim           locked by the process that is computing the run

Rows are only ever appended; every other file is replaced in one go. A process that dies in between loses what
came after the last checkpoint, never the folder.
"""  # fmt: skip

import os
import shutil
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from plasticity.errors import Damaged, UserError
from plasticity.machine.files import atomic_write, exists, set_aside, sweep
from plasticity.run import Run
from plasticity.store import config, rows
from plasticity.store.checkpoint import Checkpoint
from plasticity.store.claim import claim, closed, holder
from plasticity.store.rows import Row, Rows
from plasticity.store.snapshot import Snapshot
from plasticity.store.state import RunState, judged

SNAPSHOTS = "snapshots"
FILES = ("config.yaml", "state.json", "tasks.csv", "checkpoint.npz", "claim", "traceback.txt")


class RunFolder:
    """The folder of one run. Reading needs no claim; only the holder of its claim writes."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of(cls, runs_dir: Path, run: Run) -> "RunFolder":
        """The folder that a run has in a directory of runs, whether or not it exists."""
        return cls(runs_dir / run.identity)

    @property
    def identity(self) -> str:
        """The identity of the run."""
        return self.path.name

    def make(self) -> None:
        """Creates the folder. Anything else in its place, or in that of one of its files, is set aside.

        Raises UserError when we may not look into it.
        """
        if problem := closed(self.path):
            raise UserError(problem)
        if os.path.lexists(self.path) and not self.path.is_dir():
            set_aside(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (self.path / name).is_dir():
                set_aside(self.path / name)
        if os.path.lexists(self.path / SNAPSHOTS) and not (self.path / SNAPSHOTS).is_dir():
            set_aside(self.path / SNAPSHOTS)

    def create(self, run: Run) -> None:
        """Creates the folder and stores what the run is.

        Raises:
            UserError: when the folder holds another run.
        """
        self.make()
        if not self.check(run):
            config.write(self.path / "config.yaml", run)

    def check(self, run: Run) -> bool:
        """Makes sure that the folder, if there is one, is that of a run.

        A folder is named after the run's identity, which determines everything, so a `config.yaml` that describes
        no run was damaged, and may be rewritten.

        Returns:
            whether its `config.yaml` describes the run, too; False if there is none that can be read

        Raises:
            UserError: when it describes another run.
        """
        try:
            found = self.run()
        except Damaged:
            return False
        if found != run:
            raise UserError(
                f"{self.path} is refused: it must hold the requested run, but its config.yaml has "
                f"{config.differences(found, run)}. Move it away, or choose another runs_dir."
            )
        return True

    def run(self) -> Run:
        """The run, as `config.yaml` describes it.

        Raises:
            Damaged: when it describes none.
        """
        try:
            return Run.stored(self.config())
        except (OSError, ValueError, TypeError, AttributeError, LookupError, UserError) as error:
            raise Damaged(f"config.yaml cannot be read ({error})") from error

    def config(self) -> dict[str, Any]:
        """What the run is, as nested plain values.

        Raises:
            OSError, ValueError: when it cannot be read.
        """
        return config.read(self.path / "config.yaml")

    def stored_state(self) -> RunState:
        """The state in `state.json`: "new" if there is none, "unreadable" if it makes no sense."""
        try:
            return RunState.of((self.path / "state.json").read_text())
        except FileNotFoundError:
            return RunState()
        except NotADirectoryError:
            return RunState(
                status="unreadable", reason=f"{self.path.name} is a file, not the folder of a run"
            )
        except (OSError, ValueError, TypeError, RecursionError) as error:
            return RunState(status="unreadable", reason=f"state.json cannot be read ({error})")

    def state(self, run: Run | None = None) -> RunState:
        """The run's state: as stored, but "incomplete" if that says "finished" and the rows are not all there.

        It never raises, so that many runs can be looked at, whatever is wrong with one.

        Args:
            run: the run, if it is known; None to go by `config.yaml`.
        """
        state = self.stored_state()
        if not state.is_finished:
            return state
        try:
            tasks = run.dataset.tasks if run else config.total_tasks(self.config(), state)
        except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
            return replace(state, status="unreadable", reason=f"config.yaml cannot be read ({error})")
        return judged(state, self.path / "tasks.csv", tasks)

    def write_state(self, state: RunState) -> None:
        """Replaces the run's state."""
        atomic_write(self.path / "state.json", state.text())

    def mark_failed(self, run: Run, reason: str) -> RunState:
        """Records that the process that computed the run died.

        Returns:
            the run's state: "finished" if the process had done its work, "held" if another one took the run over
        """
        self.make()
        with self.claim() as held:
            if not held:
                return RunState(status="held")
            self.create(run)
            state = self.state(run)
            if state.is_finished:
                self.remove_checkpoint()
            else:
                state.status, state.reason, state.updated = "failed", reason, time.time()
                self.write_state(state)
        return state

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return exists(self.path / "checkpoint.npz")

    def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None without one.

        Raises:
            Damaged: when it cannot be read.
        """
        return Checkpoint.read(self.path / "checkpoint.npz")

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replaces the checkpoint; it is on the disk when this returns."""
        checkpoint.write(self.path / "checkpoint.npz")

    def remove_checkpoint(self) -> None:
        """Removes the checkpoint of a run that is finished."""
        (self.path / "checkpoint.npz").unlink(missing_ok=True)

    def snapshots(self) -> list[int]:
        """The tasks before which snapshots were taken, in order; the number of tasks for that after the last."""
        found = (self.path / SNAPSHOTS).glob("*.safetensors")
        return sorted(int(path.stem) for path in found if path.stem.isdecimal())

    def has_snapshot(self, task: int) -> bool:
        """Whether the network before a task was kept and its file was not cut off since."""
        return Snapshot.is_whole(self.snapshot_path(task))

    def snapshot(self, task: int) -> Snapshot:
        """The snapshot taken before a task.

        Raises:
            FileNotFoundError: when there is none.
            Damaged: when it cannot be read.
        """
        return Snapshot.read(self.snapshot_path(task))

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot; it is on the disk when this returns."""
        (self.path / SNAPSHOTS).mkdir(exist_ok=True)
        snapshot.write(self.snapshot_path(snapshot.task))

    def remove_snapshots(self) -> None:
        """Removes all snapshots: the run starts over."""
        shutil.rmtree(self.path / SNAPSHOTS, ignore_errors=True)

    def snapshot_path(self, task: int) -> Path:
        """The file of the snapshot taken before a task."""
        return self.path / SNAPSHOTS / f"{task:06}.safetensors"

    def rows(self) -> list[dict[str, str]]:
        """The rows so far, as text."""
        return rows.read(self.path / "tasks.csv")

    def last_row(self) -> dict[str, str] | None:
        """The last row so far; None if there is none that can be read."""
        try:
            return rows.last(self.path / "tasks.csv")
        except (OSError, ValueError):
            return None

    def keep_rows(self, number: int, run: Run) -> list[dict[str, str]]:
        """Removes all rows but the first `number`, and returns those.

        Raises:
            Damaged: when there are fewer, or they make no sense.
        """
        path, dataset = self.path / "tasks.csv", run.dataset
        try:
            atomic_write(
                path, rows.prefix(path, number, dataset.tasks_per_record, dataset.objective.score_name)
            )
            return rows.read(path)
        except ValueError as error:
            raise Damaged(f"tasks.csv is invalid ({error})") from error

    def extend_rows(self, columns: Mapping[int, Row], without: Container[str] = ()) -> None:
        """Adds further columns to the rows, in one go; see `plasticity.store.rows.extended`."""
        path = self.path / "tasks.csv"
        atomic_write(path, rows.extended(path, columns, without))

    def open_rows(self) -> Rows:
        """The rows, to append to."""
        return Rows(self.path / "tasks.csv")

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Claims the run for this process; yields False if another living process holds it."""
        with claim(self.path / "claim") as held:
            if held:
                sweep(self.path, *FILES)
                sweep(self.path / SNAPSHOTS, "*.safetensors")
            yield held

    def holder(self) -> str | None:
        """Who holds the claim, such as "process 4711 on node12"; None if it is free, or cannot be read."""
        try:
            host, _, process = (holder(self.path / "claim") or "").partition(" ")
        except (OSError, ValueError, UserError):
            return None
        return f"process {process} on {host}" if process else None

    def write_traceback(self, text: str) -> None:
        """Keeps the traceback of an unexpected error."""
        atomic_write(self.path / "traceback.txt", text)
