"""The command that draws Table 1, measured minus published: python -m plasticity.analysis calibration --help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import betaincinv, ndtri

from plasticity.errors import UserError

from ..command import output_argument, parsed, run_arguments, sources, table_runs
from ..drawing import save
from ..entry import command
from ..look import canvas, styled
from ..statistics import CONFIDENCE
from . import COLUMNS
from .grid import cells, compare

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Each distinct cell of Table 1 once: ours minus published over its standard error, as a standard normal "
    "score, in order. Were seeds and rounding all there is, the points would follow the line; band: where "
    "95 % of a point's order statistic lie if the cells were independent."
)


@styled
def draw(compared: pd.DataFrame) -> Figure:
    """The ordered scores against the normal quantiles of their ranks.

    The quantile of the i-th of k is Φ⁻¹((i − 3/8) / (k + 1/4)) (Blom 1958). The band is that of the i-th smallest
    of k uniform values, which is distributed as Beta(i, k + 1 − i).

    Args:
        compared: as returned by `analysis.paper.compare.compare`, with at least one cell that could be judged.
    """
    ordered = compared.dropna(subset="score").sort_values("score", kind="stable", ignore_index=True)
    number = len(ordered)
    place = np.arange(1, number + 1)
    quantiles = ndtri((place - 3 / 8) / (number + 1 / 4))
    low, high = (
        ndtri(betaincinv(place, number + 1 - place, (1 + side * CONFIDENCE) / 2)) for side in (-1, 1)
    )
    figure, [[axes]] = canvas(5.6, 5.0)
    axes.fill_between(quantiles, low, high, color="0.9", linewidth=0, label="95 % of independent cells")
    axes.axline((0, 0), slope=1, color="0.5", linewidth=1, label="seeds and rounding alone")
    axes.plot(quantiles, ordered["score"], "o", markersize=4.5, color="C0", markeredgecolor="white",
              markeredgewidth=0.4, label=f"{number} cells")  # fmt: skip
    for _, cell in ordered.assign(quantile=quantiles).iloc[[0, -1][:number]].iterrows():
        _name(axes, cell)
    axes.set_xlabel("normal quantile")
    axes.set_ylabel("ours minus published, in standard errors (normal score)")
    axes.margins(0.06)
    axes.legend(loc="upper left", frameon=False)
    return figure


def _name(axes: Axes, cell: pd.Series) -> None:
    """Labels a point, on the side where there is room."""
    lower = cell["quantile"] < 0
    network, column = cell["names"].partition(" = ")[0], COLUMNS[cell["replacement"]].lower()
    axes.annotate(
        f"{network}, {column} ({cell['difference']:+.1f})",
        (cell["quantile"], cell["score"]),
        xytext=(8, -8) if lower else (-8, 8),
        textcoords="offset points",
        ha="left" if lower else "right",
        va="center",
        fontsize=8,
        color="0.25",
    )


def main() -> None:
    """Reads the arguments, finds the runs, draws."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis calibration",
        description="Draws the differences between Table 1 as measured and as published against a normal "
        "distribution.",
    )
    run_arguments(parser)
    output_argument(parser, "calibration", "FILE", "files to write, without extension")
    arguments = parsed(parser)
    runs = table_runs(sources(arguments))
    compared = compare(cells(runs, COLUMNS, arguments.seeds, arguments.tasks, arguments.examples_per_task))
    if compared["score"].isna().all():
        raise UserError("No cell has the two seeds that a comparison with the published table needs.")
    files = save(draw(compared), arguments.output)
    print(f"Written to {' and '.join(map(str, files))}.", CAPTION, sep="\n")


if __name__ == "__main__":
    command(main)
