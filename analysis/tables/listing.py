"""A comparison as people read it, a line for each cell."""

import pandas as pd

from ..render import Cell, Section, Table
from .grid import Grid
from .layout import ABSENT, interval, p_value, shown, signed

COLUMNS = [
    "mean",
    "baseline",
    "difference",
    "95 % interval",
    "p differs",
    "p equivalent",
    "P better",
    "pairs",
    "verdict",
]

BETTER = (
    "P better: the probability that a seed of the cell is better than one of the baseline, paired or not, ties "
    "counting as half (Agarwal et al. 2021)."
)


def listing(table: pd.DataFrame, grid: Grid, statistic: str, digits: int) -> Table:
    """Every cell that is compared with a baseline.

    Args:
        table: as returned by `analysis.tables.summary.summarised`, with the columns of
            `analysis.tables.baseline.compared`.
        grid: its grid.
        statistic, digits: as in `analysis.tables.layout.layout`.
    """
    labels = {column.key: column.label for column in grid.columns}
    sections = []
    for section in grid.sections:
        own = table[(table["section"] == section.key) & table["pairs"].notna()]
        lines = [_line(cell, labels[cell["column"]], statistic, digits) for _, cell in own.iterrows()]
        sections += [Section(section.title, lines)] if lines else []
    return Table([grid.head, grid.column_head, *COLUMNS], sections, [BETTER])


def _line(cell: pd.Series, column: str, statistic: str, digits: int) -> list[Cell]:
    texts = [
        cell["row"],
        column,
        shown(cell, statistic, digits),
        ABSENT if pd.isna(cell["base"]) else f"{cell['base']:.{digits}f}",
        signed(cell["difference"], digits),
        interval(cell, digits),
        p_value(cell["p_different"]),
        p_value(cell["p_equivalent"]),
        ABSENT if pd.isna(cell["better"]) else f"{cell['better']:.2f}",
        f"{cell['pairs']:.0f}",
        cell["verdict"] if isinstance(cell["verdict"], str) else ABSENT,
    ]
    return [Cell(text) for text in texts]
