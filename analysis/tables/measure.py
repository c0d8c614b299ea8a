"""What the cells of a table are means of: the score, or another number of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from plasticity.errors import UserError
from plasticity.training.score import WINDOW_PERCENT, window, window_text

from ..load import RECORD, load_runs
from ..look import column_name


@dataclass(frozen=True)
class Measure:
    """A number of each run.

    Attributes:
        name: what it is called.
        percent: whether it is shown in percent.
        higher_is_better: whether the higher of two is the better one; None where that cannot be said.
        over: what it is a mean over; "" if it is not a mean.
    """

    name: str
    percent: bool
    higher_is_better: bool | None
    over: str

    @property
    def factor(self) -> int:
        """What a value is multiplied by to be shown."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """The end of a sentence about values."""
        return ", in percent" if self.percent else ""


def measured(runs: pd.DataFrame, name: str, sources: Sequence[str]) -> tuple[pd.DataFrame, Measure]:
    """The runs with what is to be shown as their `score`, and what that is.

    Args:
        runs: a row per run, as returned by `analysis.summarise`.
        name: as in `analysis.tables.declaration.Declaration.score`.
        sources: the directories of the runs.

    Raises:
        UserError: when there is no such number, or the runs have scores of different kinds.
    """
    if name == "score":
        return runs, _score(runs)
    finished = runs["status"] == "finished"
    if name in RECORD and pd.api.types.is_numeric_dtype(runs[name]) and runs[name].dtype != bool:
        return runs.assign(score=runs[name].where(finished)), Measure(name, False, None, "")
    rows = load_runs(*sources, runs=set(runs.loc[finished, "run"]))
    own = [str(column) for column in rows if column not in runs and column not in ("run", "task")]
    if name not in own:
        numbers = ["score", *(each for each in RECORD if each == "seconds"), *own]
        raise UserError(f"--score {name} is refused: it must be one of {', '.join(numbers)}.")
    values = {run: _mean(each[name].to_numpy(float)) for run, each in rows.groupby("run")}
    percent = "accuracy" in name
    over = f"the last {WINDOW_PERCENT} % of the rows"
    found = runs.assign(score=runs["run"].map(values).astype(float))
    return found, Measure(_called(name), percent, True if percent else None, over)


def _mean(values: np.ndarray) -> float:
    """The mean of those of the last rows that have a value; NaN if none has."""
    last = values[-window(len(values)) :]
    return float(np.mean(last[~np.isnan(last)])) if not np.isnan(last).all() else float("nan")


def _score(runs: pd.DataFrame) -> Measure:
    known = runs.dropna(subset="score")
    kinds = (known if len(known) else runs)[["score_name", "percent", "higher_is_better"]].drop_duplicates()
    if len(kinds) > 1:
        names = ", ".join(kinds["score_name"])
        raise UserError(
            f"The runs have scores of different kinds, {names}, which one table cannot mix: choose one with "
            f"--where, such as score_name={kinds['score_name'].iloc[0]}."
        )
    kind = kinds.iloc[0]
    return Measure(
        _called(kind["score_name"]), bool(kind["percent"]), bool(kind["higher_is_better"]), over(runs)
    )


def _called(name: str) -> str:
    return column_name(name).removesuffix(" (%)")


def over(runs: pd.DataFrame) -> str:
    """What a score is the mean over: "the last 165 of 1,100 tasks of 10,000 examples"."""
    lengths = runs.reindex(columns=["dataset.tasks", "dataset.examples_per_task"]).drop_duplicates()
    if len(lengths) != 1 or lengths.isna().any(axis=None):
        return f"the last {WINDOW_PERCENT} % of the tasks"
    tasks, examples = map(int, lengths.iloc[0])
    return f"{window_text(tasks)} of {examples:,} examples"
