"""A run's folder on disk.

    runs/<identity>/config.yaml     what the run is, resolved
                    state.json      how far it is, when, where and by what it was computed
                    tasks.csv       its rows, appended as tasks are learnt
                    checkpoint.npz  the network after the last checkpointed row, while unfinished
                    claim           locked by the process that is computing the run

Rows are only ever appended; every other file is replaced in one go. Whoever dies in between loses what came
after the last checkpoint, never the folder.
"""  # fmt: skip

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from plasticity.errors import Damaged, UserError
from plasticity.files import atomic_write
from plasticity.run import Run, flatten
from plasticity.store import rows
from plasticity.store.checkpoint import Checkpoint
from plasticity.store.claim import claim
from plasticity.store.rows import Rows
from plasticity.store.state import RunState


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

    def create(self, run: Run) -> None:
        """Makes the folder and writes down what the run is.

        Raises:
            UserError: when the folder holds another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.yaml").exists():
            atomic_write(self.path / "config.yaml", yaml.safe_dump(run.values(), sort_keys=False))
        self.check(run)

    def check(self, run: Run) -> None:
        """Makes sure that the folder, if there is one, is that of a run.

        Raises:
            UserError: when it holds another run.
        """
        try:
            config = self.config()
        except FileNotFoundError:
            return
        try:
            found = Run.stored(config)
        except UserError as error:
            raise UserError(
                f"{self.path / 'config.yaml'} is refused: it must describe the run that is asked for, but: {error}"
            ) from error
        if found != run:
            ours, theirs = flatten(run.values()), flatten(found.values())
            different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
            listed = ", ".join(f"{key}={theirs.get(key)} instead of {ours.get(key)}" for key in different)
            raise UserError(
                f"{self.path} is refused: it must hold the run that is asked for, but its config.yaml has "
                f"{listed}. Move it away, or choose another runs_dir."
            )

    def config(self) -> dict[str, Any]:
        """What the run is, as nested plain values."""
        return dict(yaml.load((self.path / "config.yaml").read_text(), Loader=_YAML_LOADER))

    def state(self) -> RunState:
        """How the run stands; a new state where nothing was written yet."""
        try:
            return RunState.of((self.path / "state.json").read_text())
        except FileNotFoundError:
            return RunState()

    def write_state(self, state: RunState) -> None:
        """Replaces the run's state."""
        atomic_write(self.path / "state.json", state.text())

    def mark_failed(self, reason: str) -> RunState:
        """Notes that the process that computed the run died, unless another one took the run over."""
        with self.claim() as held:
            state = self.state()
            state.status, state.reason, state.updated = "failed", reason, time.time()
            if held:
                self.write_state(state)
        return state

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return (self.path / "checkpoint.npz").exists()

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

    def rows(self) -> list[dict[str, str]]:
        """The rows so far, as text."""
        return rows.read(self.path / "tasks.csv")

    def last_row(self) -> dict[str, str] | None:
        """The last row so far; None if there is none."""
        return rows.last(self.path / "tasks.csv")

    def keep_rows(self, number: int) -> list[dict[str, str]]:
        """Removes all rows but the first `number`, and returns those.

        Raises:
            Damaged: when there are fewer.
        """
        path = self.path / "tasks.csv"
        try:
            atomic_write(path, rows.prefix(path, number))
            return rows.read(path)
        except ValueError as error:
            raise Damaged(f"tasks.csv makes no sense ({error})") from error

    def open_rows(self) -> Rows:
        """The rows, to append to."""
        return Rows(self.path / "tasks.csv")

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Holds the run for this process; gives False where another living process holds it."""
        with claim(self.path / "claim") as held:
            yield held

    def write_traceback(self, text: str) -> None:
        """Keeps the traceback of an unexpected error."""
        atomic_write(self.path / "traceback.txt", text)


def run_folders(runs_dir: Path) -> list[RunFolder]:
    """Every run in a directory of runs, in the order of their identities."""
    return [RunFolder(path.parent) for path in sorted(runs_dir.glob("*/config.yaml"))]


def prepare(runs_dir: Path) -> None:
    """Makes sure that runs can be written.

    Raises:
        UserError: when the directory cannot be made or written to.
    """
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs_dir) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise UserError(
            f"runs_dir={runs_dir} is refused: it must be a directory that can be written to "
            f"({error.strerror})."
        ) from error


_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
