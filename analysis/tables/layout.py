"""A table as people read it: a grid of cells, and below it their differences from a baseline."""

import pandas as pd

from ..render import Cell, Section, Table
from ..statistics import CONFIDENCE, SIGNIFICANCE
from .declaration import STATISTICS
from .grid import Grid
from .measure import Measure

ABSENT = "–"
"""Stands where there can be no number."""


def layout(
    table: pd.DataFrame, grid: Grid, statistic: str, digits: int, what: str, best_is: str = ""
) -> Table:
    """The grid, with the best cells underlined.

    Args:
        table: as returned by `analysis.tables.summary.with_best`.
        grid: its grid.
        statistic: a key of `analysis.tables.declaration.STATISTICS`.
        digits: digits after the decimal point.
        what: as returned by `described`.
        best_is: what an underlined cell is.
    """
    asked = table["seeds"] + table["missing"]
    seeds = int(asked.max()) if len(table) else 0
    fewer = bool(((asked > 0) & (table["seeds"] < seeds)).any())
    sections = []
    for section in grid.sections:
        own = table[table["section"] == section.key]
        rows = [own[own["row"] == row.label] for row in section.rows]
        sections.append(Section(section.title, [_row(row, statistic, digits, seeds) for row in rows]))
    marked = f" (n): a cell with n of the {over(seeds)}." if fewer else ""
    best = f" Underlined: {best_is}." if best_is else ""
    columns = [grid.head, *(column.label for column in grid.columns)]
    spread = f"{STATISTICS[statistic]} over {over(seeds)}" if seeds != 1 else "of one seed"
    return Table(columns, sections, [f"{what}, {spread}.{best}{marked}"])


def over(seeds: int) -> str:
    """A number of seeds: "1 seed", "3 seeds"."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def described(measure: Measure, statistic: str) -> str:
    """What cells are, without their spread: "Mean online accuracy over the last 15 % of the tasks, in percent"."""
    mean = "Interquartile mean" if statistic == "iqm" else "Mean"
    what = f"{mean} {'of ' * (statistic == 'iqm')}{measure.name}"
    return f"{what}{f' over {measure.over}' if measure.over else ''}{measure.unit}"


def _row(cells: pd.DataFrame, statistic: str, digits: int, seeds: int) -> list[Cell]:
    texts = [shown(cell, statistic, digits, seeds) for _, cell in cells.iterrows()]
    label = Cell(str(cells["row"].iloc[0]))
    return [label, *(Cell(text, bool(best)) for text, best in zip(texts, cells["best"], strict=True))]


def shown(cell: pd.Series, statistic: str = "std", digits: int = 1, seeds: int = 0) -> str:
    """A cell as text: "84.6 ± 0.1", "84.6 ± 0.1 (2)" if seeds are missing, "–" if there can be no run.

    One seed shows no spread.

    Args:
        cell: a row of `analysis.tables.summary.summarised`.
        statistic: a key of `analysis.tables.declaration.STATISTICS`.
        digits: digits after the decimal point.
        seeds: a cell of fewer says how many it has, even if none of them is missing.
    """
    if cell["seeds"] + cell["missing"] == 0:
        return ABSENT
    parts = []
    if cell["seeds"] > 0:
        parts.append(f"{cell['mean']:.{digits}f}")
    if cell["seeds"] > 1 and statistic in ("ci", "iqm"):
        parts.append(f"[{cell['low']:.{digits}f}, {cell['high']:.{digits}f}]")
    elif cell["seeds"] > 1:
        parts.append(f"± {cell[statistic]:.{digits}f}")
    if cell["missing"] > 0 or cell["seeds"] < seeds:
        parts.append(f"({cell['seeds']})")
    return " ".join(parts)


def p_value(value: float) -> str:
    """A p value as text: "0.031", "< 0.001", "–" if there is none."""
    return ABSENT if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def signed(value: float, digits: int) -> str:
    """A difference as text: "+1.20", never "-0.00"; "–" if there is none."""
    return ABSENT if pd.isna(value) else f"{round(value, digits) + 0.0:+.{digits}f}"


def differences(compared: pd.DataFrame, grid: Grid, baseline: str, digits: int) -> list[Section]:
    """Sections of differences, one for each section of the grid.

    Args:
        compared: as returned by `analysis.tables.baseline.compared`.
        grid: the grid.
        baseline: what the baseline is called.
        digits: digits after the decimal point.
    """
    by_place = {(row["key"], row["column"]): row for _, row in compared.iterrows()}
    sections = []
    for section in grid.sections:
        rows = []
        for row in section.rows:
            found = [by_place.get((row.key, column.key)) for column in grid.columns]
            if any(cell is not None for cell in found):
                rows.append([Cell(row.label), *(Cell(difference(cell, digits)) for cell in found)])
        title = f"{section.title}, minus {baseline}" if section.title else f"Minus {baseline}"
        sections += [Section(title, rows)] if rows else []
    return sections


def difference(cell: pd.Series | None, digits: int) -> str:
    """A difference as text: "+2.10 [+1.80, +2.40] differs", "+2.10 (1)" of one pair, "–" if there is none."""
    if cell is None or not cell["pairs"]:
        return ABSENT
    value = signed(cell["difference"], digits)
    return value + (" (1)" if cell["pairs"] == 1 else f" {interval(cell, digits)} {cell['verdict']}")


def interval(cell: pd.Series, digits: int) -> str:
    """The interval of a difference; "–" if there is none."""
    if cell["pairs"] < 2:
        return ABSENT
    return f"[{signed(cell['difference_low'], digits)}, {signed(cell['difference_high'], digits)}]"


def explanation(compared: pd.DataFrame, baseline: str, margin: float, unit: str) -> list[str]:
    """Sentences on what differences and verdicts are.

    Args:
        compared, baseline: as in `differences`.
        margin: as in `analysis.tables.baseline.compared`.
        unit: of the margin, such as " points".
    """
    least, most = int(compared["pairs"].min()), int(compared["pairs"].max())
    number = f"{least} to {most}" if least < most else str(most)
    pairs = f"{number} {'pair' if most == 1 else 'pairs'}"
    said = f"Differences: a cell minus {baseline}, paired by seed ({pairs})"
    if most < 2:
        return [f"{said}: too few for an interval or a verdict."]
    tests = int(compared["p_different"].notna().sum())
    equivalent = (
        f"equivalent, where two one-sided tests show it to lie within ± {margin:g}{unit}; else "
        if margin
        else ""
    )
    no_margin = "" if margin else " --margin adds a test of equivalence."
    return [
        f"{said}, with Student's unadjusted {100 * CONFIDENCE:.0f} % interval. Verdicts, at "
        f"{100 * SIGNIFICANCE:.0f} %: {equivalent}differs, where a paired t test shows it not to be 0; else "
        "undecided. Their p values are adjusted by Holm's method over the "
        f"{tests} differences of the table.{no_margin}"
    ]
