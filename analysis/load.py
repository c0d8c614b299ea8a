"""The two frames from which every table and figure is made: a row per run and task, and a row per run."""

from collections.abc import Container
from pathlib import Path
from typing import Protocol

import pandas as pd

from plasticity.errors import UserError

from .folders import Folders
from .results import Results

RECORD = (
    *("run", "status", "tasks_done", "total_tasks", "score", "score_name", "higher_is_better", "percent"),
    *("reason", "attempt"),
    *("started", "updated", "finished", "seconds", "command"),
)
"""Columns of `summarise` that are neither config keys nor provenance."""


class _Source(Protocol):
    """Where runs are kept."""

    def summaries(self) -> pd.DataFrame: ...
    def rows(self, runs: list[str]) -> pd.DataFrame: ...


def summarise(*paths: str | Path) -> pd.DataFrame:
    """A row per run, ordered by identity.

    Columns:
        - `run`: the run's identity.
        - `status`: "finished", "failed", "running", "stopped" or "new", as the run itself says; "interrupted" if it
            was killed (it can be resumed); "incomplete" if it was finished, but its rows are not all there;
            "unreadable" if its folder cannot be read.
        - `tasks_done`: number of tasks whose rows are whole. A run that is resumed starts from its last
            checkpoint, which may be earlier.
        - `total_tasks`: number of tasks of the whole run.
        - `score`: mean over the last 15 % of the rows, computed from them: the online accuracy, from 0 to 1, or
            the error; NaN unless finished.
        - `score_name`: "accuracy" or "error": the column of `load_runs` that the score is the mean of.
        - `higher_is_better`: whether the higher of two scores is the better one.
        - `percent`: whether it is shown in percent.
        - `reason`: why it failed or cannot be used.
        - `attempt`: how many times it was started or resumed.
        - `started`, `updated`, `finished`: seconds since 1970.
        - `seconds`: time spent in training.
        - `command`: the command that computes exactly this run.
        - `model.width`, `replacement.layers`, `seed`, …: the config, by dotted key as on the command line.
            Lists are text: "1,3" for [1,3], "none" for [].
        - `provenance.version`, `provenance.commit`, …: what computed it.

    Args:
        paths: directories of run folders, or directories that hold collected results. A run found in several
            counts once: a finished copy wins over an unfinished one, then a later one over an earlier one.

    Raises:
        UserError: for a path that is not a directory, or results that cannot be read.
    """
    return _summaries(_sources(paths)).drop(columns="source")


def load_runs(*paths: str | Path, runs: Container[str] | None = None) -> pd.DataFrame:
    """A row per run and task, ordered by run and task.

    Columns:
        - `run`: the run's identity.
        - `task`: number of the task, from 0.
        - `accuracy`: mean online accuracy over the task's examples, from 0 to 1.
        - `loss`: mean loss over the task's examples, in nats for classification.
        - `weight_magnitude`: Σ|w| over the network, averaged over the task.
        - `weight_magnitude.layer_1`, …, `weight_magnitude.output`: the same by layer. NaN for layers that the
            network lacks.
        - `replaced.layer_1`, …: number of units replaced in the task, likewise.
        - `dead_units.layer_1`, `curvature_rank.output`, `curvature_rank`, …: what diagnostics measured, by layer
            and for the whole network. NaN in tasks in which they were not taken.
        - status, and the config keys: as in `summarise`.

    Collected results hold accuracy, error, loss and the total weight magnitude exactly, and all other measures to
    four digits; for runs collected by earlier versions, they lack the other measures.

    The rows of unfinished runs are included; a row that is being written, or was torn, is not.

    Args:
        paths: as in `summarise`.
        runs: identities of the runs to load; None for all.

    Raises:
        UserError: as in `summarise`, and for rows that cannot be read.
    """
    sources = _sources(paths)
    summaries = _summaries(sources)
    learnt = summaries[summaries["tasks_done"] > 0]
    if runs is not None:
        learnt = learnt[[run in runs for run in learnt["run"]]]
    frames = [
        source.rows(list(learnt.loc[learnt["source"] == number, "run"]))
        for number, source in enumerate(sources)
    ]
    tasks = pd.concat(frames)
    if tasks.empty:
        return pd.DataFrame(columns=["run", "task", "accuracy", "loss", "weight_magnitude", "status"])
    tasks = tasks.sort_values(["run", "task"], ignore_index=True)
    described = summaries.set_index("run")[["status", *config_columns(summaries)]]
    return pd.concat([tasks, described.loc[tasks["run"]].reset_index(drop=True)], axis=1)


def config_columns(summaries: pd.DataFrame) -> list[str]:
    """The columns of `summarise` that are config keys."""
    other = {*RECORD, "source"}
    names = [str(name) for name in summaries]
    return [name for name in names if name not in other and not name.startswith("provenance.")]


def _sources(paths: tuple[str | Path, ...]) -> list[_Source]:
    directories = [Path(path) for path in paths]
    for path in directories:
        if not path.is_dir():
            raise UserError(f"There are no runs in {path}: there is no such directory.")
    return [Results(path) if Results(path).exists() else Folders(path) for path in directories]


def _summaries(sources: list[_Source]) -> pd.DataFrame:
    """Each run once, with the index of the source that has it."""
    frames = [source.summaries().assign(source=number) for number, source in enumerate(sources)]
    runs = pd.concat([frame for frame in frames if len(frame)] or [pd.DataFrame(columns=["source"])])
    runs = runs.reindex(columns=[*RECORD, *(name for name in runs if name not in RECORD)])
    runs["score"] = runs["score"].astype(float)
    runs["score_name"] = runs["score_name"].astype(object).fillna("accuracy")
    for name in ("higher_is_better", "percent"):
        runs[name] = runs[name].astype("boolean").fillna(True).astype(bool)
    if "dataset.tasks" in runs:
        runs["total_tasks"] = runs["total_tasks"].fillna(runs["dataset.tasks"])
    finished = runs["status"] == "finished"
    order = runs.assign(is_finished=finished).sort_values(
        ["run", "is_finished", "updated"], na_position="first"
    )
    return order.drop(columns="is_finished").drop_duplicates("run", keep="last").reset_index(drop=True)
