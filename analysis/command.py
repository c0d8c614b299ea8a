"""What the commands of this package share."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import pandas as pd

from plasticity.arguments import positive
from plasticity.composition.methods import use
from plasticity.errors import UserError

from .load import summarise
from .look import BANDS, USUAL, Look
from .remote import fetch
from .render import FORMATS, Table, render
from .results import DIRECTORY, Results


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command's arguments; options may stand before, between and after the others."""
    return parser.parse_intermixed_args()


def source_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds the arguments that say where the runs are; `sources` reads them."""
    parser.add_argument("--runs", nargs="+", metavar="DIR", help=f"directories of runs (default: {default})")
    parser.add_argument(
        "--wandb",
        nargs="+",
        default=[],
        metavar="ENTITY/PROJECT[/GROUP]",
        help="runs that were published to Weights & Biases, with their complete tables",
    )


def config_argument(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Adds the argument for a further config directory."""
    parser.add_argument(
        "--config-dir",
        type=Path,
        metavar="DIR",
        help=f"a further config directory, as given to launch.py{more}",
    )


def sources(arguments: argparse.Namespace) -> list[str] | None:
    """The directories that the arguments name, including those of fetched runs; None if they name none.

    Raises:
        UserError: when runs cannot be fetched.
    """
    if directory := getattr(arguments, "config_dir", None):
        use(directory)
    for path in arguments.runs or []:
        if "=" in path and not Path(path).exists():
            raise UserError(
                f"--runs {path} is refused: there is no such directory; put KEY=VALUE before --runs."
            )
    fetched = [directory for place in arguments.wandb for directory in fetch(place)]
    return [*(arguments.runs or []), *fetched] or None


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that choose runs of Table 1."""
    source_arguments(parser, "the committed results")
    parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="number of seeds (default: 3)")
    parser.add_argument("--tasks", type=positive, metavar="N", help="only runs with this many tasks")
    parser.add_argument(
        "--examples-per-task", type=positive, metavar="N", help="and with this many examples per task"
    )


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of commands that show tables of Table 1's runs; `show` takes them."""
    run_arguments(parser)
    format_arguments(parser)


def format_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say how a table is written; `show` takes them."""
    parser.add_argument("--format", choices=[*FORMATS, "csv"], default="text")
    parser.add_argument(
        "--standalone",
        action="store_true",
        help="with --format latex: a whole document, not a table to \\input",
    )
    parser.add_argument("--output", metavar="FILE", help="file to write (default: standard output)")


def output_argument(parser: argparse.ArgumentParser, default: str, kind: str, what: str) -> None:
    """Adds the argument that says where a command writes.

    Args:
        parser: of the command.
        default: the path where it does by default.
        kind: "FILE" or "DIR".
        what: what it writes there, for --help.
    """
    parser.add_argument(
        "--output", type=Path, default=Path(default), metavar=kind, help=f"{what} (default: {default})"
    )


def look_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say how a figure looks; `look_of` and `labels_of` read them."""
    for option, default, help_text in (
        ("--width", USUAL.width, "width of the figure (default: %(default)g)"),
        ("--height", USUAL.height, "height of the figure (default: the figure's own)"),
    ):
        parser.add_argument(option, type=inches, default=default, metavar="INCHES", help=help_text)
    parser.add_argument(
        "--font",
        type=points,
        default=USUAL.font,
        metavar="POINTS",
        help="size of the text (default: %(default)g)",
    )
    parser.add_argument(
        "--band",
        choices=list(BANDS),
        default=USUAL.band,
        help="what curves show: the 95 %% interval of the mean (default), the population standard deviation, or "
        "each run",
    )
    parser.add_argument(
        "--labels", nargs="+", default=[], metavar="TEXT=LABEL", help="what to call curves, panels and axes"
    )


def look_of(arguments: argparse.Namespace) -> Look:
    """The look that `look_arguments` describe."""
    return Look(arguments.width, arguments.height, arguments.font, arguments.band)


def labels_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The labels that `look_arguments` name, by text. Raises UserError."""
    for one in arguments.labels:
        if not all(one.partition("=")[::2]):
            raise UserError(f"--labels {one} is refused: it must be TEXT=LABEL, such as BP=Backpropagation.")
    return dict(one.partition("=")[::2] for one in arguments.labels)


def inches(value: str) -> float:
    """Parses an argument that must be from 1 to 50 inches."""
    return _between(value, 1, 50, "inches")


def points(value: str) -> float:
    """Parses an argument that must be from 3 to 40 points."""
    return _between(value, 3, 40, "points")


def _between(value: str, least: float, most: float, unit: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{value} is refused: it must be from {least:g} to {most:g} {unit}.")
    return number


def table_runs(directories: list[str] | None) -> pd.DataFrame:
    """The runs to show: those in the directories, or the committed results.

    Raises:
        UserError: when there are none.
    """
    if directories is None and not Results(DIRECTORY).exists():
        raise UserError(
            "There are no committed results: launch the table with python launch.py experiment=table_1, "
            "then show it with --runs runs."
        )
    paths = directories or [str(DIRECTORY)]
    runs = summarise(*paths)
    if runs.empty:
        raise UserError(f"There are no runs in {', '.join(paths)}.")
    return runs


def show(frame: pd.DataFrame, table: Table, notes: Sequence[str], arguments: argparse.Namespace) -> None:
    """Writes a table in the requested format, with notes below it.

    Args:
        frame: what CSV contains; the notes then go to standard error.
        table: what the other formats show.
        notes: sentences.
        arguments: those of `format_arguments`.

    Raises:
        UserError: when the arguments are incompatible, or the file cannot be written.
    """
    if arguments.standalone and arguments.format != "latex":
        raise UserError("--standalone is refused: it goes with --format latex.")
    if arguments.format == "csv":
        write(frame.to_csv(index=False), arguments.output)
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
        return
    noted = replace(table, notes=[*table.notes, *notes])
    write(render(noted, arguments.format, arguments.standalone), arguments.output)


def write(text: str, output: str | None) -> None:
    """Writes a text to standard output, or to a file.

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
