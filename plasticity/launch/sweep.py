"""A sweep on this machine: computes a list of runs, and accounts for each."""

from collections.abc import Sequence

from plasticity.cores import cores
from plasticity.datasets import prepare_data
from plasticity.launch.estimate import duration, per_engine, seconds_per_step, spoken
from plasticity.launch.interrupt import INTERRUPTED
from plasticity.launch.labels import labels
from plasticity.launch.local import Local, Outcome, finish
from plasticity.launch.plan import Plan, plan
from plasticity.launch.summary import states, summary
from plasticity.progress import Display
from plasticity.publish.publishing import Publishing
from plasticity.run import Run
from plasticity.settings import Settings
from plasticity.store import prepare


class Unfinished(Exception):
    """Some runs of a sweep have no score, as its closing lines say. Holds the exit code."""

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code


def compute(runs: Sequence[Run | None], settings: Settings) -> int:
    """Computes runs on this machine, except those that are finished, and says how it went.

    Args:
        runs: the runs asked for; None for a combination that is absent.
        settings: folders, engine and so on.

    Returns:
        the exit code: 0 if every run asked for is finished, 1 if one is not, 130 after Ctrl-C

    Raises:
        UserError: before anything starts, if it cannot start.
    """
    todo = planned(runs, settings)
    workers = max(1, min(settings.launch.workers or cores(), len(todo.to_compute)))
    if len(runs) > 1 or settings.launch.dry_run:
        per_step = seconds_per_step(todo, settings.data_root)
        about = f", about {spoken(duration(todo, per_step, workers))}" if per_step else ""
        print("\n".join([todo.sentence() + about, *per_engine(todo, per_step)]), flush=True)
    elif todo.reasons():
        print("\n".join(per_engine(todo, [])), flush=True)
    if settings.launch.dry_run:
        return 0
    outcome = Outcome()
    with Publishing(settings, todo.asked) as publishing:
        publishing.catch_up(todo.finished())
        if todo.to_compute:
            display = Display(todo.to_compute, labels(todo.to_compute))
            local = Local(settings, workers, display, publishing, todo.restart)
            outcome = local.compute(todo.to_compute, todo.engines)
        finish(publishing, outcome)
    return close(todo, outcome, settings)


def compute_one(run: Run | None, settings: Settings) -> float | None:
    """Computes a run on this machine and returns its score; None for one that is absent, or in a dry run.

    Raises:
        UserError: when it cannot start.
        Unfinished: when it ends without a score.
    """
    code = compute([run], settings)
    if run is None or settings.launch.dry_run:
        return None
    state = states([run], Outcome(), settings)[run.identity]
    if state.status != "finished":
        raise Unfinished(code)
    return state.score


def planned(runs: Sequence[Run | None], settings: Settings, cluster: bool = False) -> Plan:
    """Plans a launch on this machine or a cluster, prints its notes, and makes sure that its data is in the cache.

    Raises:
        UserError: when it cannot be done.
    """
    refused = prepare(settings.runs, settings.launch.dry_run)
    todo = plan(
        runs,
        settings.runs,
        settings.force,
        settings.engine.name,
        settings.diagnostics,
        settings.launch.missing_measures == "compute",
        settings.snapshots.every,
        cluster,
    )
    for note in [*refused, *settings.without_effect(cluster), *todo.notes]:
        print(note, flush=True)
    prepare_data((run.dataset for run in todo.to_compute), settings.data_root)  # before any worker does, once
    return todo


def close(todo: Plan, outcome: Outcome, settings: Settings) -> int:
    """Prints the closing lines and returns the exit code."""
    print(summary(todo.asked, todo.to_compute, outcome, settings), flush=True)
    if outcome.interrupted:
        return INTERRUPTED
    known = states(todo.asked, outcome, settings)
    return 0 if all(state.status == "finished" for state in known.values()) else 1
