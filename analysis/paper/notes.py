"""The notes below a table: where its numbers come from, and every run that it lacks."""

import shlex

import pandas as pd

from plasticity.run import LEFT_OUT
from plasticity.training.score import window_text

from ..tables.notes import lacking as lines
from ..tables.notes import versions
from . import CELLS, COLUMNS, NETWORKS, names
from .grid import as_cells, further_seeds, other_lengths


def notes(runs: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """Sentences about missing runs, differing versions, and seeds and lengths that are not shown.

    Args:
        runs: as returned by `analysis.summarise`.
        found: as returned by `analysis.paper.grid.cells`.
    """
    others = other_lengths(runs, found)
    left_out = [f"There are runs of other lengths, which --tasks shows: {others}."] if others else []
    return [*missing(found), *versions(found), *_further(runs, found), *left_out]


def measured(found: pd.DataFrame) -> str:
    """What a score is the mean of: "the last 165 of 1,100 tasks of 10,000 examples"."""
    tasks, examples = int(found["tasks"].iloc[0]), int(found["examples_per_task"].iloc[0])
    return f"{window_text(tasks)} of {examples:,} examples"


def missing(found: pd.DataFrame) -> list[str]:
    """Every run without a score, and why, a line per network, problem and set of seeds; and what computes them."""
    lacking = found[found["score"].isna()]
    if lacking.empty:
        return []
    experiment = "table_1" if set(found["replacement"]) <= set(COLUMNS) else "paper"
    number = lacking["run"].nunique()
    return [
        f"Missing: {number} of {found['run'].nunique()} runs of experiment={experiment}.",
        *lines(as_cells(found), names, lambda key: COLUMNS.get(key, key.replace("_", " ")).lower()),
        f"To compute what is missing: {_command(experiment, lacking)}",
    ]


def _command(experiment: str, lacking: pd.DataFrame) -> str:
    """The launch of an experiment, confined to the networks, methods and seeds of which runs are missing."""
    networks = [network for network in NETWORKS if network in set(lacking["network"])]
    methods = list(dict.fromkeys(CELLS[replacement][1] for replacement in lacking["replacement"]))
    seeds = sorted(set(lacking["seed"]))
    tasks, examples = int(lacking["tasks"].iloc[0]), int(lacking["examples_per_task"].iloc[0])
    overrides = {
        f"tuned={','.join(networks)}": len(networks) < len(NETWORKS),
        f"hydra.sweeper.only=[{','.join(methods)}]": experiment == "paper",
        f"seed={','.join(map(str, seeds))}": seeds != [0, 1, 2],
        f"dataset.tasks={tasks}": tasks != LEFT_OUT["dataset"]["tasks"],
        f"dataset.examples_per_task={examples}": examples != LEFT_OUT["dataset"]["examples_per_task"],
    }
    needed = [override for override, differs in overrides.items() if differs]
    return shlex.join(["python", "launch.py", f"experiment={experiment}", *needed])


def _further(runs: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    seeds = further_seeds(runs, found)
    if not seeds:
        return []
    return [f"There are finished runs of further seeds, which --seeds {seeds[-1] + 1} shows."]
