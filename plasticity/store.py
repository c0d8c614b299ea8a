"""A run's folder on disk: the record that everything else reads.

    runs/<identity>/config.yaml     what the run is, resolved
                    state.json      how far it is, when, where and by what it was computed
                    tasks.csv       one row per task, appended as they are learnt
                    checkpoint.npz  the network after the last checkpointed task, while unfinished
                    claim           locked by the process that is computing the run

Rows are only ever appended; every other file is replaced in one go. Whoever dies in between loses what came
after the last checkpoint, never the folder.
"""  # fmt: skip

import csv
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml

from plasticity.claim import claim
from plasticity.config import RunConfig
from plasticity.errors import UserError
from plasticity.network import State


@dataclass
class RunState:
    """How a run stands. Times are seconds since 1970.

    Attributes:
        status: "new", "running", "stopped" (to be gone on with), "finished" or "failed"; never stored,
            "held": another process is computing it.
        tasks_done: number of tasks whose rows are kept, as of the last write.
        score: mean online accuracy over the last 15 % of tasks, once finished.
        reason: why it failed.
        attempt: how many times the run was started or gone on with.
        seconds: time spent in training, over all attempts.
        provenance: what computed it: engine, versions, git commit, host, process.
    """

    status: str = "new"
    tasks_done: int = 0
    score: float | None = None
    reason: str | None = None
    attempt: int = 0
    started: float | None = None
    updated: float | None = None
    finished: float | None = None
    seconds: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)


MOST_BYTES_PER_ROW = 2**16
"""Of a network of a thousand layers."""


class RunFolder:
    """The folder of one run. Reading needs no claim; only the holder of its claim writes."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def of(cls, runs_dir: Path, config: RunConfig) -> "RunFolder":
        """The folder that a run has in a directory of runs, whether or not it exists."""
        return cls(runs_dir / config.identity)

    @property
    def identity(self) -> str:
        """The identity of the run."""
        return self.path.name

    def create(self, config: RunConfig) -> None:
        """Makes the folder and writes down what the run is."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "config.yaml").exists():
            text = yaml.safe_dump(config.values(), sort_keys=False)
            self._replace("config.yaml", lambda file: file.write(text.encode()))

    def config(self) -> dict[str, Any]:
        """What the run is, as nested plain values."""
        return dict(yaml.load((self.path / "config.yaml").read_text(), Loader=_YAML_LOADER))

    def state(self) -> RunState:
        """How the run stands; a new state where nothing was written yet."""
        try:
            return RunState(**json.loads((self.path / "state.json").read_text()))
        except FileNotFoundError:
            return RunState()

    def write_state(self, state: RunState) -> None:
        """Replaces the run's state."""
        text = json.dumps(asdict(state), indent=1)
        self._replace("state.json", lambda file: file.write(text.encode()))

    def mark_failed(self, reason: str) -> RunState:
        """Notes that the process that computed the run died, unless another one took the run over."""
        with self.claim() as held:
            state = self.state()
            state.status, state.reason, state.updated = "failed", reason, time.time()
            if held:
                self.write_state(state)
        return state

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.path / "checkpoint.npz").exists()

    def checkpoint(self) -> tuple[int, State] | None:
        """The number of tasks learnt and the network after them, or None without a checkpoint."""
        try:
            with np.load(self.path / "checkpoint.npz", allow_pickle=False) as stored:
                arrays = dict(stored)
        except FileNotFoundError:
            return None
        return int(arrays.pop("tasks_done")), State.from_arrays(arrays)

    def write_checkpoint(self, tasks_done: int, state: State) -> None:
        """Replaces the checkpoint; it is on the disk when this returns."""
        arrays = state.arrays() | {"tasks_done": np.array(tasks_done)}
        self._replace("checkpoint.npz", lambda file: _savez(file, arrays), durable=True)

    def remove_checkpoint(self) -> None:
        """Drops the checkpoint of a run that is finished."""
        (self.path / "checkpoint.npz").unlink(missing_ok=True)

    def rows(self) -> list[dict[str, str]]:
        """The rows so far, one per task, as text."""
        try:
            with open(self.path / "tasks.csv", newline="") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []

    def last_row(self) -> dict[str, str] | None:
        """The last row so far, read from the end of the file; None if there is none."""
        try:
            with open(self.path / "tasks.csv", "rb") as file:
                columns, first = file.readline().decode().strip(), file.tell()
                file.seek(max(first, file.seek(0, os.SEEK_END) - MOST_BYTES_PER_ROW))
                whole, _, _ = file.read().decode().rpartition("\n")
        except FileNotFoundError:
            return None
        return dict(zip(columns.split(","), whole.split("\n")[-1].split(","), strict=True)) if whole else None

    def keep_rows(self, number: int) -> list[dict[str, str]]:
        """Drops all rows but the first `number`, and returns those."""
        rows = self.rows()
        if len(rows) < number:
            raise UserError(
                f"{self.path / 'tasks.csv'} holds {len(rows)} rows, but its checkpoint was made after task "
                f"{number}: the file was altered. Compute the run anew with force=true."
            )
        kept = rows[:number]
        text = io.StringIO(newline="")
        if kept:
            writer = csv.DictWriter(text, kept[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)
        self._replace("tasks.csv", lambda file: file.write(text.getvalue().encode()))
        return kept

    def open_rows(self) -> "Rows":
        """The rows, to append to."""
        return Rows(self.path / "tasks.csv")

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Holds the run for this process; gives False where another living process holds it."""
        with claim(self.path / "claim") as held:
            yield held

    def _replace(self, name: str, write: Callable[[BinaryIO], object], durable: bool = False) -> None:
        """Writes a file so that readers see the old one or the new one, whole."""
        descriptor, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        try:
            with open(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_UMASK)
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _savez(file: BinaryIO, arrays: dict[str, Any]) -> None:
    np.savez(file, **arrays)


class Rows:
    """A file of rows, open for appending. Every row is with the system, not only in this process, at once."""

    def __init__(self, path: Path):
        self.file = open(path, "ab", buffering=0)
        self.empty = os.fstat(self.file.fileno()).st_size == 0

    def append(self, row: dict[str, float | int]) -> None:
        """Appends a row, and before the first one the header."""
        line = ",".join(repr(value) for value in row.values())
        header = ",".join(row) + "\n" if self.empty else ""
        self.file.write(f"{header}{line}\n".encode())
        self.empty = False

    def sync(self) -> None:
        """Waits until the rows are on the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self.file.close()


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
_UMASK = os.umask(0)
os.umask(_UMASK)
