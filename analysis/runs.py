"""The command that lists runs: python -m plasticity.analysis runs --help."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity.errors import UserError, one_line
from plasticity.objectives import score_text
from plasticity.run import Run

from .command import config_argument, parsed, source_arguments, sources, write
from .entry import command
from .experiments import Experiment
from .folders import config_values
from .load import config_columns, summarise
from .render import Cell, Section, Table, text
from .selection import column, mixture, shown, varies, where, with_derived
from .statistics import describe, possible

ALWAYS = "optimiser.step_size"
"""The config key that is shown even if it is the same for all."""

ROW = ("tasks_done", "total_tasks", "score", "percent", "reason")
"""Further columns of a run that its line mentions."""

DIGITS = 2
"""Digits after the decimal point of a score in percent."""

SCORE = ("score_name", "percent", "higher_is_better")
"""Columns that say what a score is: scores of different kinds are never averaged."""


def listing(runs: pd.DataFrame) -> Table:
    """Every run: identity, status, tasks done, score, step size and the config keys that tell of it.

    Args:
        runs: as returned by `analysis.summarise`.
    """
    keys = [ALWAYS, *_telling(runs)]
    known = [key for key in keys if key in runs]  # no config of these runs may be readable
    needed = runs[["run", "status", *ROW, *known]].sort_values([*keys[1:], "run"])
    rows = [_row(run, keys) for run in needed.to_dict("records")]
    columns = ["run", "status", "tasks", "score", *keys, "reason"]
    if not runs["reason"].notna().any():
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(columns, [Section("", rows)], [counted(runs)])


def _telling(runs: pd.DataFrame) -> list[str]:
    """The config keys that vary or, for a single run, that are not as by default; its tasks are shown anyway."""
    keys = [key for key in config_columns(runs) if key != ALWAYS]
    if len(runs) != 1:
        return [key for key in keys if varies(runs, key)]
    usual = config_values(Run().values()) | {"dataset.tasks": runs["total_tasks"].iloc[0]}
    return [key for key in keys if shown(runs[key].iloc[0]) != shown(usual.get(key))]


def counted(runs: pd.DataFrame) -> str:
    """A sentence on how many runs there are, and how many of each status."""
    counts = ", ".join(
        f"{number} {status}" for status, number in Counter(sorted(runs["status"])).most_common()
    )
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}: {counts}."


def _row(run: Mapping[Any, Any], keys: list[str]) -> list[Cell]:
    tasks = f"{run['tasks_done']:.0f}/{shown(run['total_tasks'])}"
    score = "" if pd.isna(run["score"]) else score_text(run["score"], run["percent"], DIGITS)
    values = [run["run"], run["status"], tasks, score, *(shown(run.get(key)) for key in keys)]
    reason = "" if pd.isna(run["reason"]) else one_line(str(run["reason"]))
    return [Cell(value) for value in (*values, reason)]


def averages(runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A row for each combination of values of some keys, in their order.

    Columns: the keys; `runs` and `unfinished`, numbers of finished and other runs; `mean`, `std`, `sem`, `low` and
    `high` of the scores of the finished ones, as returned by `analysis.statistics.describe`; and those of `SCORE`.

    Args:
        runs: as returned by `analysis.summarise`.
        keys: columns.
    """
    rows = []
    told_apart = [*keys, *SCORE]
    for values, group in runs.groupby(told_apart, dropna=False):
        scores = group["score"].dropna().to_numpy(float)
        numbers = {"runs": len(scores), "unfinished": len(group) - len(scores)}
        rows.append(dict(zip(told_apart, values, strict=True)) | numbers | describe(scores))
    return pd.DataFrame(rows)


def average_table(frame: pd.DataFrame, keys: Sequence[str]) -> Table:
    """The result of `averages`, for people."""
    rows = []
    for _, row in frame.iterrows():
        score = partial(score_text, percent=row["percent"], digits=DIGITS)
        low, high = possible(row["low"], row["high"], row["percent"])
        interval = f"[{score(low)}, {score(high)}]" if row["runs"] > 1 else "–"
        mean = score(row["mean"]) if row["runs"] else "–"
        values = [
            *(shown(row[key]) for key in keys),
            str(row["runs"]),
            mean,
            interval,
            str(row["unfinished"]),
        ]
        rows.append([Cell(value) for value in values])
    columns = [*keys, "runs", "mean", "95 % interval", "unfinished"]
    if not frame["unfinished"].any():
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table(columns, [Section("", rows)], ["Mean score of the finished runs, with Student's interval."])


def main() -> None:
    """Reads the arguments, finds the runs, lists them."""
    arguments = _arguments()
    paths = sources(arguments) or ["runs"]
    runs = summarise(*paths)
    notes: list[str] = []
    if arguments.experiment:
        name, *overrides = arguments.experiment
        experiment = Experiment.of(name, overrides, runs, arguments.config_dir)
        runs, notes = runs[runs["run"].isin(list(experiment.runs))], experiment.missing()
    if runs.empty:
        directories = ", ".join(paths)
        raise UserError("\n".join(notes) or f"There are no runs in {directories} yet: {_what_now(paths)}.")
    runs = where(with_derived(runs, arguments.by or [], arguments.where), arguments.where)
    keys = [column(runs, key, "--by") for key in arguments.by or []]
    if keys:
        notes += mixture(runs, keys, "Means are over runs")
    frame = averages(runs, keys) if keys else runs
    if arguments.format == "csv":
        write(frame.to_csv(index=False), None)
        print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
        return
    table = average_table(frame, keys) if keys else listing(frame)
    write(text(replace(table, notes=[*table.notes, *notes])), None)


def _what_now(paths: Sequence[str]) -> str:
    """What to do where there are no runs."""
    logs = [path for directory in paths for path in sorted(Path(directory).glob(".jobs/*/logs"))]
    if not logs:
        return "python launch.py computes one"
    return (
        "their jobs may still be queued (squeue --me); if none is, repeat the launch, which says why. Logs: "
        f"{logs[-1]}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis runs",
        description="Lists runs: their progress, their scores, and how they differ.",
    )
    source_arguments(parser, "runs")
    config_argument(parser)
    parser.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with these values, such as status=failed activation=relu replacement.layers=1",
    )
    parser.add_argument(
        "--by", nargs="+", metavar="KEY", help="means over the runs that share the values of these keys"
    )
    parser.add_argument(
        "--experiment",
        nargs="+",
        metavar=("NAME", "KEY=VALUE"),
        help="only the runs of an experiment, as given to launch.py, and which of them are missing",
    )
    parser.add_argument(
        "--format", choices=["table", "csv"], default="table", help="csv has every column, scores from 0 to 1"
    )
    return parsed(parser)


if __name__ == "__main__":
    command(main)
