"""A launch: a list of runs in, every one of them finished or accounted for."""

from collections.abc import Sequence

from plasticity.config import RunConfig
from plasticity.engines import resolve
from plasticity.launcher.estimate import duration, seconds_per_step, spoken
from plasticity.launcher.labels import labels
from plasticity.launcher.local import Local, Outcome, cores
from plasticity.launcher.plan import Plan, plan
from plasticity.progress import Display, clock
from plasticity.score import window
from plasticity.settings import Settings
from plasticity.store import RunFolder, RunState, prepare


class SweepFailed(Exception):
    """Some runs of a sweep are not finished, which its summary has told. Holds the exit code."""

    def __init__(self, exit_code: int):
        super().__init__()
        self.exit_code = exit_code


INTERRUPTED = 130
"""Exit code after Ctrl-C."""


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
    prepare(settings.runs)
    todo = plan(configs, settings.runs, settings.force)
    engine = _prepare(todo, settings)
    workers = max(1, min(settings.launch.workers or cores(), len(todo.to_compute)))
    if len(todo.asked) > 1 or settings.launch.dry_run:
        _say(todo.sentence() + _about(todo, settings, engine, workers))
    if settings.launch.dry_run:
        return 0
    outcome = Outcome()
    if todo.to_compute:
        display = Display(todo.to_compute, labels(todo.to_compute))
        outcome = Local(settings, engine, workers, display).compute(todo.to_compute)
    _say(summary(todo, outcome, settings))
    if outcome.interrupted:
        return INTERRUPTED
    return 0 if all(_state(config, outcome, settings).status == "finished" for config in todo.asked) else 1


def _prepare(todo: Plan, settings: Settings) -> str:
    """Gets the data sets before the workers do, so that it happens once, and says which engine computes."""
    for dataset in {type(config.dataset): config.dataset for config in todo.to_compute}.values():
        dataset.prepare(settings.data_root)
    return resolve(settings.engine.name)


def _about(todo: Plan, settings: Settings, engine: str, workers: int) -> str:
    """How long the runs to be computed will take."""
    if not todo.to_compute:
        return ""
    per_step = seconds_per_step(todo.to_compute, engine, settings.data_root)
    return f", about {spoken(duration(todo, per_step, workers))}"


def summary(todo: Plan, outcome: Outcome, settings: Settings) -> str:
    """How a launch went: a line per run where there is one, counts and every failure where there are many."""
    if len(todo.asked) == 1:
        return _one(todo.asked[0], outcome, settings)
    names = dict(zip((config.identity for config in todo.asked), labels(todo.asked), strict=True))
    states = {config.identity: _state(config, outcome, settings) for config in todo.asked}
    failed = {identity: state for identity, state in states.items() if state.status == "failed"}
    finished = sum(state.status == "finished" for state in states.values())
    lines = [
        f"  failed: {names[identity]} ({identity}): {state.reason}" for identity, state in failed.items()
    ]
    left = len(states) - finished - len(failed)
    rest = f", {len(failed)} failed, {left} left" if len(failed) + left else ""
    head = "Interrupted. " if outcome.interrupted else ""
    again = " The same command goes on from there." if len(failed) + left else ""
    lines.append(
        f"{head}{finished} of {len(states)} runs finished{rest}, in {settings.runs_dir}.{again}\n"
        f"Look at them with: python -m analysis.runs --runs {settings.runs_dir}"
    )
    return "\n".join(lines)


def _one(config: RunConfig, outcome: Outcome, settings: Settings) -> str:
    """How a single run went."""
    state, tasks = _state(config, outcome, settings), config.dataset.tasks
    path = f"{settings.runs_dir}/{config.identity}"
    if state.status == "finished" and state.score is not None:
        before = (
            ""
            if config.identity in outcome.states
            else " It was finished before; force=true computes it anew."
        )
        last = window(tasks)
        return (
            f"Score {state.score:.2%}: mean online accuracy over the last {last} of {tasks} tasks, "
            f"in {clock(state.seconds)}. Results: {path}.{before}\n"
            f"Look at them with: python -m analysis.runs --runs {settings.runs_dir}"
        )
    if state.status == "failed":
        return f"Failed: {state.reason}. What was computed is in {path}."
    if outcome.interrupted:
        return (
            f"Interrupted. {state.tasks_done} of {tasks} tasks are kept in {path}. "
            "The same command goes on from there."
        )
    return f"Another process is computing this run, in {path}."


def _state(config: RunConfig, outcome: Outcome, settings: Settings) -> RunState:
    """How a run stands: as its worker said last, since a full disk may not say it, or else as stored."""
    return outcome.states.get(config.identity) or RunFolder.of(settings.runs, config).state()


def _say(text: str) -> None:
    print(text, flush=True)
