"""Measuring finished runs: from their snapshots, or by computing them again."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plasticity.diagnostics import Diagnostic, Measurement, differing, lacking
from plasticity.engines import Engine, get
from plasticity.errors import UserError
from plasticity.networks.network import Network, initial_network
from plasticity.run import Run
from plasticity.store import Row, RunFolder, RunState
from plasticity.store.rows import number
from plasticity.store.snapshot import due

AGAIN = ".again"
"""The folder in a directory of runs in which finished runs are computed again; their results stay until then."""


def beside(folder: RunFolder) -> RunFolder:
    """The folder in which a finished run is computed again."""
    return RunFolder(folder.path.parent / AGAIN / folder.identity)


def from_snapshot(
    path: Path,
    task: int,
    diagnostics: Sequence[Diagnostic],
    data_root: str | None,
    force: bool = False,
) -> dict[int, Row]:
    """What diagnostics measure on one network of a run.

    Args:
        path: the folder of the run.
        task: the task before which the network is taken; 0 for the run's start, which needs no snapshot.
        diagnostics: what to measure, if it is due.
        data_root: where data sets are kept; None for the usual place.
        force: whether to take all of them, even those that are not due.

    Returns:
        columns by task: those measured before this task, and those measured after the task before it

    Raises:
        Damaged: when the snapshot cannot be read.
    """
    folder = RunFolder(path)
    run = folder.run()
    engine, network = _network(folder, run, task)
    learner, stream = engine.learner(run, network), run.dataset.open(run.seed, data_root)

    def measurement(number: int) -> Measurement:
        return Measurement(diagnostics, run, learner, stream.task(number), force)

    found: dict[int, Row] = {}
    if task < run.dataset.tasks:
        found[task] = measurement(task).before()
    if task > 0:
        found[task - 1] = measurement(task - 1).after()
    return found


def _network(folder: RunFolder, run: Run, task: int) -> tuple[Engine, Network]:
    """A network, and the engine to measure it with: the one that computed it, if it is available."""
    if task == 0:
        name, network = str(folder.stored_state().provenance.get("engine")), initial_network(run)
    else:
        snapshot = folder.snapshot(task)
        name, network = snapshot.engine, snapshot.network
    engine = get(name)
    return (engine if engine.unsupported(run) is None else get("reference")), network


def needed(run: Run, diagnostic: Diagnostic) -> set[int]:
    """The tasks before which networks must have been kept for a diagnostic to take all its measurements."""
    due = [task for task in range(run.dataset.tasks) if diagnostic.due(task)]
    kind = type(diagnostic)
    before = due if kind.__call__ is not Diagnostic.__call__ else []
    after = [task + 1 for task in due] if kind.after is not Diagnostic.after else []
    return {*before, *after}


def served(folder: RunFolder, run: Run, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics all of whose measurements can be taken from snapshots."""
    kept = {0, *folder.snapshots()}
    return [one for one in diagnostics if not one.is_of_steps() and needed(run, one) <= kept]


def lacking_snapshots(folder: RunFolder, run: Run, every: int) -> list[int]:
    """The tasks before which a finished run's network was to be kept, but was not or is ruined.

    Args:
        folder: the run's folder.
        run: the run.
        every: number of tasks from one snapshot to the next; 0 for that after the last task alone.
    """
    return [task for task in due(run, every) if not folder.has_snapshot(task)]


def merged(found: Iterable[Mapping[int, Row]]) -> dict[int, Row]:
    """Columns by task from several networks; if two of them have the same column, the later one counts."""
    columns: dict[int, Row] = {}
    for one in found:
        for task, values in one.items():
            columns[task] = columns.get(task, {}) | values
    return columns


def add(
    folder: RunFolder,
    run: Run,
    state: RunState,
    columns: Mapping[int, Row],
    taken: Sequence[Diagnostic],
    data_root: str | None,
) -> None:
    """Adds measures to the rows of a finished run; only for the holder of its claim.

    Args:
        folder: the run's folder.
        run: the run.
        state: the run's state.
        columns: the measures by task.
        taken: the diagnostics that are now in all rows for which they are due; what they measured with other
            settings is replaced.
        data_root: where data sets are kept; None for the usual place.
    """
    size = run.dataset.tasks_per_record
    by_row = merged({task // size * size: values} for task, values in sorted(columns.items()))
    changed = differing(state.measured, taken)
    if changed and not _shared(folder.rows(), by_row.values()):
        changed = []  # they are taken for the first time
    folder.extend_rows(by_row, columns_of(run, changed, data_root))
    for one in lacking(state.measured, taken):
        state.measured[one.name] = one.values()
    state.updated = time.time()
    folder.write_state(state)


def _shared(rows: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of columns that some rows have in common with others."""
    return {name for row in rows for name in row} & {name for row in others for name in row}


def columns_of(run: Run, diagnostics: Sequence[Diagnostic], data_root: str | None) -> set[str]:
    """The names of the columns of some diagnostics, which they are asked for on the run's initial network."""
    if not diagnostics:
        return set()
    learner = get("reference").learner(run, initial_network(run))
    task = run.dataset.open(run.seed, data_root).task(0)
    measurement = Measurement(diagnostics, run, learner, task, force=True)
    return {*measurement.before(), *measurement.after()}


def add_from_snapshots(
    folder: RunFolder, run: Run, state: RunState, diagnostics: Sequence[Diagnostic], data_root: str | None
) -> list[Diagnostic]:
    """Measures what it can from a finished run's snapshots; returns the diagnostics that are still lacking."""
    there = served(folder, run, lacking(state.measured, diagnostics))
    if there:
        asked = [(one, needed(run, one)) for one in there]
        found = (
            from_snapshot(folder.path, task, [one for one, tasks in asked if task in tasks], data_root)
            for task in sorted(set().union(*(tasks for _, tasks in asked)))
        )
        add(folder, run, state, merged(found), there, data_root)
    return lacking(state.measured, diagnostics)


def take_over(
    run: Run,
    folder: RunFolder,
    again: RunFolder,
    state: RunState,
    taken: Sequence[Diagnostic],
    data_root: str | None,
) -> None:
    """Adds to a finished run what was measured when it was computed again, and the snapshots that it lacks.

    Args:
        run: the run.
        folder: the run's folder.
        again: the folder in which it was computed again.
        state: the run's state.
        taken: what was measured; what was measured before with other settings is replaced.
        data_root: where data sets are kept; None for the usual place.

    Raises:
        UserError: if computing it again gave other numbers, which are dropped.
    """
    kept = (run.dataset.objective.score_name, "loss")
    old, new = folder.rows(), again.rows()
    if [[row[name] for name in kept] for row in old] != [[row[name] for name in kept] for row in new]:
        shutil.rmtree(again.path, ignore_errors=True)
        raise UserError(
            "computed again, it gives different numbers, owing to other code or another machine; its result was "
            "left as it is, and force=true starts it over"
        )
    size = run.dataset.tasks_per_record
    columns: dict[int, Row] = {
        position * size: {name: number(value) for name, value in row.items()}
        for position, row in enumerate(new)
    }
    fresh = again.state(run)
    for task in again.snapshots():
        if not folder.has_snapshot(task):
            folder.write_snapshot(again.snapshot(task))
    folder.extend_rows(columns, columns_of(run, differing(state.measured, taken), data_root))
    state.measured |= fresh.measured
    state.updated = time.time()
    folder.write_state(state)
    shutil.rmtree(again.path, ignore_errors=True)
