"""The score, the one number that a run is judged by."""

from collections.abc import Sequence

import numpy as np

WINDOW_PERCENT = 15
"""Percentage of a run's rows, the last ones, over which its score is the mean."""


def window(rows: int) -> int:
    """Number of last rows that make up 15 % of a run, rounded up: 165 of 1,100, 2 of 10, 1 of 1."""
    return -(-rows * WINDOW_PERCENT // 100)


def window_text(rows: int, name: str = "tasks") -> str:
    """The rows that a score is averaged over: "the last 165 of 1,100 tasks", "the last of 2 tasks", "1 task"."""
    if rows == 1:
        noun, space, rest = name.partition(" ")
        return f"1 {noun.removesuffix('s')}{space}{rest}"
    last = window(rows)
    return f"the last {f'{last:,} ' if last > 1 else ''}of {rows:,} {name}"


def score(scores: Sequence[float] | np.ndarray) -> float:
    """Mean score over the last 15 % of rows: the online accuracy, from 0 to 1, or the error.

    Args:
        scores: the score of every row, in order: [rows].
    """
    return float(np.mean(np.asarray(scores, np.float64)[-window(len(scores)) :]))
