"""Runs from Python: train one with progress, inspect it after any task, load a stored one."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plasticity.diagnostics import Diagnostic
from plasticity.engines import Choice, choose, get
from plasticity.errors import Damaged, Diverged, UserError
from plasticity.launch.display import Bar
from plasticity.launch.trial import check as check_own_parts
from plasticity.machine.folders import expanded
from plasticity.machine.interrupt import stopping
from plasticity.networks.network import Network, initial_network
from plasticity.run import Run
from plasticity.store import Row, RunFolder, RunState, stored_run
from plasticity.training.observer import Observer, Silent
from plasticity.training.provenance import provenance
from plasticity.training.record import learn_record
from plasticity.training.score import score
from plasticity.training.session import Session
from plasticity.training.train import train as train_in

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Learnt:
    """A run after one more record of its tasks.

    Attributes:
        row: its row of the results: task, accuracy or error, loss, weight magnitudes, units replaced, and
            what diagnostics measured.
        network: a copy of the network.
    """

    row: Row
    network: Network


@dataclass(frozen=True)
class Result:
    """A run as far as it was computed.

    Attributes:
        run: the run.
        state: its status, and what computed it.
        rows: a row per task, columns as in `tasks.csv`.
        network: the network at the end of the run; None for an unfinished run, or if it was not kept.
    """

    run: Run
    state: RunState
    rows: "pd.DataFrame"
    network: Network | None = None

    @property
    def score(self) -> float | None:
        """Mean score over the last 15 % of the tasks; None for an unfinished run."""
        return self.state.score

    def __repr__(self) -> str:
        tasks, objective = self.run.dataset.tasks, self.run.dataset.objective
        parts = [self.run.identity, self.state.status, f"{self.state.tasks_done}/{tasks} tasks"]
        if self.score is not None:
            parts.append(f"{objective.score_name} {objective.shown(self.score, 2)}")
        return f"Result({', '.join(parts)})"


def learn(
    run: Run, engine: str = "auto", diagnostics: Sequence[Diagnostic] = (), data_root: str | None = None
) -> Iterator[Learnt]:
    """Computes a run in this process, and yields it after each record of its tasks; nothing is stored.

    Args:
        run: the run.
        engine: "auto", "native", "compiled" or "reference".
        diagnostics: what is measured between tasks.
        data_root: where data sets are kept; None for the usual place.

    Raises:
        UserError: if the engine cannot compute the run.
        Diverged: when the loss is no longer finite.
    """
    check_own_parts(run, data_root)
    yield from _learn(run, choose(engine, run), diagnostics, data_root, Silent())


def _learn(
    run: Run, choice: Choice, diagnostics: Sequence[Diagnostic], data_root: str | None, observer: Observer
) -> Iterator[Learnt]:
    learner = get(choice.engine).learner(run, initial_network(run))
    stream = run.dataset.open(run.seed, data_root)

    def advance(steps: int) -> None:
        observer.advanced(run.identity, steps)

    observer.began(run.identity, 0, 0)
    for record in range(run.dataset.records):
        row = learn_record(run, stream, learner, record, diagnostics, advance)
        score = float(row[run.dataset.objective.score_name])
        observer.learnt(run.identity, (record + 1) * run.dataset.tasks_per_record, score)
        yield Learnt(row, learner.network())


def train(
    run: Run,
    runs_dir: str | Path | None = None,
    engine: str = "auto",
    diagnostics: Sequence[Diagnostic] = (),
    progress: bool = True,
    data_root: str | None = None,
    snapshot_every: int = 0,
) -> Result:
    """Computes a run in this process, with a progress bar.

    Args:
        run: the run.
        runs_dir: the directory of runs to store it in, where the command finds it, too; a run that is finished
            there is loaded, and one that was interrupted is resumed. None to store nothing. Ctrl-C first writes a
            checkpoint; pressed again, it does not wait for that.
        engine: "auto", "native", "compiled" or "reference".
        diagnostics: what is measured between tasks.
        progress: show the bar.
        data_root: where data sets are kept; None for the usual place.
        snapshot_every: number of tasks from one snapshot of a stored run's network to the next; 0 for that after
            the last task alone.

    Raises:
        UserError: when the run fails, with its reason.
    """
    check_own_parts(run, data_root)
    with ExitStack() as stack:
        observer = stack.enter_context(Bar(run, shown=progress))
        if runs_dir is None:
            return _train_unstored(run, engine, diagnostics, data_root, observer)
        folder = RunFolder.of(expanded(runs_dir), run)
        session = Session(
            observer,
            engine=engine,
            diagnostics=diagnostics,
            data_root=data_root,
            snapshot_every=snapshot_every,
            stop=stack.enter_context(stopping()),
        )
        state = train_in(run, folder, session)
    if session.stop.is_set() and state.status == "stopped":
        raise KeyboardInterrupt
    if state.is_held:
        by = folder.holder()
        raise UserError(f"{folder.path} is being computed by another process{f' ({by})' if by else ''}.")
    if not state.is_finished:
        raise UserError(f"The run {state.status}: {state.reason}.")
    return load(runs_dir, run)


def _train_unstored(
    run: Run, engine: str, diagnostics: Sequence[Diagnostic], data_root: str | None, observer: Observer
) -> Result:
    import pandas as pd

    choice, began = choose(engine, run), time.time()
    learnt = None
    rows = []
    try:
        for learnt in _learn(run, choice, diagnostics, data_root, observer):
            rows.append(learnt.row)
    except Diverged as error:
        raise UserError(f"The run failed: {error}.") from error
    ended = time.time()
    state = RunState(
        "finished",
        tasks_done=run.dataset.tasks,
        score=score([row[run.dataset.objective.score_name] for row in rows]),
        attempt=1,
        started=began,
        updated=ended,
        finished=ended,
        seconds=ended - began,
        measured={one.name: one.values() for one in diagnostics},
    )
    state.begin(provenance(choice, run), 0)
    state.describe(run)
    return Result(run, state, pd.DataFrame(rows), learnt.network if learnt else None)


def load(runs_dir: str | Path, run: Run | str) -> Result:
    """A stored run, as far as it was computed.

    Args:
        runs_dir: the directory of runs.
        run: the run, or its identity.

    Raises:
        UserError: if there is no such run.
    """
    import pandas as pd

    identity = run if isinstance(run, str) else run.identity
    folder = RunFolder(expanded(runs_dir) / identity)
    stored = stored_run(folder)
    rows = pd.DataFrame(folder.rows()).apply(pd.to_numeric)
    return Result(stored, folder.state(), rows, _last_network(folder, stored))


def _last_network(folder: RunFolder, run: Run) -> Network | None:
    """The network after the last task, if there is a snapshot of it that can be read."""
    try:
        return folder.snapshot(run.dataset.tasks).network
    except (OSError, Damaged):
        return None
