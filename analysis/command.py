"""What the commands of this package share."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analysis.load import summarise
from analysis.results import DIRECTORY, Results
from plasticity.errors import UserError


def command(main: Callable[[], None]) -> None:
    """Runs a command; what the user can mend ends it with a sentence and exit code 1."""
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit(str(error))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def positive(value: str) -> int:
    """An argument that is a whole number of at least 1."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value} is refused: it must be a whole number of at least 1.")
    return int(value)


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that show Table 1's runs."""
    parser.add_argument(
        "--runs", nargs="+", metavar="DIR", help="directories of runs; else the committed results"
    )
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="number of seeds (default: 3)")
    parser.add_argument("--tasks", type=positive, metavar="N", help="only runs of this many tasks")
    parser.add_argument("--examples-per-task", type=positive, metavar="N", help="and of tasks this long")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")


def table_runs(directories: list[str] | None) -> pd.DataFrame:
    """The runs to show: those in the directories, or the committed results.

    Raises:
        UserError: when there are none.
    """
    if directories is None and not Results(DIRECTORY).exists():
        raise UserError(
            "There are no committed results yet: launch the table with python launch.py -m "
            "+experiment=table_1, then show it with --runs runs."
        )
    paths = directories or [str(DIRECTORY)]
    runs = summarise(*paths)
    if runs.empty:
        raise UserError(f"There are no runs in {', '.join(paths)}.")
    return runs


def write(text: str, output: str | None) -> None:
    """Puts a text on standard output, or into a file.

    Raises:
        UserError: when the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {output} is refused: it cannot be written ({error.strerror}).") from error
    print(f"Written to {output}.", file=sys.stderr)
