"""Run folders as training leaves them, without the training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from analysis.paper import run
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.training.score import score


def fabricate(
    runs_dir: Path,
    config: Run | Mapping[str, Any] | None = None,
    accuracies: Sequence[float] = (0.5,),
    status: str = "finished",
    reason: str | None = None,
    commit: str = "c0ffee",
    updated: float = 1.0,
    extra: Sequence[Mapping[str, float]] = (),
) -> RunFolder:
    """A run with a row for each of some task accuracies, and with further columns in those rows.

    If `config` is a mapping, the run has as many tasks as there are accuracies. Nobody waits for the disk.
    """
    with patch("os.fsync", lambda descriptor: None):
        return _fabricate(runs_dir, config, accuracies, status, reason, commit, updated, extra)


def _fabricate(
    runs_dir: Path,
    config: Run | Mapping[str, Any] | None,
    accuracies: Sequence[float],
    status: str,
    reason: str | None,
    commit: str,
    updated: float,
    extra: Sequence[Mapping[str, float]],
) -> RunFolder:
    if not isinstance(config, Run):
        config = Run.of({"dataset": {"tasks": len(accuracies)}} | dict(config or {}))
    folder = RunFolder.of(runs_dir, config)
    folder.create(config)
    (folder.path / "tasks.csv").unlink(missing_ok=True)
    rows = folder.open_rows()
    every, objective = config.dataset.tasks_per_record, config.dataset.objective
    score_name = objective.score_name
    for task, accuracy in enumerate(accuracies):
        measured = extra[task] if extra else {}
        rows.append(_row(task * every, score_name, accuracy, len(config.model.hidden_units)) | measured)
    rows.close()
    finished = status == "finished"
    folder.write_state(
        RunState(
            status=status,
            tasks_done=len(accuracies) * every,
            tasks=config.dataset.tasks,
            tasks_per_record=every,
            score_name=score_name,
            higher_is_better=objective.higher_is_better,
            percent=objective.percent,
            score=score(accuracies) if finished else None,
            reason=reason,
            attempt=1,
            started=updated - 1,
            updated=updated,
            finished=updated if finished else None,
            seconds=60.0,
            provenance={"engine": "native", "version": "0.1.0", "commit": commit, "host": "node"},
        )
    )
    return folder


def put(
    runs_dir: Path, network: str, replacement: str, scores: Sequence[float], tasks: int = 1, **options: Any
) -> None:
    """A run of a cell of Table 1 for each of some scores, with seeds from 0."""
    for seed, one in enumerate(scores):
        fabricate(runs_dir, run(network, replacement, seed, tasks, 10_000), [one] * tasks, **options)


def cell(table: pd.DataFrame, section: str, network: str, replacement: str) -> pd.Series:
    """A cell of the grid, or of its comparison with the published table."""
    row = table[(table["section"] == section) & (table["network"] == network)]
    return row[row["replacement"] == replacement].iloc[0]


def _row(task: int, score_name: str, score: float, depth: int) -> dict[str, float | int]:
    layers = [f"layer_{layer}" for layer in range(1, depth + 1)]
    return (
        {"task": task, score_name: score, "loss": 0.1 + task / 3, "weight_magnitude": 100.0 * (depth + 1)}
        | {f"weight_magnitude.{layer}": 100.0 for layer in [*layers, "output"]}
        | {f"replaced.{layer}": 7 for layer in layers}
    )
