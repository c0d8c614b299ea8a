"""A piece of collected results: the runs of one network on one stream of tasks, in two Parquet files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from plasticity.errors import UserError
from plasticity.machine.files import atomic_write
from plasticity.run import LEFT_OUT, flatten

KEYS = ("run", "task")

EXACT = ("accuracy", "error", "loss", "weight_magnitude")
"""The columns of a row that are kept exactly. All others are kept to four digits."""

ROUNDED_BITS = 9
"""How many of the 23 mantissa bits of a float32 are dropped: 14 are left, a relative error of 3e-5."""

NUMBERS = ("score", "tasks_done", "updated")
"""Columns of a run that must hold numbers, or nothing."""

DEFAULTS = flatten(LEFT_OUT)
"""The config keys that every piece has, and what they are in runs from before there were such keys."""

LONGEST = 100
"""Characters of a piece's name."""


@dataclass(frozen=True)
class Piece:
    """Two files that need each other: `runs`, with a row per run, and `tasks`, with a row per run and task."""

    runs: Path
    tasks: Path

    def exists(self) -> bool:
        """Whether there is at least one of the two files."""
        return self.runs.exists() or self.tasks.exists()

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`.

        Raises:
            UserError: when it cannot be read, or one of the two files is missing.
        """
        frame = self._read(self.runs).rename(columns={"state": "status"})  # its earlier name
        if not self.tasks.exists():
            raise self._half(self.tasks)
        _check(frame, self.runs, ("run", "status"), NUMBERS)
        later = {key: value for key, value in DEFAULTS.items() if key not in frame}
        return frame.assign(**later)

    def rows(self) -> pd.DataFrame:
        """A row per run and task, as kept: `run`, `task` and the measures. Raises UserError like `summaries`."""
        frame = self._read(self.tasks)
        if not self.runs.exists():
            raise self._half(self.runs)
        _check(frame, self.tasks, ("run",), ("task", *(str(name) for name in frame if name not in KEYS)))
        return frame.dropna(axis="columns", how="all")

    def update(self, runs: pd.DataFrame, tasks: pd.DataFrame) -> bool:
        """Replaces both files, each atomically, unless they hold just that already; says whether it did.

        Args:
            runs: as returned by `analysis.summarise`.
            tasks: their rows.
        """
        rows = tasks.apply(_rounded)
        if self.exists() and _same(self.summaries(), runs, ["run"]) and _same(self.rows(), rows, list(KEYS)):
            return False
        always = {"run", "status", *NUMBERS, *DEFAULTS}
        kept = [name for name in runs if name in always or runs[name].notna().any()]
        for path, frame in ((self.tasks, rows.dropna(axis="columns", how="all")), (self.runs, runs[kept])):
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, frame)
        return True

    def remove(self) -> None:
        """Removes both files."""
        self.tasks.unlink(missing_ok=True)
        self.runs.unlink(missing_ok=True)

    def versions(self) -> list[tuple[int, int] | None]:
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
            f"{missing} is missing, and {other} cannot be used without it: restore it, or move {other} away and "
            "collect its runs again."
        )


def piece_name(run: pd.Series) -> str:
    """The piece that a run belongs to, by its config: such as permuted_mnist-relu-5x100.

    Args:
        run: a row of `analysis.summarise`.
    """
    known: dict[Any, Any] = {**DEFAULTS, **run.dropna().to_dict()}
    if "model.widths" in run.index and pd.notna(run["model.widths"]):
        network = str(run["model.widths"]).replace(",", "-")
    elif known["model.name"] == "mlp":
        network = f"{known['model.depth']:.0f}x{known['model.width']:.0f}"
    else:
        network = known["model.name"]
    name = f"{known['dataset.name']}-{known['activation.name']}-{network}"
    return re.sub(r"[^\w.-]+", "_", name)[:LONGEST]


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


def _same(one: pd.DataFrame, other: pd.DataFrame, keys: list[str]) -> bool:
    """Whether two frames hold the same, however the columns are ordered and whichever types numbers have."""
    one, other = (
        frame.dropna(axis="columns", how="all").sort_values(keys, ignore_index=True) for frame in (one, other)
    )
    if len(one) != len(other) or set(one) != set(other):
        return False
    return all(_equal(one[name], other[name]) for name in one)


def _equal(one: pd.Series, other: pd.Series) -> bool:
    if all(pd.api.types.is_numeric_dtype(column) for column in (one, other)):
        return np.array_equal(one.to_numpy(float), other.to_numpy(float), equal_nan=True)
    return one.astype(object).equals(other.astype(object))


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
    encoded = {
        name: "BYTE_STREAM_SPLIT"
        for name in frame
        if frame[name].dtype.kind == "f" and frame[name].nunique() > frame[name].count() / 10
    }
    if "task" in frame:
        encoded["task"] = "DELTA_BINARY_PACKED"

    def contents(file: BinaryIO) -> None:
        frame.to_parquet(
            file, index=False, compression="zstd", compression_level=19,
            column_encoding=encoded, use_dictionary=[name for name in frame if name not in encoded],
        )  # fmt: skip

    atomic_write(path, contents, mode=0o644)
