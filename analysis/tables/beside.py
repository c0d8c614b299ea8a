"""A table beside the published one, as people read it."""

from math import sqrt

import numpy as np
import pandas as pd
from scipy.special import chdtri

from ..render import Cell, Section, Table
from ..statistics import CONFIDENCE, DIFFERS, EQUIVALENT, POWER, SIGNIFICANCE, UNDECIDED
from .layout import ABSENT, p_value, shown, signed
from .published import Comparison

COLUMNS = ["Ours", "Published", "Difference", "Error", "p differs", "p equivalent", "Verdict"]


def comparison(compared: pd.DataFrame, asked: Comparison) -> Table:
    """The comparison, cell by cell.

    Args:
        compared: as returned by `analysis.tables.published.compare`.
        asked: what was compared.
    """
    sections = [
        Section(
            section.title,
            [_line(cell, asked) for _, cell in compared[compared["section"] == section.key].iterrows()],
        )
        for section in asked.grid.sections
    ]
    columns = [asked.grid.head, asked.grid.column_head, *COLUMNS]
    return Table(columns, sections, [*summary(compared, asked), explanation(asked)])


def _line(cell: pd.Series, asked: Comparison) -> list[Cell]:
    digits = asked.published.digits
    values = [
        cell["row"],
        asked.titles[cell["column"]],
        shown(cell, "std", digits),
        f"{cell['published_mean']:.{digits}f} ± {cell['published_std']:.{digits}f}",
        signed(cell["difference"], digits),
        ABSENT if pd.isna(cell["error"]) else f"{cell['error']:.{digits + 1}f}",
        p_value(cell["p_different"]),
        p_value(cell["p_equivalent"]),
        _verdict(cell),
    ]
    return [Cell(value) for value in values]


def _verdict(cell: pd.Series) -> str:
    if pd.isna(cell["error"]):
        return ABSENT
    if cell["verdict"] != UNDECIDED:
        return str(cell["verdict"])
    return f"{UNDECIDED} ({cell['needed']} seeds)" if pd.notna(cell["needed"]) else f"{UNDECIDED} (no number)"


def summary(compared: pd.DataFrame, asked: Comparison) -> list[str]:
    """Sentences about all cells together; arguments as in `comparison`."""
    judged = compared.dropna(subset="error")
    counts = {
        verdict: int((judged["verdict"] == verdict).sum()) for verdict in (EQUIVALENT, DIFFERS, UNDECIDED)
    }
    unknown = len(compared) - len(judged)
    said = [
        f"Of {len(compared)} distinct cells, {counts[EQUIVALENT]} are equivalent to the published within ± "
        f"{asked.margin_text}, {counts[DIFFERS]} differ, {counts[UNDECIDED]} are undecided, and {unknown} "
        "cannot be judged."
    ]
    if judged.empty:
        return said
    digits, column = asked.published.digits, asked.titles
    worst = judged.iloc[int(judged["difference"].abs().argmax())]
    tails = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    low, high = (sqrt(chdtri(len(judged), tail) / len(judged)) for tail in tails)
    said.append(
        f"Differences: mean {judged['difference'].mean():+.{digits + 1}f}, root mean square "
        f"{_rms(judged['difference']):.{digits + 1}f} (expected of seeds and rounding alone: "
        f"{_rms(judged['error']):.{digits + 1}f}), largest {worst['difference']:+.{digits}f} ({worst['names']}, "
        f"{column[worst['column']].lower()}). As standard normal scores: root mean square "
        f"{_rms(judged['score']):.2f}; {CONFIDENCE:.0%} of experiments that differ by seeds alone, with "
        f"independent cells, have {low:.2f} to {high:.2f}."
    )
    return said


def _rms(values: pd.Series) -> float:
    return float(np.sqrt(np.mean(values**2)))


def explanation(asked: Comparison) -> str:
    """What the numbers of a comparison are, in sentences."""
    digits = asked.published.digits
    decimals = "one decimal" if digits == 1 else f"{digits} decimals"
    unit = ", in percentage points" if asked.measure.percent else ""
    return (
        f"Difference: ours minus published{unit}. Error: its standard error, from one standard "
        "deviation that both sides share, as they must if they are the same experiment; it is pooled from the "
        f"squares about both means (published: {asked.published.seeds} seeds, ddof = 0), and what rounding to "
        f"{decimals} adds is added. p: of the t test against 0 (differs) and of two one-sided tests against a "
        f"difference of {asked.margin_text} or more (equivalent), adjusted by Holm's method over the cells; both "
        "take the published mean for as far off as rounding allows, in the direction that is against them. "
        f"Verdicts, at {SIGNIFICANCE:.0%}: equivalent, where the difference is shown to lie within ± "
        f"{asked.margin_text}; else differs, where it is shown not to be 0; else undecided, with the number of our "
        f"seeds that would show an equivalence with a chance of {POWER:.0%} if there is no difference (no number: "
        "the published seeds are too few). Each cell stands once. A cell is judged from 2 seeds on. Cells of one "
        f"{asked.grid.head.lower()} share seeds, so that their differences are not independent."
    )
