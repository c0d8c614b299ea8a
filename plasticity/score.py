"""The one number of a run."""

from collections.abc import Sequence

import numpy as np

WINDOW_PERCENT = 15
"""Share of a run's tasks, the last ones, that its score is the mean of."""


def window(tasks: int) -> int:
    """Number of last tasks that make up 15 % of a run, rounded up: 165 of 1,100, 2 of 10, 1 of 1."""
    return -(-tasks * WINDOW_PERCENT // 100)


def score(accuracies: Sequence[float] | np.ndarray) -> float:
    """Mean online accuracy over the last 15 % of tasks, from 0 to 1.

    Args:
        accuracies: a run's task accuracies, all of them, in order: [tasks].
    """
    return float(np.mean(np.asarray(accuracies, np.float64)[-window(len(accuracies)) :]))
