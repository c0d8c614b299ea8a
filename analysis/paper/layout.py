"""The grid in the layout of the paper."""

import pandas as pd

from ..render import Cell, Section, Table
from . import COLUMNS, SECTIONS

STATISTICS = {
    "std": "± population standard deviation",
    "sem": "± standard error of the mean",
    "ci": "with Student's 95 % interval of the mean",
}
"""What is shown after a mean."""


def layout(table: pd.DataFrame, statistic: str, seeds: int, measured: str) -> Table:
    """The grid in the paper's sections, with the best individual layers underlined.

    Args:
        table: as returned by `analysis.paper.grid`.
        statistic: a key of `STATISTICS`.
        seeds: number of seeds asked for.
        measured: what a score is the mean of, as returned by `analysis.paper.notes.measured`.
    """
    sections = []
    for section, title in SECTIONS.items():
        rows = table[table["section"] == section].groupby("network", sort=False)
        sections.append(Section(title, [_row(str(name), row, statistic) for name, row in rows]))
    over = "1 seed" if seeds == 1 else f"{seeds} seeds"
    legend = f"Mean online accuracy over {measured}, in percent, {STATISTICS[statistic]} over {over}."
    marked = f" (n): a cell with n of the {over}." if table["missing"].any() else ""
    best = " Underlined: the best individual layer."
    return Table(["Network", *COLUMNS.values()], sections, [legend + best + marked])


def _row(name: str, row: pd.DataFrame, statistic: str) -> list[Cell]:
    return [Cell(name), *(Cell(shown(cell, statistic), bool(cell["best"])) for _, cell in row.iterrows())]


def shown(cell: pd.Series, statistic: str = "std") -> str:
    """A cell as text: "84.6 ± 0.1", "84.6 ± 0.1 (2)" if seeds are missing, "–" if there can be no run.

    One seed shows no spread.
    """
    if cell["seeds"] + cell["missing"] == 0:
        return "–"
    parts = []
    if cell["seeds"] > 0:
        parts.append(f"{cell['mean']:.1f}")
    if cell["seeds"] > 1 and statistic == "ci":
        parts.append(f"[{cell['low']:.1f}, {cell['high']:.1f}]")
    elif cell["seeds"] > 1:
        parts.append(f"± {cell[statistic]:.1f}")
    if cell["missing"] > 0:
        parts.append(f"({cell['seeds']})")
    return " ".join(parts)


def p_value(value: float) -> str:
    """A p value as text: "0.031", "< 0.001", "–" if there is none."""
    return "–" if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
