"""The command that shows Table 1, measured: python -m plasticity.analysis table_1 --help."""

import argparse

import pandas as pd

from ..command import parsed, show, sources, table_arguments, table_runs
from ..entry import command
from ..render import Table
from . import COLUMNS
from .compare import compare, comparison
from .grid import aggregate, cells
from .layout import STATISTICS, layout
from .notes import measured, notes

CSV = ["section", "network", "replacement", "mean", "std", "seeds", "missing"]
ADDED = {"std": [], "sem": ["sem"], "ci": ["low", "high"]}
"""Columns that a statistic adds to the CSV."""


def main() -> None:
    """Reads the arguments, finds the runs, writes the table."""
    arguments = _arguments()
    runs = table_runs(sources(arguments))
    found = cells(runs, COLUMNS, arguments.seeds, arguments.tasks, arguments.examples_per_task)
    frame, table = _contents(found, arguments)
    show(frame, table, notes(runs, found), arguments)


def _contents(found: pd.DataFrame, arguments: argparse.Namespace) -> tuple[pd.DataFrame, Table]:
    """What to show, as columns and as a table."""
    if arguments.compare:
        compared = compare(found)
        return compared, comparison(compared)
    table = aggregate(found)
    statistic = arguments.statistic
    return table[CSV + ADDED[statistic]], layout(table, statistic, arguments.seeds, measured(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis table_1",
        description="Table 1, measured: mean and spread over seeds of the score of its runs.",
    )
    table_arguments(parser)
    parser.add_argument(
        "--statistic",
        choices=list(STATISTICS),
        default="std",
        help="population standard deviation (default), standard error, or Student's 95 %% interval",
    )
    parser.add_argument("--compare", choices=["published"], help="compare each cell with the paper's numbers")
    return parsed(parser)


if __name__ == "__main__":
    command(main)
