"""Collected runs: two Parquet files that hold what tables and figures need, small enough to be committed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from plasticity.errors import UserError
from plasticity.machine.files import alone, atomic_write, sweep
from plasticity.run import LEFT_OUT, flatten

KEYS = ("run", "task")

EXACT = ("accuracy", "error", "loss", "weight_magnitude")
"""The columns of a row that are kept exactly. All others are kept to four digits."""

ROUNDED_BITS = 9
"""How many of the 23 mantissa bits of a float32 are dropped: 14 are left, a relative error of 3e-5."""

DIRECTORY = Path(__file__).parent.parent / "results"
"""The committed results."""


Write = Callable[[pd.DataFrame, pd.DataFrame], None]
"""Replaces the runs and their rows."""


class Results:
    """A directory that holds `runs.parquet`, a row per run, and `tasks.parquet`, a row per run and task."""

    def __init__(self, path: Path):
        self.path = path
        self.runs = path / "runs.parquet"
        self.tasks = path / "tasks.parquet"

    def exists(self) -> bool:
        """Whether there are any results, be it one of the two files."""
        return self.runs.exists() or self.tasks.exists()

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`.

        Raises:
            UserError: when it cannot be read, or one of the two files is missing.
        """
        frame = self._read(self.runs).rename(columns={"state": "status"})  # its earlier name
        if not self.tasks.exists():
            raise self._half(self.tasks)
        _check(frame, self.runs, ("run", "status"), ("score", "tasks_done", "updated"))
        for key, value in flatten(LEFT_OUT).items():  # keys that were added later
            if key not in frame:
                frame[key] = value
        return frame

    def rows(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run`, `task` and the measures. Raises UserError like `summaries`."""
        frame = self._read(self.tasks)
        _check(
            frame,
            self.tasks,
            ("run",),
            ("task", *(str(name) for name in frame if name not in KEYS)),
        )
        chosen = frame[frame["run"].isin(list(runs))]
        return chosen.astype(dict.fromkeys(chosen.select_dtypes("float32"), "float64"))

    @contextmanager
    def change(self) -> Iterator[Write]:
        """Makes those take turns who read the results, change them and write them: all three belong inside.

        Where there are no locks, or another takes too long, nothing is written over what another wrote meanwhile.

        Yields:
            a function that replaces both files, each atomically, with runs as returned by `analysis.summarise` and
            their rows: `run`, `task` and the measures. The same runs give the same bytes.

        Raises:
            UserError: when they cannot be written, or have been changed meanwhile.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
        with alone(self.path) as nobody_else:
            if nobody_else:
                sweep(self.path, self.tasks.name, self.runs.name)
            before = self._versions()

            def write(runs: pd.DataFrame, tasks: pd.DataFrame) -> None:
                if self._versions() != before:
                    raise UserError(
                        f"{self.path} was changed by another process meanwhile, and is left as it is now: "
                        "repeat the command."
                    )
                with self._writing():
                    _replace(self.tasks, tasks.apply(_rounded))
                    _replace(self.runs, runs)

            yield write

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path} cannot be written to ({error.strerror}).") from error

    def _versions(self) -> list[tuple[int, int] | None]:
        """What tells each file from the one that replaces it."""
        there = [path.stat() if path.exists() else None for path in (self.runs, self.tasks)]
        return [known and (known.st_ino, known.st_mtime_ns) for known in there]

    def _read(self, path: Path) -> pd.DataFrame:
        if not path.exists():
            raise self._half(path)
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}.") from error

    def _half(self, missing: Path) -> UserError:
        other = self.tasks if missing == self.runs else self.runs
        return UserError(
            f"{missing} is missing, without which {other.name} cannot be used: restore it, or move {other.name} "
            "away and collect all runs anew."
        )


def _check(frame: pd.DataFrame, path: Path, texts: Iterable[str], numbers: Iterable[str]) -> None:
    """Checks that a frame has the columns that everything else relies on.

    Raises:
        UserError: naming the first column that is missing or has the wrong type.
    """
    for kind, names in (("text", texts), ("numbers", numbers)):
        fits = pd.api.types.is_numeric_dtype if kind == "numbers" else pd.api.types.is_string_dtype
        for name in names:
            if name not in frame or not (fits(frame[name]) or frame[name].isna().all()):
                raise UserError(f"{path} cannot be used: its column {name} must hold {kind}. Move it away.")


def _rounded(column: pd.Series) -> pd.Series:
    """A column as it is kept: measures to four digits, since all digits would take three times the space."""
    if column.name in (*KEYS, *EXACT) or not pd.api.types.is_float_dtype(column):
        return column
    values = column.to_numpy(np.float32)
    if np.array_equal(values, column, equal_nan=True) and np.array_equal(
        values, np.trunc(values), equal_nan=True
    ):
        return column.astype(np.float32)  # counts, empty in some rows
    bits = values.view(np.uint32)
    half = np.uint32(1 << (ROUNDED_BITS - 1))
    kept = np.where(np.isfinite(values), (bits + half) >> ROUNDED_BITS << ROUNDED_BITS, bits)
    return pd.Series(kept.astype(np.uint32).view(np.float32), index=column.index, name=column.name)


def _replace(path: Path, frame: pd.DataFrame) -> None:
    # Numbers that hardly repeat are stored byte by byte: their leading bytes vary little from row to row.
    numbers = [
        name for name in frame if frame[name].dtype.kind == "f" and frame[name].nunique() > len(frame) / 10
    ]

    def contents(file: BinaryIO) -> None:
        frame.to_parquet(
            file, index=False, compression="zstd", compression_level=9,
            use_byte_stream_split=numbers, use_dictionary=[name for name in frame if name not in numbers],
        )  # fmt: skip

    atomic_write(path, contents, mode=0o644)
