"""The points of a curve: means over bins of tasks, with a band over runs."""

import numpy as np
import pandas as pd

LINE, PANEL = "line", "panel"
"""Columns of a tidy frame that a figure adds: the curve that a run belongs to, and its panel. Both are
categorical, so that a curve or panel without runs keeps its place, its style and its legend entry."""

POINTS = 60
"""The most points of a curve: each is a mean over a round number of tasks."""


def bin_width(rows: int) -> int:
    """The number of rows that are averaged for a point: the smallest round one that leaves at most 60 points."""
    return next(
        step * 10**power for power in range(9) for step in (1, 2, 5) if rows <= POINTS * step * 10**power
    )


def _spacing(frame: pd.DataFrame) -> int:
    """The number of tasks from one row to the next."""
    return int(np.gcd.reduce(frame["task"].to_numpy(int))) or 1


def point_width(frame: pd.DataFrame) -> int:
    """The number of tasks that a point covers."""
    spacing = _spacing(frame)
    return spacing * bin_width(int(frame["task"].max()) // spacing + 1)


def binned(frame: pd.DataFrame, y: str) -> pd.DataFrame:
    """Means of each run over bins of tasks: run, line, task (the bin's middle, from 1) and the column.

    Rows without a value are left out: diagnostics are not measured in every task.
    """
    width = point_width(frame)
    known = frame.dropna(subset=y)
    middle = known["task"] // width * width + (width + 1) / 2
    return known.groupby(["run", LINE, middle], observed=True)[y].mean().reset_index()


def band(values: pd.Series) -> tuple[float, float]:
    """Mean ± population standard deviation, as in Table 1."""
    mean, deviation = np.mean(values), np.std(values)
    return float(mean - deviation), float(mean + deviation)


def explain(frame: pd.DataFrame) -> str:
    """A sentence on what the points and bands are.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
    """
    width = point_width(frame)
    runs = frame.drop_duplicates("run").groupby([LINE, PANEL], observed=True).size()
    least, most = int(runs.min()), int(runs.max())
    points = f"each point a mean over {width} tasks" if width > 1 else "a point per task"
    if most == 1:
        return f"One run each; {points}."
    return (
        f"Means over {least} {f'to {most} ' * (least < most)}runs ± population standard deviation; {points}."
    )
