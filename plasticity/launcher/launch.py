"""A launch: a list of runs in, every one of them finished or accounted for."""

from collections.abc import Callable, Sequence

from plasticity.config import RunConfig
from plasticity.cores import cores
from plasticity.engines import resolve
from plasticity.launcher.estimate import duration, seconds_per_step, spoken
from plasticity.launcher.labels import labels
from plasticity.launcher.local import Local, Outcome
from plasticity.launcher.plan import Plan, plan
from plasticity.launcher.summary import states, summary
from plasticity.progress import Display
from plasticity.settings import Settings
from plasticity.store import prepare

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

Launch = Callable[[Sequence[RunConfig | None], Settings], int]
"""Takes the runs asked for, None for a combination that is absent; returns the exit code."""


class Unfinished(Exception):
    """Some runs of a sweep have no score, which its closing lines have told. Holds the exit code."""

    def __init__(self, exit_code: int):
        super().__init__()
        self.exit_code = exit_code


def launch(configs: Sequence[RunConfig | None], settings: Settings) -> int:
    """Computes runs on this machine, drops what is finished, and says how it went.

    Args:
        configs: the runs asked for; None for a combination that is absent.
        settings: folders, engine and so on.

    Returns:
        the exit code: 0 if every run asked for is finished, 1 if one is not, 130 after Ctrl-C

    Raises:
        UserError: before anything starts, if it cannot.
    """
    todo, engine = planned(configs, settings)
    workers = max(1, min(settings.launch.workers or cores(), len(todo.to_compute)))
    if len(configs) > 1 or settings.launch.dry_run:
        per_step = seconds_per_step(todo.to_compute, engine, settings.data_root)
        about = f", about {spoken(duration(todo, per_step, workers))}" if per_step else ""
        print(todo.sentence() + about, flush=True)
    if settings.launch.dry_run:
        return 0
    outcome = Outcome()
    if todo.to_compute:
        display = Display(todo.to_compute, labels(todo.to_compute))
        outcome = Local(settings, engine, workers, display, todo.anew_before).compute(todo.to_compute)
    return close(todo, outcome, settings)


def planned(configs: Sequence[RunConfig | None], settings: Settings) -> tuple[Plan, str]:
    """What there is to do, with the data for it in the cache, and the name of the engine that will do it."""
    prepare(settings.runs)
    todo = plan(configs, settings.runs, settings.force)
    for dataset in {type(config.dataset): config.dataset for config in todo.to_compute}.values():
        dataset.prepare(settings.data_root)  # before any worker does, so that it happens once
    return todo, resolve(settings.engine.name)


def close(todo: Plan, outcome: Outcome, settings: Settings) -> int:
    """Prints the closing lines and gives the exit code."""
    print(summary(todo.asked, outcome, settings), flush=True)
    if outcome.interrupted:
        return INTERRUPTED
    known = states(todo.asked, outcome, settings)
    return 0 if all(state.status == "finished" for state in known.values()) else 1
