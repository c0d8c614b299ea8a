"""Measuring finished runs: from their snapshots, or by computing them again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from plasticity.diagnostics import Diagnostic, Measurement, lacking
from plasticity.engines import Engine, get
from plasticity.network import Network, initial_network
from plasticity.run import Run
from plasticity.store import Row, RunFolder, RunState

AGAIN = ".again"
"""Where in a directory of runs those are computed again whose result stays until then."""


def beside(folder: RunFolder) -> RunFolder:
    """The folder in which a finished run is computed again."""
    return RunFolder(folder.path.parent / AGAIN / folder.identity)


def from_snapshot(
    path: Path,
    task: int,
    diagnostics: Sequence[Diagnostic],
    data_root: str | None,
    due_or_not: bool = False,
) -> dict[int, Row]:
    """What diagnostics measure of one network of a run.

    Args:
        path: the folder of the run.
        task: the task that the network stands before; 0 for the run's start, which needs no snapshot.
        diagnostics: of which those are taken that are due.
        data_root: where data sets are kept; None for the usual place.
        due_or_not: whether all of them are taken.

    Returns:
        columns by task: those from before the task, and those from after the task before it

    Raises:
        Damaged: when the snapshot cannot be read.
    """
    folder = RunFolder(path)
    run = Run.stored(folder.config())
    engine, network = _network(folder, run, task)
    learner, stream = engine.learner(run, network), run.dataset.open(run.seed, data_root)

    def measurement(number: int) -> Measurement:
        return Measurement(diagnostics, run, learner, stream.task(number), due_or_not)

    found: dict[int, Row] = {}
    if task < run.dataset.tasks:
        found[task] = measurement(task).before()
    if task > 0:
        found[task - 1] = measurement(task - 1).after()
    return found


def _network(folder: RunFolder, run: Run, task: int) -> tuple[Engine, Network]:
    """A network and the engine to look at it with: that which computed it, where it can be had."""
    if task == 0:
        name, network = str(folder.stored_state().provenance.get("engine")), initial_network(run)
    else:
        snapshot = folder.snapshot(task)
        name, network = snapshot.engine, snapshot.network
    engine = get(name)
    return (engine if engine.unsupported(run) is None else get("reference")), network


def needed(run: Run, diagnostic: Diagnostic) -> set[int]:
    """The tasks that networks stand before that a diagnostic takes all its measurements of."""
    due = [task for task in range(run.dataset.tasks) if diagnostic.due(task)]
    kind = type(diagnostic)
    before = due if kind.__call__ is not Diagnostic.__call__ else []
    after = [task + 1 for task in due] if kind.after is not Diagnostic.after else []
    return {*before, *after}


def served(folder: RunFolder, run: Run, diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Those diagnostics for all of whose measurements there are snapshots."""
    kept = {0, *folder.snapshots()}
    return [one for one in diagnostics if needed(run, one) <= kept]


def add(
    folder: RunFolder, run: Run, state: RunState, columns: Mapping[int, Row], taken: Sequence[Diagnostic]
) -> None:
    """Adds measures to the rows of a finished run, for the holder of its claim.

    Args:
        folder: of the run.
        run: the run.
        state: of the run.
        columns: the measures by task.
        taken: the diagnostics that are now in all rows that they are due for.
    """
    size = run.dataset.tasks_per_record
    by_row: dict[int, Row] = {}
    for task, values in sorted(columns.items()):
        row = task // size * size
        by_row[row] = by_row.get(row, {}) | values
    folder.extend_rows(by_row)
    for one in lacking(state.measured, taken):
        state.measured[one.name] = one.values()
    folder.write_state(state)


def add_from_snapshots(
    folder: RunFolder, run: Run, state: RunState, diagnostics: Sequence[Diagnostic], data_root: str | None
) -> list[Diagnostic]:
    """Takes from a finished run's snapshots what they serve for; returns the diagnostics that are still lacking."""
    there = served(folder, run, lacking(state.measured, diagnostics))
    if there:
        columns: dict[int, Row] = {}
        for task in sorted({task for one in there for task in needed(run, one)}):
            due = [one for one in there if task in needed(run, one)]
            for number, values in from_snapshot(folder.path, task, due, data_root).items():
                columns[number] = columns.get(number, {}) | values
        add(folder, run, state, columns, there)
    return lacking(state.measured, diagnostics)
