"""A sweep on this machine: computes a list of runs, and accounts for each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from plasticity.composition.labels import labels
from plasticity.composition.settings import Settings
from plasticity.datasets import prepare_data
from plasticity.launch import trial
from plasticity.launch.code import check_modules
from plasticity.launch.display import Display
from plasticity.launch.estimate import duration, per_engine, seconds_per_step, spoken
from plasticity.launch.local import Local, Outcome, finish
from plasticity.launch.plan import Plan, plan
from plasticity.launch.preview import preview
from plasticity.launch.summary import states, summary
from plasticity.launch.tried import is_own
from plasticity.machine.cores import cores
from plasticity.machine.interrupt import INTERRUPTED
from plasticity.machine.processes import Process
from plasticity.run import Run
from plasticity.store import RunState, prepare


@dataclass(frozen=True)
class Ended:
    """How a launch ended.

    Attributes:
        exit_code: of the command: 0 if every run asked for is finished, 1 if one is not, 130 after Ctrl-C.
        states: the state in which this launch left each run asked for, by identity. It may be "failed" though the
            folder says "finished": starting a run over, or measuring it, can fail and leave the earlier result.
    """

    exit_code: int
    states: dict[str, RunState] = field(default_factory=dict)

    def score(self, run: Run | None) -> float | None:
        """A run's score; None for one that is absent.

        Raises:
            Unfinished: when it has none.
        """
        if run is None:
            return None
        state = self.states.get(run.identity, RunState())
        if not state.is_finished:
            raise Unfinished(self.exit_code)
        return state.score


class Unfinished(Exception):
    """Some runs of a sweep have no score, as its closing lines say. Holds the exit code."""

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code


def compute(runs: Sequence[Run | None], settings: Settings) -> Ended:
    """Computes runs on this machine, except those that are finished, and says how it went.

    Args:
        runs: the runs asked for; None for a combination that is absent.
        settings: folders, engine and so on.

    Raises:
        UserError: before anything starts, if it cannot start.
    """
    with Process() as apart:
        todo = planned(runs, settings, apart)
        shown = len(runs) > 1 or settings.launch.dry_run
        per_step = seconds_per_step(todo, settings.data_root, apart) if shown else []
    workers = max(1, min(settings.launch.workers or cores(), len(todo.to_compute)))
    if shown:
        about = f", about {spoken(duration(todo, per_step, workers))}" if per_step else ""
        print("\n".join([todo.sentence() + about, *per_engine(todo, per_step)]), flush=True)
    elif todo.reasons():
        print("\n".join(per_engine(todo, [])), flush=True)
    if settings.launch.dry_run:
        print(
            *preview(todo, per_step, todo.to_compute), sep="\n", end="\n" * bool(todo.to_compute), flush=True
        )
        return Ended(0)
    outcome = Outcome()
    with settings.tracker.tracking(settings.runs_dir, todo.asked) as tracking:
        tracking.catch_up(todo.finished())
        if todo.to_compute:
            display = Display(todo.to_compute, labels(todo.to_compute))
            local = Local(settings, workers, display, tracking, todo.restart)
            outcome = local.compute(todo.to_compute, todo.engines)
        finish(tracking, outcome)
    return close(todo, outcome, settings)


def compute_one(run: Run | None, settings: Settings) -> float | None:
    """Computes a run on this machine and returns its score; None for one that is absent, or in a dry run.

    Raises:
        UserError: when it cannot start.
        Unfinished: when it ends without a score.
    """
    ended = compute([run], settings)
    return None if settings.launch.dry_run else ended.score(run)


def planned(runs: Sequence[Run | None], settings: Settings, apart: Process, cluster: bool = False) -> Plan:
    """Puts the data of a launch into the cache, tries the users' own parts, plans it, and prints its notes.

    Args:
        runs: the runs asked for; None for a combination that is absent.
        settings: folders, engine and so on.
        apart: a process for the users' code.
        cluster: whether the runs are computed on a cluster.

    Raises:
        UserError: when it cannot be done.
    """

    def ready(to_compute: Sequence[Run]) -> None:
        check_modules(to_compute, settings)
        datasets = [run.dataset for run in to_compute]  # once, before any worker does
        prepare_data((one for one in datasets if not is_own(one)), settings.data_root)
        trial.prepare((one for one in datasets if is_own(one)), settings.data_root, apart)
        trial.try_own_parts(to_compute, settings.data_root, apart)

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
        settings.launch.dry_run,
        ready,
    )
    for note in [*refused, *settings.without_effect(cluster), *todo.notes]:
        print(note, flush=True)
    return todo


def close(todo: Plan, outcome: Outcome, settings: Settings) -> Ended:
    """Prints the closing lines."""
    print(summary(todo.asked, todo.to_compute, outcome, settings), flush=True)
    known = states(todo.asked, outcome, settings)
    finished = all(state.is_finished for state in known.values())
    return Ended(INTERRUPTED if outcome.interrupted else int(not finished), known)
