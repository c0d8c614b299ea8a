"""The command that collects run folders into compact files: python -m plasticity.analysis collect --help."""

import argparse
from pathlib import Path

import pandas as pd

from plasticity.errors import UserError

from .command import output_argument, parsed, source_arguments, sources
from .entry import command
from .load import config_columns, load_runs, summarise
from .pieces import EXACT, KEYS
from .results import Results

ENDED = ("finished", "failed")
"""States of runs that are results. A run that can still be resumed is not one yet."""

RUINED = ("unreadable", "incomplete")
"""States of runs that cannot be used; the command names these runs."""

PRIVATE = ["provenance.host", "provenance.pid"]
"""Columns that are private, and not part of a result."""


def collect(directories: list[str], output: Path) -> str:
    """Adds the finished and failed runs of some directories to those that are already collected.

    Of a run found in several places, the finished copy counts, then the one written to last. But a finished run
    that is already collected stays as it is if computing it again gave the same scores and losses: it only gains
    the measures that it lacks.

    Args:
        directories: directories of run folders.
        output: where the collected results are, as `analysis.results.Results` has them.

    Returns:
        a sentence that says what is there now

    Raises:
        UserError: when there is nothing to collect, or the files cannot be read or written.
    """
    results = Results(output)
    if not output.exists():
        _ended(summarise(*directories), directories)  # before anything is created
    with results.change() as write:
        sources = [str(output), *directories] if results.exists() else directories
        summaries = summarise(*sources)
        runs = _ended(summaries, directories)
        tasks = load_runs(*sources).drop(columns=["status", *config_columns(summaries)], errors="ignore")
        tasks = tasks[tasks["run"].isin(runs["run"])].dropna(axis="columns", how="all")
        if results.exists():
            runs, tasks = _completed(results, runs, tasks)
        written = write(runs, tasks)
    failed = int((runs["status"] == "failed").sum())
    pieces = results.pieces()
    size = sum(path.stat().st_size for piece in pieces for path in (piece.runs, piece.tasks)) / 1e6
    sentence = (
        f"{len(runs) - failed} finished and {failed} failed runs are in {output}: {size:.2f} MB in "
        f"{len(pieces)} {'piece' if len(pieces) == 1 else 'pieces'}, of which {written} changed."
    )
    left = summaries[summaries["status"].isin(RUINED)]
    named = [
        f"  left out: {run} is {status}: {why}"
        for run, status, why in left[["run", "status", "reason"]].values
    ]
    return "\n".join([*named, sentence])


def _ended(summaries: pd.DataFrame, directories: list[str]) -> pd.DataFrame:
    """The runs that count as results, with the columns that do. Raises UserError when there are none."""
    runs = summaries[summaries["status"].isin(ENDED)].drop(columns=PRIVATE, errors="ignore")
    if runs.empty:
        raise UserError(f"There are no finished runs in {', '.join(directories)}.")
    return runs.dropna(axis="columns", how="all")


def _completed(
    results: Results, runs: pd.DataFrame, tasks: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames, with what is already collected in place of what was computed again to the same numbers."""
    before = results.summaries().set_index("run")
    now = runs.set_index("run")
    finished = before.index[before["status"] == "finished"].intersection(now.index)
    again = finished[(before.loc[finished, "updated"] != now.loc[finished, "updated"]).to_numpy()]
    keys = list(KEYS)
    old = results.rows(again).set_index(keys)
    new = tasks[tasks["run"].isin(again)].set_index(keys)
    # Not the weight magnitude: different versions sum it in different orders.
    judged = [name for name in EXACT if name != "weight_magnitude" and name in old and name in new]
    same = [
        run
        for run in again
        if old.loc[run, judged].equals(new.loc[run, judged])  # including the number of rows and their tasks
    ]
    if not same:
        return runs, tasks
    filled = old[old.index.isin(same, level="run")].combine_first(new).loc[same].reset_index()
    tasks = pd.concat([tasks[~tasks["run"].isin(same)], filled], ignore_index=True)
    kept = before.loc[same].reset_index().reindex(columns=list(runs))
    runs = pd.concat([runs[~runs["run"].isin(same)], kept.astype(runs.dtypes.to_dict(), errors="ignore")])
    return runs.sort_values("run", ignore_index=True), tasks.sort_values(keys, ignore_index=True)


def main() -> None:
    """Reads the arguments and collects."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis collect",
        description="Adds finished and failed runs to the Parquet files that hold compact results, a pair for each "
        "network and stream of tasks.",
    )
    source_arguments(parser, "runs")
    output_argument(parser, "results", "DIR", "the collected results")
    arguments = parsed(parser)
    print(collect(sources(arguments) or ["runs"], arguments.output))


if __name__ == "__main__":
    command(main)
