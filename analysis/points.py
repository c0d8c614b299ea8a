"""The points of a curve: means over bins of tasks, with a band over runs."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd

from plasticity.training.score import window

from .look import BANDS
from .statistics import describe

LINE, PANEL = "line", "panel"
"""Columns of a tidy frame that a figure adds: the curve that a run belongs to, and its panel. Both are
categorical, so that a curve or panel without runs keeps its place, its style and its legend entry."""

POINTS = 60
"""The most points of a curve: each is a mean over a round number of tasks."""


def bin_width(rows: int) -> int:
    """The number of rows that are averaged for a point: the smallest round one that leaves at most 60 points."""
    widths: Iterator[int] = (step * 10**power for power in range(9) for step in (1, 2, 5))
    return next(width for width in widths if rows <= POINTS * width)


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


def deviation(values: pd.Series) -> tuple[float, float]:
    """Mean ± population standard deviation, as in Table 1."""
    mean, deviation = np.mean(values), np.std(values)
    return float(mean - deviation), float(mean + deviation)


def interval(values: pd.Series) -> tuple[float, float]:
    """Student's 95 % interval of the mean; of one value, that value."""
    known = describe(values.to_numpy(float))
    return (known["low"], known["high"]) if len(values) > 1 else (known["mean"], known["mean"])


FAR = 0.25
"""How far apart runs have to be to count as two groups, as a share of the figure's span."""


def in_two_groups(values: np.ndarray, span: float) -> bool:
    """Whether values fall into two groups, which their mean would hide.

    That is where the largest gap between neighbours is at least a quarter of the span, and wider than either group.

    Args:
        values: the final value of each run: [runs].
        span: how far all points of the figure lie apart.
    """
    ordered = np.sort(values)
    if len(ordered) < 3 or not span > 0:
        return False
    place = int(np.argmax(np.diff(ordered))) + 1
    gap = ordered[place] - ordered[place - 1]
    spreads = np.ptp(ordered[:place]), np.ptp(ordered[place:])
    return bool(gap >= FAR * span and gap > max(spreads))


def divided(frame: pd.DataFrame, y: str) -> set[tuple[str, str]]:
    """The curves, by panel and name, whose runs end in two groups: their means over the last 15 % of the tasks.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
        y: the column.
    """
    if y not in frame or frame.empty:
        return set()
    number = int(frame["task"].max()) + 1
    last = frame[frame["task"] >= number - window(number)]
    finals = last.groupby([PANEL, LINE, "run"], observed=True)[y].mean().dropna()
    shown = binned(frame, y)[y]
    span = float(shown.max() - shown.min())
    found = set()
    for place, own in finals.groupby(level=[0, 1], observed=True):
        panel, line = cast(tuple[object, object], place)
        if in_two_groups(own.to_numpy(float), span):
            found.add((str(panel), str(line)))
    return found


def explain(frame: pd.DataFrame, band: str = "interval", y: str = "") -> str:
    """A sentence on what the points and bands are.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
        band: a key of `analysis.look.BANDS`.
        y: the column, if its curves are drawn by seed where their runs end in two groups.
    """
    width = point_width(frame)
    runs = frame.drop_duplicates("run").groupby([LINE, PANEL], observed=True).size()
    least, most = int(runs.min()), int(runs.max())
    points = f"each point a mean over {width} tasks" if width > 1 else "a point per task"
    if most == 1:
        return f"One run each; {points}."
    number = f"{least} {f'to {most} ' * (least < most)}runs"
    if band == "seeds":
        return f"A curve for each of {number}; {points}."
    apart = sorted(", ".join(filter(None, place)) for place in (divided(frame, y) if y else ()))
    by_seed = f" A curve for each run, since they end in two groups: {'; '.join(apart)}." if apart else ""
    return f"Means over {number} {BANDS[band]}; {points}.{by_seed}"
