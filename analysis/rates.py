"""The command that prints how often units were replaced: python -m plasticity.analysis rates --help."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plasticity.errors import Damaged, UserError
from plasticity.replacement import Replacement
from plasticity.run import Run
from plasticity.store import RunFolder

from .command import config_argument, parsed, source_arguments, sources
from .entry import command
from .load import load_runs, summarise
from .selection import mixed, where, with_derived


def rates(run: Run, rows: pd.DataFrame) -> np.ndarray:
    """Units replaced per unit and step in each hidden layer of a run: float64, [depth].

    Args:
        run: the run.
        rows: its rows, as returned by `analysis.load_runs`; those of some tasks are enough.
    """
    counts = [rows[f"replaced.layer_{layer}"].mean() for layer in range(1, len(run.hidden_units) + 1)]
    steps = run.dataset.tasks_per_record * run.dataset.steps_per_task
    return np.array(counts) / (np.array(run.hidden_units) * steps)


def mean_rates(paths: Sequence[str], identities: Sequence[str]) -> np.ndarray:
    """The mean of the rates of some runs: float64, [depth].

    Args:
        paths: directories of run folders.
        identities: of the runs.

    Raises:
        UserError: for runs whose hidden layers differ, or whose method moves units in part.
    """
    runs = {identity: _run(paths, identity) for identity in identities}
    shapes = {tuple(run.hidden_units) for run in runs.values()}
    if len(shapes) > 1:
        listed = ", ".join(str(list(shape)) for shape in sorted(shapes))
        raise UserError(f"The hidden layers of these runs differ ({listed}): choose runs of one network.")
    for identity, run in runs.items():
        if type(run.replacement).shares is not Replacement.shares:
            raise UserError(f"{identity} has no rates: {run.replacement.name} moves units in part.")
    rows = load_runs(*paths, runs=identities)
    return np.mean([rates(run, rows[rows["run"] == identity]) for identity, run in runs.items()], axis=0)


def _run(paths: Sequence[str], identity: str) -> Run:
    """A run, as its folder describes it."""
    for path in paths:
        if (Path(path) / identity).is_dir():
            try:
                return RunFolder(Path(path) / identity).run()
            except Damaged as error:
                raise UserError(f"{path}/{identity}: {error}. --where chooses other runs.") from error
    raise UserError(f"{identity} is refused: its folder is needed, but is not in {', '.join(paths)}.")


def main() -> None:
    """Reads the arguments, finds the runs, prints their rates as an argument."""
    arguments = _arguments()
    given = [Path(name) for name in arguments.chosen]
    beside = [str(path.parent) for path in given if len(path.parts) > 1]
    paths = list(dict.fromkeys(beside)) or sources(arguments) or ["runs"]
    runs = summarise(*paths)
    if unknown := [path.name for path in given if path.name not in set(runs["run"])]:
        raise UserError(f"{unknown[0]} is refused: there is no such run in {', '.join(paths)}.")
    runs = runs[runs["run"].isin([path.name for path in given])] if given else runs
    conditions = [*arguments.where, *([f"method={arguments.method}"] if arguments.method else [])]
    runs = where(with_derived(runs, ["method"], conditions), conditions)
    runs = runs[runs["status"] == "finished"]
    if runs.empty:
        raise UserError(f"There are no finished runs in {', '.join(paths)}.")
    found = mean_rates(paths, list(runs["run"]))
    print(f"replacement.rates=[{','.join(f'{rate:.6g}' for rate in found)}]")
    number = "1 run" if len(runs) == 1 else f"the mean of {len(runs)} runs"
    methods = ", ".join(sorted(set(runs["method"])))
    print(f"Units replaced per unit and step, by hidden layer: {number} of {methods}.", file=sys.stderr)
    if others := mixed(runs.drop(columns="method"), []):
        print(f"They differ in {', '.join(others)}: choose with --where.", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis rates",
        description="Prints the rate at which runs replaced units in each hidden layer, as the argument that makes "
        "the control, method=random, replace as many.",
    )
    parser.add_argument(
        "chosen", nargs="*", metavar="RUN", help="identities or folders of runs (default: all finished ones)"
    )
    source_arguments(parser, "runs")
    config_argument(parser)
    parser.add_argument("--method", metavar="NAME", help="only runs of this method")
    parser.add_argument(
        "--where", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="only runs with these values, such as optimiser.step_size=0.005",
    )  # fmt: skip
    return parsed(parser)


if __name__ == "__main__":
    command(main)
