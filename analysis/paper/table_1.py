"""The command that shows Table 1, measured: python -m plasticity.analysis table_1 --help."""

import argparse
from dataclasses import replace

import pandas as pd

from ..command import parsed, show, sources, table_arguments, table_runs
from ..entry import command
from ..render import Table
from ..tables.beside import comparison
from ..tables.declaration import STATISTICS
from ..tables.layout import described, layout
from ..tables.published import compare
from ..tables.summary import summarised, with_best
from ..tables.table import ADDED, CSV
from . import COLUMNS, COMPARISON, GRID, NAMES, TABLE
from .grid import DIGITS, as_cells, cells
from .notes import measured, notes


def main() -> None:
    """Reads the arguments, finds the runs, writes the table."""
    arguments = _arguments()
    runs = table_runs(sources(arguments))
    found = cells(runs, COLUMNS, arguments.seeds, arguments.tasks, arguments.examples_per_task)
    frame, table = _contents(found, arguments)
    show(frame, table, notes(runs, found), arguments)


def _contents(found: pd.DataFrame, arguments: argparse.Namespace) -> tuple[pd.DataFrame, Table]:
    """What to show, as columns and as a table."""
    own = as_cells(found)
    if arguments.compare:
        compared = compare(own, COMPARISON)
        return compared.rename(columns=NAMES), comparison(compared, COMPARISON)
    statistic = arguments.statistic
    table = with_best(summarised(own, GRID, 100, statistic), TABLE.best, TABLE.among, DIGITS, higher=True)
    what = described(replace(COMPARISON.measure, over=measured(found)), statistic)
    shown = layout(table, GRID, statistic, DIGITS, what, TABLE.best_is or "")
    return table[CSV + ADDED[statistic]].rename(columns=NAMES), shown


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis table_1",
        description="Table 1, measured: mean and spread over seeds of the score of its runs.",
    )
    table_arguments(parser)
    parser.add_argument(
        "--statistic",
        choices=list(STATISTICS),
        default=TABLE.statistic,
        help="population standard deviation (default), standard error, Student's 95 %% interval, or the "
        "interquartile mean",
    )
    parser.add_argument("--compare", choices=["published"], help="compare each cell with the paper's numbers")
    return parsed(parser)


if __name__ == "__main__":
    command(main)
