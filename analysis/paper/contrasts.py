"""Weighted sums of a network's cells, within each seed."""

from collections.abc import Mapping
from itertools import compress

import numpy as np
import pandas as pd

from . import declared

Weights = Mapping[str, float]
"""A contrast: the weight of each cell's score, by replacement set. Its keys are the cells that it needs."""


def layer(number: int, depth: int) -> str:
    """The replacement set of one layer of a network of this depth."""
    return "last" if number == depth else f"layer_{number}"


def fall(first: int, last: int, depth: int) -> Weights:
    """How far the least-squares line through the scores of the layers `first` to `last` falls along them.

    That is minus its slope times the number of steps: with x the layers minus their mean, the weights are
    −(last − first) · x / Σx². For two layers it is the score of the first minus that of the last.
    """
    x = np.arange(first, last + 1) - (first + last) / 2
    weights = -(last - first) * x / (x @ x)
    return {layer(first + place, depth): float(weight) for place, weight in enumerate(weights)}


class ComparedNetwork:
    """A network of Table 1, with the scores of its runs in percent.

    Args:
        name: its file in `conf/tuned/`.
        found: as returned by `analysis.paper.grid.cells`.
    """

    def __init__(self, name: str, found: pd.DataFrame):
        base = declared(name)
        self.name = name
        self.depth = len(base.hidden_units)
        self.relu = base.activation.name == "relu"
        own = found[found["network"] == name]
        scores = 100 * own.pivot(index="seed", columns="replacement", values="score")
        self._seeds = [str(seed) for seed in scores.index]
        self._scores = {str(cell): scores[cell].to_numpy(float) for cell in scores}
        self._runs = own.sort_values("seed").groupby("replacement")["run"].first().to_dict()

    def values(self, *contrasts: Weights) -> np.ndarray:
        """Contrasts within each seed that has all of their cells: [contrasts, seeds]."""
        cells = list(dict.fromkeys(cell for weights in contrasts for cell in weights))
        matrix = [[weights.get(cell, 0.0) for cell in cells] for weights in contrasts]
        scores = np.array([self._of(cell) for cell in cells])
        values: np.ndarray = np.array(matrix) @ scores[:, ~np.isnan(scores).any(axis=0)]
        return values

    def key(self, weights: Weights) -> frozenset[tuple[str, float]]:
        """A contrast in terms of the runs that it combines: contrasts with equal keys are the same numbers."""
        total: dict[str, float] = {}
        for cell, weight in weights.items():
            run = self._runs.get(cell, f"{self.name}, {cell}")
            total[run] = total.get(run, 0.0) + round(weight, 9)
        return frozenset((run, weight) for run, weight in total.items() if weight)

    def lacks(self, weights: Weights) -> str:
        """The cells and seeds without a score: "last, none (seed 0, 2); tuned bp (seed 0, 1, 2)"."""
        lacking: dict[str, list[str]] = {}
        for cell in weights:
            seeds = ", ".join(compress(self._seeds, np.isnan(self._of(cell))))
            if seeds:
                lacking.setdefault(seeds, []).append(cell.replace("_", " "))
        return "; ".join(f"{', '.join(cells)} (seed {seeds})" for seeds, cells in lacking.items())

    def _of(self, cell: str) -> np.ndarray:
        """A cell's score by seed, NaN where there is none."""
        return self._scores.get(cell, np.full(len(self._seeds), np.nan))
