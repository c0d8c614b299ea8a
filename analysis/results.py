"""Collected runs: Parquet files that hold what tables and figures need, small enough to be committed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from plasticity.errors import UserError
from plasticity.machine.files import sweep
from plasticity.machine.lock import alone

from .pieces import KEYS, Piece, piece_name

DIRECTORY = Path(__file__).resolve().parent.parent / "results"
"""The committed results."""

Write = Callable[[pd.DataFrame, pd.DataFrame], int]
"""Replaces the runs and their rows; returns how many pieces it wrote."""


class Results:
    """A directory that holds `runs/*.parquet`, a row per run, and `tasks/*.parquet`, a row per run and task.

    Two files of the same name make a piece: the runs of one network on one stream. What is collected later changes
    only the pieces of its runs. Earlier versions kept all runs in one pair, `runs.parquet` and `tasks.parquet`,
    which is read as well, and is split by the next collection.
    """

    def __init__(self, path: Path):
        self.path = path
        self._earlier = Piece(path / "runs.parquet", path / "tasks.parquet")

    def exists(self) -> bool:
        """Whether there are any results, even half of a piece."""
        return bool(self.pieces())

    def pieces(self) -> list[Piece]:
        """All pieces. If a run is in two, since a collection was killed, the later one counts."""
        names = {path.name for folder in ("runs", "tasks") for path in self.path.glob(f"{folder}/*.parquet")}
        return [*([self._earlier] if self._earlier.exists() else []), *map(self._piece, sorted(names))]

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`.

        Raises:
            UserError: when it cannot be read, or one of the two files of a piece is missing.
        """
        frames = [piece.summaries() for piece in self.pieces()]
        columns = dict.fromkeys(name for frame in frames for name in frame)
        runs = pd.concat(frame.dropna(axis="columns", how="all") for frame in frames)
        runs = runs.drop_duplicates("run", keep="last").sort_values("run", ignore_index=True)
        return runs[[name for name in columns if name in runs]]

    def rows(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run`, `task` and the measures. Raises UserError like `summaries`."""
        left, frames = (
            set(runs),
            [pd.DataFrame({"run": pd.Series(dtype="str"), "task": pd.Series(dtype=int)})],
        )
        for piece in reversed(self.pieces()):
            here = left & set(piece.summaries()["run"])
            if here:
                rows = piece.rows()
                frames.append(rows[rows["run"].isin(here)])
            left -= here
        chosen = pd.concat(frames[1:] or frames).sort_values(list(KEYS), ignore_index=True)
        return chosen.astype(dict.fromkeys(chosen.select_dtypes("float32"), "float64"))

    @contextmanager
    def change(self) -> Iterator[Write]:
        """Makes processes that read the results, change them and write them take turns: all three belong inside.

        Where there are no locks, or another process takes too long, nothing is written over what another wrote
        meanwhile.

        Yields:
            a function that replaces all pieces that change, each file atomically, with runs as returned by
            `analysis.summarise` and their rows: `run`, `task` and the measures. The same runs give the same bytes.

        Raises:
            UserError: when they cannot be written, or have been changed meanwhile.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
        with alone(self.path) as nobody_else:
            if nobody_else:
                self._sweep()
            before = self._versions()

            def write(runs: pd.DataFrame, tasks: pd.DataFrame) -> int:
                if self._versions() != before:
                    raise UserError(
                        f"{self.path} was changed by another process meanwhile, and is left as it is now: "
                        "repeat the command."
                    )
                with self._writing():
                    return self._write(runs, tasks)

            yield write

    def _write(self, runs: pd.DataFrame, tasks: pd.DataFrame) -> int:
        pieces = runs.apply(piece_name, axis="columns")
        rows = dict(list(tasks.groupby(tasks["run"].map(dict(zip(runs["run"], pieces, strict=True))))))
        current, written = [], 0
        for name, group in runs.groupby(pieces):
            current.append(self._piece(f"{name}.parquet"))
            written += current[-1].update(group, rows.get(name, tasks[:0]))
        for piece in self.pieces():
            if piece not in current:  # all of its runs are in another piece now
                piece.remove()
        return written

    def _piece(self, name: str) -> Piece:
        return Piece(self.path / "runs" / name, self.path / "tasks" / name)

    def _sweep(self) -> None:
        for folder in (self.path, self.path / "runs", self.path / "tasks"):
            sweep(folder, "*.parquet")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path} cannot be written to ({error.strerror}).") from error

    def _versions(self) -> list[tuple[Piece, list[tuple[int, int] | None]]]:
        return [(piece, piece.versions()) for piece in self.pieces()]
