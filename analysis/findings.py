"""The command that tests the paper's claims on runs: python -m analysis.findings --help."""

import argparse
import sys

import pandas as pd

from analysis.claims import CLAIMS, EXPLANATIONS, findings
from analysis.command import command, table_arguments, table_runs, write
from analysis.grid import cells
from analysis.notes import measured, notes
from analysis.paper import FINDINGS
from analysis.render import Cell, Section, Table, render


def layout(frame: pd.DataFrame) -> Table:
    """The findings, claim by claim.

    Args:
        frame: as from `analysis.claims.findings`.
    """
    sections = [
        Section(f"({claim}) {title}", [_line(row) for _, row in frame[frame["claim"] == claim].iterrows()])
        for claim, title in CLAIMS.items()
    ]
    return Table(["Network", "Verdict", "Value", "95 % interval", "Seeds", "Detail"], sections)


def _line(row: pd.Series) -> list[Cell]:
    form = "{:.0%}" if row["claim"] == "b" else "{:.1f}"
    value = interval = "–"
    if pd.notna(row["value"]):
        value, low, high = (form.format(row[name]) for name in ("value", "low", "high"))
        interval = f"[{low}, {high}]"
    return [
        Cell(row["network"]), Cell(row["verdict"]), Cell(value), Cell(interval), Cell(str(row["seeds"])),
        Cell(row["detail"]),
    ]  # fmt: skip


def main() -> None:
    """Reads the arguments, finds the runs, writes the verdicts."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.findings",
        description="The paper's claims, judged for each network of Table 1 on runs of one's own.",
    )
    table_arguments(parser)
    parser.add_argument("--format", choices=["text", "markdown", "csv"], default="text")
    arguments = parser.parse_args()
    runs = table_runs(arguments.runs)
    found = cells(runs, FINDINGS, arguments.seeds, arguments.tasks, arguments.examples_per_task)
    frame, below = findings(found), notes(runs, found)
    if arguments.format == "csv":
        write(frame.to_csv(index=False), arguments.output)
        print(*below, sep="\n", end="\n" if below else "", file=sys.stderr)
        return
    table = layout(frame)
    table.notes.extend([f"Scores: mean online accuracy over {measured(found)}.", *EXPLANATIONS, *below])
    write(render(table, arguments.format), arguments.output)


if __name__ == "__main__":
    command(main)
