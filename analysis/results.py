"""Collected runs: two Parquet files that hold what tables and figures need, small enough to be committed."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from plasticity.errors import UserError
from plasticity.files import atomic_write
from plasticity.run import LEFT_OUT, flatten

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
        """The rows of some runs: `run`, `task` and what was measured."""
        frame = _read(self.path / "tasks.parquet")
        _check(
            frame, self.path / "tasks.parquet", ("run",), map(str, frame.columns.drop("run", errors="ignore"))
        )
        return frame[frame["run"].isin(list(runs))]

    def write(self, runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
        """Replaces both files, each in one go. The same runs give the same bytes.

        Args:
            runs: as from `analysis.summarise`.
            tasks: as from `analysis.load_runs`. Of its columns, `run`, `task` and all that are measured are kept,
                those of layers in single precision.

        Raises:
            UserError: where they cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            kept = ["run", *(str(name) for name in tasks if str(name) not in runs)]
            measured = tasks[kept].dropna(axis="columns", how="all")
            single = {name: "float32" for name in kept if "." in name and name in measured}
            _replace(self.path / "tasks.parquet", measured.astype(single))
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
    # Numbers that hardly repeat are stored byte by byte: their first bytes differ little from row to row.
    numbers = [
        name for name in frame if frame[name].dtype.kind == "f" and frame[name].nunique() > len(frame) / 10
    ]

    def contents(file: BinaryIO) -> None:
        frame.to_parquet(
            file, index=False, compression="zstd", compression_level=9,
            use_byte_stream_split=numbers, use_dictionary=[name for name in frame if name not in numbers],
        )  # fmt: skip

    atomic_write(path, contents, mode=0o644)
