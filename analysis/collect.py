"""The command that collects run folders into two compact files: python -m analysis.collect --help."""

import argparse
from pathlib import Path

from analysis.command import command, source_arguments, sources
from analysis.load import config_columns, load_runs, summarise
from analysis.results import Results
from plasticity.errors import UserError

ENDED = ("finished", "failed")
"""States that are results. A run that can still be resumed has none yet."""

RUINED = ("unreadable", "incomplete")
"""States of runs that cannot be used, and are named."""

PRIVATE = ["provenance.host", "provenance.pid"]
"""Columns that are private, and no part of a result."""


def collect(directories: list[str], output: Path) -> str:
    """Puts the finished and failed runs of some directories beside those that are collected already.

    Of a run that is in several places, the finished one counts, then the one that was written to last.

    Args:
        directories: directories of run folders.
        output: where `runs.parquet` and `tasks.parquet` are.

    Returns:
        a sentence that says what is there now

    Raises:
        UserError: when there is nothing to collect, or the files cannot be read or written.
    """
    results = Results(output)
    sources = [str(output), *directories] if results.exists() else directories
    summaries = summarise(*sources)
    runs = summaries[summaries["status"].isin(ENDED)].drop(columns=PRIVATE, errors="ignore")
    runs = runs.dropna(axis="columns", how="all")
    if runs.empty:
        raise UserError(f"There are no finished runs in {', '.join(directories)}.")
    tasks = load_runs(*sources).drop(columns=["status", *config_columns(summaries)], errors="ignore")
    results.write(runs, tasks[tasks["run"].isin(runs["run"])].dropna(axis="columns", how="all"))
    failed = int((runs["status"] == "failed").sum())
    files = sorted(output.glob("*.parquet"))
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in files)
    sentence = f"{len(runs) - failed} finished and {failed} failed runs are in {output}: {sizes}."
    left = summaries[summaries["status"].isin(RUINED)]
    named = [
        f"  left out: {run} is {status}: {why}"
        for run, status, why in left[["run", "status", "reason"]].values
    ]
    return "\n".join([*named, sentence])


def main() -> None:
    """Reads the arguments and collects."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.collect",
        description="Adds finished and failed runs to the two Parquet files that hold compact results.",
    )
    source_arguments(parser, "runs")
    parser.add_argument(
        "--output", type=Path, default=Path("results"), metavar="DIR", help="default: results"
    )
    arguments = parser.parse_args()
    print(collect(sources(arguments) or ["runs"], arguments.output))


if __name__ == "__main__":
    command(main)
