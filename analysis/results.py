"""Collected runs: two Parquet files that hold what tables and figures need, small enough to be committed."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from plasticity.errors import UserError

MEASURES = ("accuracy", "loss", "weight_magnitude")
"""What is kept of a task."""

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
        return _read(self.path / "runs.parquet")

    def tasks(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run`, `task` and the measures."""
        frame = _read(self.path / "tasks.parquet")
        return frame[frame["run"].isin(list(runs))]

    def write(self, runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Replaces both files, each in one go. The same runs give the same bytes.

        Raises:
            UserError: where they cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _replace(self.path / "tasks.parquet", tasks[["run", "task", *MEASURES]])
            _replace(self.path / "runs.parquet", runs)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written to ({error.strerror}).") from error


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}.") from error


def _replace(path: Path, frame: pd.DataFrame) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        frame.to_parquet(temporary, index=False, compression="zstd", compression_level=9)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
