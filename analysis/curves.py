"""The command that draws any column by task: python -m plasticity.analysis curves --help."""

import argparse
from collections.abc import Sequence

import pandas as pd

from plasticity.errors import UserError

from . import drawing
from .command import (
    config_argument,
    labels_of,
    look_arguments,
    look_of,
    output_argument,
    parsed,
    source_arguments,
    sources,
)
from .entry import command
from .load import load_runs, summarise
from .points import LINE, PANEL, explain
from .selection import column, grouped, mixture, where, with_derived

MOST = 12
"""The most curves that can still be told apart."""


def main() -> None:
    """Reads the arguments, finds the runs, draws."""
    arguments = _arguments()
    paths = sources(arguments) or ["runs"]
    runs, said = _chosen(paths, arguments.where, [*arguments.by, *arguments.panel])
    by, panel = (
        [column(runs, key, option) for key in keys]
        for keys, option in ((arguments.by, "--by"), (arguments.panel, "--panel"))
    )
    tasks = load_runs(*paths, runs=set(runs["run"])).copy()  # in one piece, to add columns to
    known = [str(name) for name in tasks if name not in runs and name != "task" and tasks[name].notna().any()]
    if arguments.y not in known:
        there = f"these runs have {', '.join(known)}" if known else "these runs have no rows"
        raise UserError(f"--y {arguments.y} is refused: {there}.")
    names = {LINE: grouped(runs, by), PANEL: grouped(runs, panel, spelt=True)}
    for name, own in names.items():
        tasks[name] = own.loc[tasks["run"]].array
    if (number := len(names[LINE].cat.categories)) > MOST:
        raise UserError(
            f"--by {' '.join(by)} is refused: it has {number} values, too many for curves; choose with --where."
        )
    look = look_of(arguments)
    mixed = mixture(runs, [*by, *panel], "These are means over runs")
    said = [explain(tasks, look.band, arguments.y), *said, *mixed]
    figure = drawing.curves(tasks, arguments.y, ", ".join(by), look=look)
    drawing.relabel(figure, labels_of(arguments))
    files = drawing.save(figure, arguments.output, " ".join(said))
    print("\n".join([*said, f"Written to {' and '.join(map(str, files))}."]))


def _chosen(
    paths: Sequence[str], conditions: list[str], keys: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The runs to draw, and sentences about those left out.

    Raises:
        UserError: when there are none.
    """
    runs = summarise(*paths)
    if runs.empty:
        raise UserError(f"There are no runs in {', '.join(paths)} yet: python launch.py computes one.")
    runs = where(with_derived(runs, keys, conditions), conditions)
    if any(condition.startswith("status=") for condition in conditions):
        return runs, []
    unfinished = int((runs["status"] != "finished").sum())
    left = "1 run that is" if unfinished == 1 else f"{unfinished} runs that are"
    said = [f"Left out: {left} not finished."] * bool(unfinished)
    return where(runs, ["status=finished"]), said


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis curves",
        description="Draws a column by task, as PDF and PNG: means over runs that share the values of some keys.",
        epilog="Example: python -m plasticity.analysis curves --y accuracy --by replacement.layers "
        "--where activation=relu",
    )
    source_arguments(parser, "runs")
    config_argument(parser)
    parser.add_argument(
        "--y",
        required=True,
        metavar="COLUMN",
        help="the column, such as accuracy or weight_magnitude.layer_1",
    )
    parser.add_argument("--by", required=True, nargs="+", metavar="KEY", help="one curve for each value")
    parser.add_argument("--panel", nargs="+", default=[], metavar="KEY", help="one panel for each value")
    parser.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with these values",
    )
    output_argument(parser, "curves", "FILE", "files to write, without extension")
    look_arguments(parser)
    return parsed(parser)


if __name__ == "__main__":
    command(main)
