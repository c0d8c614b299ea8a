"""The closing lines of a launch: what is finished, what failed and why, what to run next."""

from collections.abc import Sequence

from plasticity.config import RunConfig
from plasticity.launcher.labels import labels
from plasticity.launcher.local import Outcome
from plasticity.progress import clock
from plasticity.score import window
from plasticity.settings import Settings
from plasticity.store import RunFolder, RunState


def states(asked: Sequence[RunConfig], outcome: Outcome, settings: Settings) -> dict[str, RunState]:
    """How each run stands: as its worker said last, since a full disk may not say it, or else as stored."""
    return {
        config.identity: outcome.states.get(config.identity) or RunFolder.of(settings.runs, config).state()
        for config in asked
    }


def summary(asked: Sequence[RunConfig], outcome: Outcome, settings: Settings) -> str:
    """How a launch went: in full for a run alone; counts and every failure where there are many."""
    known = states(asked, outcome, settings)
    if len(asked) == 1:
        return _one(asked[0], known[asked[0].identity], outcome, settings)
    names = dict(zip(known, labels(asked), strict=True))
    failed = {identity: state for identity, state in known.items() if state.status == "failed"}
    lines = [
        f"  failed: {names[identity]} ({identity}): {state.reason}" for identity, state in failed.items()
    ]
    finished = sum(state.status == "finished" for state in known.values())
    left = len(known) - finished - len(failed)
    counts = f"{finished} of {len(known)} runs finished"
    counts += f", {len(failed)} failed" * bool(failed) + f", {left} left" * bool(left)
    again = " The same command goes on from there." if failed or left else ""
    head = "Interrupted. " if outcome.interrupted else ""
    return "\n".join([*lines, f"{head}{counts}, in {settings.runs_dir}.{again}", _next(settings)])


def _one(config: RunConfig, state: RunState, outcome: Outcome, settings: Settings) -> str:
    tasks, path = config.dataset.tasks, f"{settings.runs_dir}/{config.identity}"
    if state.status == "finished" and state.score is not None:
        before = " It was finished before; force=true computes it anew."
        return (
            f"Score {state.score:.2%}: mean online accuracy over the last {window(tasks)} of {tasks} tasks, "
            f"in {clock(state.seconds)}. Results: {path}.{before * (config.identity not in outcome.states)}\n"
            f"{_next(settings)}"
        )
    if state.status == "failed":
        return f"Failed: {state.reason}. What was computed is in {path}."
    head = "Interrupted. " if outcome.interrupted else ""
    kept = f"{state.tasks_done} of {tasks} tasks are kept in {path}."
    return f"{head}{kept} The same command goes on from there."


def _next(settings: Settings) -> str:
    return f"Look at them with: python -m analysis.runs --runs {settings.runs_dir}"
