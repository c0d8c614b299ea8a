"""From runs to the cells of Table 1: exactly the runs that belong to each cell, and what is missing."""

from collections.abc import Iterable, Sequence
from functools import cache

import pandas as pd

from plasticity.errors import UserError
from plasticity.run import LEFT_OUT

from ..tables.published import compare as compare_any
from ..tables.summary import summarised, with_best
from . import COLUMNS, COMPARISON, GRID, NAMES, NETWORKS, TABLE, run

DIGITS = 1
"""Digits of a percentage, as in the paper."""

DATASET = ["dataset.tasks", "dataset.examples_per_task"]

PAPER = (LEFT_OUT["dataset"]["tasks"], LEFT_OUT["dataset"]["examples_per_task"])
"""Tasks, and examples per task, of the paper's runs."""


def grid(
    runs: pd.DataFrame, seeds: int = 3, tasks: int | None = None, examples_per_task: int | None = None
) -> pd.DataFrame:
    """Table 1: a row per cell.

    Columns:
        - `section`: "width", "activation", "depth" or "depth_equal_parameters".
        - `network`: the row's name in that section, such as "Width 20".
        - `replacement`: "all", "layer_1", "layer_2", "layer_3" or "last".
        - `mean`: score over seeds, in percent; NaN without any.
        - `std`: population standard deviation (ddof = 0) over seeds, in percentage points.
        - `sem`, `low`, `high`: standard error and ends of Student's 95 % interval of the mean, likewise
            (`analysis.statistics.describe`).
        - `seeds`: number of seeds that have a score.
        - `missing`: number of seeds asked for that have no score; 0 where the network lacks the layer.
        - `best`: whether it is the best individual layer of its row, to the digit shown; all that tie are. No layer
            is best while one of the row's cells has no seed at all.

    Args:
        runs: as returned by `analysis.summarise`.
        seeds: number of seeds asked for: 0, 1, …, seeds − 1.
        tasks: number of tasks of the runs to show, if `runs` has several lengths.
        examples_per_task: number of examples in each of their tasks, likewise.

    Raises:
        UserError: when there are no such runs, or runs of different lengths and none was chosen.
    """
    return aggregate(cells(runs, COLUMNS, seeds, tasks, examples_per_task))


def cells(
    runs: pd.DataFrame,
    replacements: Iterable[str] = tuple(COLUMNS),
    seeds: int = 3,
    tasks: int | None = None,
    examples_per_task: int | None = None,
) -> pd.DataFrame:
    """A row per network, replacement set and seed asked for, with the run that belongs there.

    A run belongs to a cell if and only if its identity is that of the cell's config.

    Columns:
        network: its file in `conf/tuned/`.
        replacement: a key of `analysis.paper.CELLS`. Sets that name a layer which the network lacks are
            left out.
        seed, tasks, examples_per_task: as asked for.
        run: identity of the run that belongs there.
        status: its status; "absent" where there is no such run.
        score: from 0 to 1, NaN where there is none.
        and the other columns of `runs`.

    Args and Raises: as in `grid`; `replacements` are keys of `analysis.paper.CELLS`.
    """
    replacements = list(replacements)
    length = _length(runs, replacements, seeds, tasks, examples_per_task)
    found = runs.drop(columns="seed", errors="ignore")
    joined = _expected(replacements, range(seeds), *length).merge(found, on="run", how="left")
    joined["status"] = joined["status"].fillna("absent")
    return joined


def as_cells(found: pd.DataFrame) -> pd.DataFrame:
    """What `cells` found, as `analysis.tables.cells.cells` returns it for Table 1."""
    places = {paper: general for general, paper in NAMES.items()}
    return found.rename(columns=places).assign(setting=0)


def aggregate(found: pd.DataFrame) -> pd.DataFrame:
    """Aggregates what `cells` found into a grid; see `grid`."""
    table = summarised(as_cells(found), GRID, 100, TABLE.statistic)
    return (
        with_best(table, TABLE.best, TABLE.among, DIGITS, higher=True)
        .drop(columns="key")
        .rename(columns=NAMES)
    )


def compare(found: pd.DataFrame) -> pd.DataFrame:
    """What `cells` found, compared with the published table; see `analysis.tables.published.compare`."""
    return compare_any(as_cells(found), COMPARISON).rename(columns=NAMES)


def further_seeds(runs: pd.DataFrame, found: pd.DataFrame) -> list[int]:
    """Seeds beyond those asked for that have finished runs of these cells in `runs`."""
    asked, replacements = set(found["seed"]), list(dict.fromkeys(found["replacement"]))
    finished = runs[runs["status"] == "finished"]
    other = sorted({int(seed) for seed in finished["seed"].dropna()} - asked)
    length = found["tasks"].iloc[0], found["examples_per_task"].iloc[0]
    expected = _expected(replacements, other, *length)
    return sorted(set(expected.loc[expected["run"].isin(finished["run"]), "seed"]))


def _expected(
    replacements: Sequence[str], seeds: Iterable[int], tasks: int, examples_per_task: int
) -> pd.DataFrame:
    """The identity of the run that belongs to each cell and seed."""
    columns = ["network", "replacement", "seed", "tasks", "examples_per_task", "run"]
    length = int(tasks), int(examples_per_task)
    rows = [
        (network, replacement, seed, *length, identity)
        for network in NETWORKS
        for replacement in replacements
        for seed in seeds
        if (identity := _identity(network, replacement, seed, *length)) is not None
    ]
    return pd.DataFrame(rows, columns=columns)


@cache
def _identity(network: str, replacement: str, seed: int, tasks: int, examples_per_task: int) -> str | None:
    """The identity of the run that belongs to a cell; None where the network has no such layer."""
    asked = run(network, replacement, seed, tasks, examples_per_task)
    return None if asked is None else asked.identity


def other_lengths(runs: pd.DataFrame, found: pd.DataFrame) -> str:
    """The runs of these cells of another length, such as "4 with 400 tasks × 10,000 examples"; "" if none."""
    counts = _lengths(runs, list(dict.fromkeys(found["replacement"])), found["seed"].nunique())
    counts.pop((found["tasks"].iloc[0], found["examples_per_task"].iloc[0]), None)
    return _listed(counts)


def _lengths(runs: pd.DataFrame, replacements: Sequence[str], seeds: int) -> dict[tuple[int, int], int]:
    """The number of runs of the cells, by number of tasks and of examples per task."""
    present = runs.reindex(columns=DATASET).dropna().astype(int).drop_duplicates().itertuples(index=False)
    known = set(runs["run"])
    counts = {
        (length[0], length[1]): len(known & set(_expected(replacements, range(seeds), *length)["run"]))
        for length in sorted(present)
    }
    return {length: count for length, count in counts.items() if count}


def _listed(counts: dict[tuple[int, int], int]) -> str:
    return "; ".join(f"{number} with {t:,} tasks × {e:,} examples" for (t, e), number in counts.items())


def _length(
    runs: pd.DataFrame, replacements: Sequence[str], seeds: int, tasks: int | None, examples: int | None
) -> tuple[int, int]:
    """Tasks and examples per task of the runs to show: those chosen, or the only ones, or those of the paper."""
    lengths = _lengths(runs, replacements, seeds)
    if not lengths:
        raise UserError(
            f"None of the {len(runs)} runs belongs to Table 1 (seeds 0 to {seeds - 1}): launch them with "
            "python launch.py experiment=table_1."
        )
    chosen = [length for length in lengths if tasks in (None, length[0]) and examples in (None, length[1])]
    if PAPER in chosen:
        return PAPER
    if len(chosen) == 1:
        return chosen[0]
    wrong = "of different lengths, which one table cannot mix" if chosen else "not of the requested length"
    listed = _listed(lengths)
    raise UserError(f"The runs are {wrong}. There are {listed}. Choose with --tasks and --examples-per-task.")
