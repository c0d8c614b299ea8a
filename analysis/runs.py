"""The command that lists runs: python -m analysis.runs --help."""

import argparse
from collections import Counter
from difflib import get_close_matches

import pandas as pd

from analysis.command import command, source_arguments, sources, write
from analysis.load import config_columns, summarise
from analysis.render import Cell, Section, Table, text
from plasticity.errors import UserError

ALWAYS = "optimiser.step_size"
"""The config key that is shown even where it is the same for all."""


def where(runs: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """The runs that meet all conditions.

    Args:
        runs: as from `analysis.summarise`.
        conditions: each "column=value", such as "status=failed", "seed=0", "activation=relu",
            "replacement.layers=1,3" or "replacement.layers=[1,3]".

    Raises:
        UserError: for a condition that is none, a column that does not exist, or a value that no run has.
    """
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition} is refused: it must be KEY=VALUE.")
        column = _column(runs, key)
        chosen = runs[runs[column].map(lambda own, asked=value: _same(own, asked))]
        if chosen.empty:
            values = sorted({_shown(own) or "nothing" for own in runs[column]})
            there = ", ".join(values[:20] + ["…"] * (len(values) > 20))
            raise UserError(f"No run has {condition}. Values of {column} are: {there}.")
        runs = chosen
    return runs


def _column(runs: pd.DataFrame, key: str) -> str:
    """The column that a key names; a group, such as `activation`, stands for its name."""
    for column in (key, f"{key}.name"):
        if column in runs:
            return column
    columns = [str(column) for column in runs]
    close = get_close_matches(key, columns, n=1, cutoff=0.5)
    meant = f"{close[0]} (did you mean that?), or another of " if close else "one of "
    others = ", ".join(column for column in columns if column not in close)
    raise UserError(f"--where {key} is refused: it must be {meant}{others}.")


def _same(own: object, asked: str) -> bool:
    """Whether a run's value is the one asked for, however its number or list is spelt."""
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        try:
            return float(asked) == own
        except ValueError:
            return False
    return _shown(own).lower() in (asked.lower(), asked.strip("[]").replace(" ", "").lower() or "none")


def listing(runs: pd.DataFrame) -> Table:
    """Every run: identity, status, tasks done, score, step size and the config keys that vary.

    Args:
        runs: as from `analysis.summarise`.
    """
    keys = [key for key in config_columns(runs) if key != ALWAYS and runs[key].map(_shown).nunique() > 1]
    keys.insert(0, ALWAYS)
    rows = [_row(run, keys) for _, run in runs.sort_values([*keys[1:], "run"]).iterrows()]
    columns = ["run", "status", "tasks", "score", *keys, "reason"]
    if not runs["reason"].notna().any():
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    counts = ", ".join(
        f"{number} {status}" for status, number in Counter(sorted(runs["status"])).most_common()
    )
    return Table(
        columns, [Section("", rows)], [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}: {counts}."]
    )


def _row(run: pd.Series, keys: list[str]) -> list[Cell]:
    tasks = f"{run['tasks_done']:.0f}/{_shown(run.get('dataset.tasks'))}"
    score = "" if pd.isna(run["score"]) else f"{run['score']:.2%}"
    values = [run["run"], run["status"], tasks, score, *(_shown(run.get(key)) for key in keys)]
    reason = "" if pd.isna(run["reason"]) else str(run["reason"])
    return [Cell(value) for value in (*values, reason)]


def _shown(value: object) -> str:
    """A value as on the command line; whole numbers that a column holds as floats lose their point."""
    if value is None or value != value:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Reads the arguments, finds the runs, lists them."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.runs",
        description="Lists runs: how far they are, what they scored, and what differs between them.",
    )
    source_arguments(parser, "runs")
    parser.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with these, such as status=failed activation=relu replacement.layers=1",
    )
    parser.add_argument(
        "--format", choices=["table", "csv"], default="table", help="csv has every column, scores from 0 to 1"
    )
    arguments = parser.parse_args()
    paths = sources(arguments) or ["runs"]
    runs = summarise(*paths)
    if runs.empty:
        directories = ", ".join(paths)
        raise UserError(f"There are no runs in {directories} yet: python launch.py computes one.")
    runs = where(runs, arguments.where)
    write(runs.to_csv(index=False) if arguments.format == "csv" else text(listing(runs)), None)


if __name__ == "__main__":
    command(main)
