"""The runs of a table, and the cells that they belong to: one tidy frame, from which all else is computed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plasticity.errors import UserError

from ..experiments import Experiment
from ..load import config_columns
from ..selection import where, with_derived
from .declaration import Declaration
from .grid import Grid, having


@dataclass(frozen=True)
class Asked:
    """The runs that a table asks for.

    Attributes:
        runs: a row per run: the columns of `analysis.summarise`; `tasks`, how many it has; `setting`, a number
            shared by runs that differ only in their seeds; and the columns that keys of the table are derived from.
            A run that is not there is "absent", and has its config.
        experiment: the experiment that asks for them; None for all runs that there are.
        unreadable: the runs that cannot be read and so belong to no cell.
    """

    runs: pd.DataFrame
    experiment: Experiment | None
    unreadable: pd.DataFrame


def ask(declaration: Declaration, summaries: pd.DataFrame, config_dir: Path | None = None) -> Asked:
    """The runs that a table asks for.

    Those of its experiment; without one, all runs that there are, and for each setting the seeds that others have.

    Args:
        declaration: the table.
        summaries: as returned by `analysis.summarise`.
        config_dir: a further directory of configs.

    Raises:
        UserError: when there are none.
    """
    experiment = None
    unreadable = summaries[summaries["status"] == "unreadable"]
    if declaration.experiment:
        name, *overrides = declaration.experiment
        experiment = Experiment.of(name, overrides, summaries, config_dir)
        runs, unreadable = experiment.described(), unreadable[:0]
    else:
        known = summaries[summaries["status"] != "unreadable"].reset_index(drop=True)
        if known.empty:
            raise UserError("None of the runs can be read: python -m plasticity.analysis runs says why.")
        runs = known.assign(tasks=known["total_tasks"])
    # Conditions first: which seeds are missing depends on the runs that meet them.
    runs = where(with_derived(runs, declaration.keys, declaration.where), list(declaration.where))
    runs = runs.assign(setting=_settings(runs)).reset_index(drop=True)
    return Asked(runs if experiment else _with_absent_seeds(runs), experiment, unreadable)


def _settings(runs: pd.DataFrame) -> pd.Series:
    keys = [key for key in config_columns(runs) if key not in ("seed", "tasks", "method", "tuned")]
    return runs.groupby(keys, dropna=False, sort=False).ngroup()


def _with_absent_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs, and an absent one for each setting and seed that another setting has."""
    seeds = sorted(set(runs["seed"]))
    added = []
    for _, own in runs.groupby("setting", sort=False):
        first = own.iloc[0]
        for seed in seeds:
            if seed not in set(own["seed"]):
                command = re.sub(r"\bseed=\d+", f"seed={seed}", str(first["command"]))
                gone = {"run": f"absent {first['setting']} {seed}", "seed": seed, "status": "absent"}
                unknown = {"score": np.nan, "reason": None, "tasks_done": 0, "command": command}
                added.append(first.to_dict() | gone | unknown)
    return pd.concat([runs, pd.DataFrame(added)], ignore_index=True) if added else runs


def cells(runs: pd.DataFrame, grid: Grid, instead: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A row per cell and run that belongs there, ordered by row, column and seed.

    Columns: `row` and `column`, keys of the grid's lines; and those of `runs`.

    Args:
        runs: those of `Asked`.
        grid: the cells.
        instead: values that runs have to have in place of those of the cell: a baseline's.
    """
    own, runs = instead or {}, runs.sort_values("seed", kind="stable")
    known: dict[tuple[str, str], np.ndarray] = {}

    def chosen(values: Mapping[str, str]) -> np.ndarray:
        for pair in values.items():
            if pair not in known:
                known[pair] = having(runs, dict([pair])).to_numpy(bool)
        return np.flatnonzero(np.logical_and.reduce([known[pair] for pair in values.items()]))

    keys = [(row, column) for row in grid.rows.values() for column in grid.columns]
    places = [chosen({**row.values, **column.values, **own}) for row, column in keys]
    if not places:
        return runs[:0].assign(row="", column="")
    rows, columns = (
        [key for each, found in zip(keys, places, strict=True) for key in [each[side].key] * len(found)]
        for side in (0, 1)
    )
    # All at once: a frame has some hundred columns, and a table as many cells.
    return runs.take(np.concatenate(places)).reset_index(drop=True).assign(row=rows, column=columns)
