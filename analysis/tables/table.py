"""The command that makes a table of any runs: python -m plasticity.analysis table --help."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from plasticity.errors import UserError

from ..command import config_argument, format_arguments, parsed, show, source_arguments, sources, table_runs
from ..entry import command
from ..load import config_columns
from ..render import Table
from ..results import DIRECTORY
from ..robust import FEW
from . import notes
from .baseline import compared
from .beside import comparison
from .cells import Asked, ask, cells
from .declaration import STATISTICS, Declaration, declare
from .grid import Grid, baseline, resolve
from .layout import described, differences, explanation, layout
from .listing import listing
from .measure import Measure, measured
from .published import Comparison, compare
from .summary import summarised, with_best

CSV = ["section", "row", "column", "mean", "std", "seeds", "missing"]
ADDED = {"std": [], "sem": ["sem"], "ci": ["low", "high"], "iqm": ["low", "high"]}
"""Columns that a statistic adds to the CSV."""

COMPARED = [
    *("base", "pairs", "difference", "difference_low", "difference_high"),
    *("p_different", "p_equivalent", "better", "verdict"),
]
"""Columns that a baseline adds to the CSV."""

OPTIONS = (
    *("rows", "columns", "sections", "experiment", "where", "score", "statistic", "digits"),
    *("baseline", "margin", "best"),
)
"""The options that override what a table declares."""

BEST = {"none": "", "row": "the best of each row", "column": "the best of each column"}


def main() -> None:
    """Reads the arguments, finds the runs, writes the table."""
    arguments = _arguments()
    paths = sources(arguments)
    if paths is None and arguments.table is None:
        paths = ["runs"]
    declaration = declare(arguments.table, {name: getattr(arguments, name) for name in OPTIONS})
    if arguments.lines and not declaration.baseline:
        raise UserError("--lines is refused: it lists what --baseline compares.")
    contents = contents_of(declaration, table_runs(paths), paths or [str(DIRECTORY)], arguments.config_dir)
    if arguments.compare:
        frame, table = contents.beside_published()
    elif declaration.baseline:
        frame, table = contents.beside_baseline(arguments.lines)
    else:
        frame, table = contents.alone()
    show(frame, table, contents.notes(), arguments)


@dataclass(frozen=True)
class Contents:
    """What a table shows.

    Attributes:
        declaration: the table.
        asked: its runs.
        measure: what its cells are means of.
        grid: its sides.
        found, others: as returned by `analysis.tables.cells.cells`, of its cells and of their baselines.
        summary: as returned by `analysis.tables.summary.with_best`.
    """

    declaration: Declaration
    asked: Asked
    measure: Measure
    grid: Grid
    found: pd.DataFrame
    others: pd.DataFrame
    summary: pd.DataFrame

    @classmethod
    def of(cls, declaration: Declaration, asked: Asked, measure: Measure) -> "Contents":
        """The contents of a table.

        Raises:
            UserError: when it would be empty, or something of the declaration does not fit the runs.
        """
        grid = resolve(declaration, asked.runs)
        found = cells(asked.runs, grid)
        if found.empty:
            raise UserError("None of the runs belongs to a cell of the table.")
        others = found[:0]
        if declaration.baseline:
            others = cells(asked.runs, grid, baseline(declaration, asked.runs))
        best, higher = declaration.best, measure.higher_is_better
        if best != "none" and higher is None:
            raise UserError(
                f"--best {best} is refused: it is not known whether a higher {measure.name} is better."
            )
        summary = summarised(found, grid, measure.factor, declaration.statistic)
        digits = shown_digits(declaration, measure)
        summary = with_best(summary, best, declaration.among, digits, higher is not False)
        return cls(declaration, asked, measure, grid, found, others, summary)

    @property
    def digits(self) -> int:
        """Digits after the decimal point."""
        return shown_digits(self.declaration, self.measure)

    def alone(self) -> tuple[pd.DataFrame, Table]:
        """The cells, as columns and for people."""
        statistic = self.declaration.statistic
        best_is = self.declaration.best_is or BEST[self.declaration.best]
        what = described(self.measure, statistic)
        table = layout(self._possible(), self.grid, statistic, self.digits, what, best_is)
        return self.summary[CSV + ADDED[statistic]], table

    def _possible(self) -> pd.DataFrame:
        """The summary, with the ends of intervals within what can be: a percentage is from 0 to 100."""
        if not self.measure.percent:
            return self.summary
        return self.summary.assign(low=self.summary["low"].clip(0), high=self.summary["high"].clip(upper=100))

    def beside_baseline(self, lines: bool) -> tuple[pd.DataFrame, Table]:
        """The cells, compared with the baseline: below them or, with `lines`, as a list of comparisons."""
        given, margin = self.declaration.baseline, self.declaration.margin
        called = ", ".join(map(self._called, given))
        against = compared(
            self.found, self.others, self.measure.factor, margin, self.measure.higher_is_better
        )
        if against.empty:
            raise UserError(
                f"--baseline {' '.join(given)} is refused: no cell has another with these values."
            )
        unit = f" point{'s' * (margin != 1)}" if self.measure.percent else ""
        said = explanation(against, called, margin, unit)
        joined = self.summary.merge(against, on=["key", "column"], how="left")
        frame, table = self.alone()
        if lines:
            listed = listing(joined, self.grid, self.declaration.statistic, self.digits)
            table = replace(listed, notes=[table.notes[0], *said, *listed.notes])
        else:
            below = differences(against, self.grid, called, self.digits)
            table = replace(table, sections=[*table.sections, *below], notes=[*table.notes, *said])
        return joined[[*frame, *COMPARED]], table

    def beside_published(self) -> tuple[pd.DataFrame, Table]:
        """The cells, compared with the published ones."""
        asked = Comparison.of(self.declaration, self.grid, self.measure)
        frame = compare(self.found, asked)
        return frame, comparison(frame, asked)

    def _called(self, given: str) -> str:
        """What the table calls a value, such as that of "method=bp"."""
        key, _, value = given.partition("=")
        axes = (self.declaration.rows, self.declaration.columns)
        return next((known[value] for axis in axes if value in (known := axis.keys.get(key) or {})), value)

    def notes(self) -> list[str]:
        """What the cells hide, and what they lack."""
        before, after = self._remarks()
        number, which = self.lacking()
        return [*before, *number, *which, *after]

    def remarks(self) -> list[str]:
        """What the cells hide."""
        before, after = self._remarks()
        return [*before, *after]

    def lacking(self) -> tuple[list[str], list[str]]:
        """What the cells lack: how many runs; and which, with the commands that compute them."""
        return notes.missing(self._needed(), self.grid, self.asked)

    def _needed(self) -> pd.DataFrame:
        """The runs of the cells and, where they are others, of their baselines."""
        more = self.others[~self.others["run"].isin(set(self.found["run"]))].drop_duplicates("run")
        elsewhere = more.assign(row="baseline", column=", ".join(self.declaration.baseline))
        return pd.concat([self.found, elsewhere])

    def _remarks(self) -> tuple[list[str], list[str]]:
        """What the cells hide: what is said before what they lack, and after."""
        chosen = all(self.declaration.columns.keys.values())
        least = (
            int(self.summary.loc[self.summary["seeds"] > 0, "seeds"].min())
            if self.summary["seeds"].any()
            else FEW
        )
        narrow = self.declaration.statistic == "iqm" and least < FEW
        keys = [
            key for key in config_columns(self.asked.runs) if key not in ("setting", *self.declaration.keys)
        ]
        before = [
            *([] if chosen else [f"Columns: {self.grid.column_head}."]),
            *(
                [f"Bootstrap intervals over fewer than {FEW} seeds, here {least}, are too narrow."]
                if narrow
                else []
            ),
            *notes.mixture(self.found, keys),
            *(notes.uncompared(self.found, self.others, self.grid) if self.declaration.baseline else []),
        ]
        return before, [*notes.nowhere(self._needed(), self.asked), *notes.versions(self.found)]


def contents_of(
    declaration: Declaration, summaries: pd.DataFrame, paths: Sequence[str], config_dir: Path | None
) -> Contents:
    """The contents of a table.

    Args:
        declaration: the table.
        summaries: as returned by `analysis.summarise`.
        paths: the directories that these runs are in.
        config_dir: a further directory of configs.

    Raises:
        UserError: when it would be empty, or something of the declaration does not fit the runs.
    """
    asked = ask(declaration, summaries, config_dir)
    runs, measure = measured(asked.runs, declaration.score, paths)
    return Contents.of(declaration, replace(asked, runs=runs), measure)


def shown_digits(declaration: Declaration, measure: Measure) -> int:
    """Digits after the decimal point."""
    return declaration.digits if declaration.digits is not None else 1 if measure.percent else 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis table",
        description="A table of any runs: rows and columns are values of config keys, cells are means over seeds.",
        epilog="Example: python -m plasticity.analysis table --rows method --columns replacement=all,layer_1,none "
        "--baseline method=bp replacement=none --margin 1",
    )
    source_arguments(parser, "runs; for --table, the committed results")
    config_argument(parser)
    cell_arguments(parser)
    for option, metavar, kind, help_text in (
        ("--table", "NAME|FILE", str, "a table declared in conf/table/, or in a file; options override it"),
        ("--score", "COLUMN", str, "in place of the score: seconds, or a column such as dead_units.layer_1"),
        ("--digits", "N", int, "digits after the decimal point (default: 1 in percent, else 2)"),
        ("--margin", "M", float, "the smallest difference that counts: adds a test of equivalence"),
    ):
        parser.add_argument(option, metavar=metavar, type=kind, help=help_text)
    parser.add_argument(
        "--statistic",
        choices=list(STATISTICS),
        help="Student's 95 %% interval (default), population standard deviation, standard error, or the "
        "interquartile mean with its bootstrap interval",
    )
    parser.add_argument("--best", choices=["row", "column"], help="underline the best cell of each")
    parser.add_argument(
        "--lines", action="store_true", help="with --baseline: a line per comparison, with p values"
    )
    parser.add_argument(
        "--compare", choices=["published"], help="compare with the numbers that the table declares"
    )
    format_arguments(parser)
    return parsed(parser)


def cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which cells a table has."""
    values, condition = "KEY[=VALUE,VALUE]", "KEY=VALUE"
    for option, metavar, help_text in (
        ("--rows", values, "keys of the rows, such as method; VALUEs choose some, in this order"),
        ("--columns", values, "keys of the columns, such as replacement=all,layer_1,none"),
        ("--sections", values, "keys of the sections: rows under a title for each value"),
        (
            "--experiment",
            ("NAME", condition),
            "the runs of an experiment, as given to launch.py (default: all runs)",
        ),
        ("--baseline", condition, "differences, paired by seed, from the cell with these values"),
    ):
        parser.add_argument(option, nargs="+", metavar=metavar, help=help_text)
    parser.add_argument(
        "--where", nargs="+", action="extend", metavar=condition, help="only runs with these values"
    )


if __name__ == "__main__":
    command(main)
