"""The command that tests the paper's claims on runs: python -m plasticity.analysis findings --help."""

import argparse

import pandas as pd

from ..command import parsed, show, sources, table_arguments, table_runs
from ..entry import command
from ..render import Cell, Section, Table
from ..statistics import MOST_SEEDS, UNDECIDED
from ..tables.layout import p_value
from . import CELLS
from .claims import CLAIMS, EXPLANATIONS
from .grid import cells
from .judgement import findings
from .notes import measured, notes

COLUMNS = ["Network", "Verdict", "Value", "95 % interval", "p differs", "p equivalent", "Seeds", "Detail"]


def layout(frame: pd.DataFrame) -> Table:
    """The findings, claim by claim.

    Args:
        frame: as returned by `analysis.paper.judgement.findings`.
    """
    sections = [
        Section(f"({key}) {claim.title}", [_line(row) for _, row in frame[frame["claim"] == key].iterrows()])
        for key, claim in CLAIMS.items()
    ]
    return Table(COLUMNS, sections)


def _line(row: pd.Series) -> list[Cell]:
    form = "{:.0%}" if CLAIMS[row["claim"]].share else "{:.1f}"
    value = interval = "–"
    if pd.notna(row["value"]):
        value, low, high = (form.format(row[name]) for name in ("value", "low", "high"))
        interval = f"[{low}, {high}]"
    verdict = row["verdict"]
    if verdict == UNDECIDED:
        verdict += f" ({row['needed']} seeds)" if pd.notna(row["needed"]) else f" (> {MOST_SEEDS:,} seeds)"
    p_values = [p_value(row["p_different"]), p_value(row["p_equivalent"])]
    return [
        Cell(text)
        for text in (row["network"], verdict, value, interval, *p_values, str(row["seeds"]), row["detail"])
    ]


def main() -> None:
    """Reads the arguments, finds the runs, writes the verdicts."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis findings",
        description="The paper's claims, judged for each network of Table 1 on your own runs.",
    )
    table_arguments(parser)
    arguments = parsed(parser)
    runs = table_runs(sources(arguments))
    found = cells(runs, CELLS, arguments.seeds, arguments.tasks, arguments.examples_per_task)
    frame = findings(found)
    table = layout(frame)
    table.notes.extend([f"Scores: mean online accuracy over {measured(found)}.", *EXPLANATIONS])
    show(frame, table, notes(runs, found), arguments)


if __name__ == "__main__":
    command(main)
