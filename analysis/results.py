"""Collected runs: two Parquet files that hold what tables and figures need, small enough to be committed."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from plasticity.errors import UserError
from plasticity.files import alone, atomic_write, sweep
from plasticity.run import LEFT_OUT, flatten

MEASURES = ("accuracy", "error", "loss", "weight_magnitude")
"""The columns of a row that are kept, where it has them."""

DIRECTORY = Path(__file__).parent.parent / "results"
"""The committed results."""


class Results:
    """A directory that holds `runs.parquet`, a row per run, and `tasks.parquet`, a row per run and task."""

    def __init__(self, path: Path):
        self.path = path

    def exists(self) -> bool:
        """Whether there is anything."""
        return (self.path / "runs.parquet").exists()

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`."""
        frame = _read(self.path / "runs.parquet").rename(columns={"state": "status"})  # as it once was called
        _check(frame, self.path / "runs.parquet", ("run", "status"), ("score", "tasks_done", "updated"))
        for key, value in flatten(LEFT_OUT).items():  # keys that were added later
            if key not in frame:
                frame[key] = value
        return frame

    def rows(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run`, `task` and the measures."""
        frame = _read(self.path / "tasks.parquet")
        measures = [name for name in MEASURES if name in frame]
        _check(frame, self.path / "tasks.parquet", ("run",), ("task", *measures))
        return frame[frame["run"].isin(list(runs))]

    def write(self, runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Replaces both files, each in one go. The same runs give the same bytes.

        Raises:
            UserError: where they cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with alone(self.path) as nobody_else:
                if nobody_else:
                    sweep(self.path, "tasks.parquet", "runs.parquet")
                _replace(
                    self.path / "tasks.parquet",
                    tasks[["run", "task", *(name for name in MEASURES if name in tasks)]],
                )
                _replace(self.path / "runs.parquet", runs)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written to ({error.strerror}).") from error


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}.") from error


def _check(frame: pd.DataFrame, path: Path, texts: Iterable[str], numbers: Iterable[str]) -> None:
    """Makes sure that a frame has the columns that everything else relies on.

    Raises:
        UserError: naming the first that is missing, or holds something else.
    """
    for kind, names in (("text", texts), ("numbers", numbers)):
        fits = pd.api.types.is_numeric_dtype if kind == "numbers" else pd.api.types.is_string_dtype
        for name in names:
            if name not in frame or not (fits(frame[name]) or frame[name].isna().all()):
                raise UserError(f"{path} cannot be used: its column {name} must hold {kind}. Move it away.")


def _replace(path: Path, frame: pd.DataFrame) -> None:
    def contents(file: BinaryIO) -> None:
        frame.to_parquet(file, index=False, compression="zstd", compression_level=9)

    atomic_write(path, contents, mode=0o644)
