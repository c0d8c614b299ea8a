"""The command that shows Table 1, measured: python -m analysis.table_1 --help."""

import argparse
import sys
from dataclasses import replace

import pandas as pd

from analysis.command import command, table_arguments, table_runs, write
from analysis.compare import compare, comparison
from analysis.grid import aggregate, cells
from analysis.layout import STATISTICS, layout
from analysis.notes import measured, notes
from analysis.paper import COLUMNS
from analysis.render import FORMATS, Table, render

CSV = ["section", "network", "replacement", "mean", "std", "seeds", "missing"]
ADDED = {"std": [], "sem": ["sem"], "ci": ["low", "high"]}
"""Columns that a statistic adds to the CSV."""


def main() -> None:
    """Reads the arguments, finds the runs, writes the table."""
    arguments = _arguments()
    runs = table_runs(arguments.runs)
    found = cells(runs, COLUMNS, arguments.seeds, arguments.tasks, arguments.examples_per_task)
    frame, table = _contents(found, arguments)
    below = notes(runs, found)
    if arguments.format == "csv":
        write(frame.to_csv(index=False), arguments.output)
        print(*below, sep="\n", end="\n" if below else "", file=sys.stderr)
    else:
        write(render(replace(table, notes=[*table.notes, *below]), arguments.format), arguments.output)


def _contents(found: pd.DataFrame, arguments: argparse.Namespace) -> tuple[pd.DataFrame, Table]:
    """What to show, as columns and as a picture."""
    table = aggregate(found)
    if arguments.compare:
        compared = compare(table)
        return compared, comparison(compared)
    statistic = arguments.statistic
    return table[CSV + ADDED[statistic]], layout(table, statistic, arguments.seeds, measured(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.table_1",
        description="Table 1, measured: mean and spread over seeds of the score of its runs.",
    )
    table_arguments(parser)
    parser.add_argument("--format", choices=[*FORMATS, "csv"], default="text")
    parser.add_argument(
        "--statistic",
        choices=list(STATISTICS),
        default="std",
        help="population standard deviation (default), standard error, or 95 %% bootstrap interval",
    )
    parser.add_argument("--compare", choices=["published"], help="cell by cell, beside the paper's numbers")
    return parser.parse_args()


if __name__ == "__main__":
    command(main)
