"""The closing lines of a launch: what is finished, what failed and why, what to run next."""

import shlex
from collections.abc import Mapping, Sequence

from plasticity.composition.labels import labels, named
from plasticity.composition.settings import Settings
from plasticity.launch import lacks
from plasticity.launch.local import Outcome
from plasticity.machine.progress import clock
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.training.score import window_text


def states(asked: Sequence[Run], outcome: Outcome, settings: Settings) -> dict[str, RunState]:
    """The state of each run: the last one its worker sent, since a full disk may not hold it, or the stored one."""
    return {
        run.identity: outcome.states.get(run.identity) or RunFolder.of(settings.runs, run).stored_state()
        for run in asked
    }


def summary(asked: Sequence[Run], computed: Sequence[Run], outcome: Outcome, settings: Settings) -> str:
    """How a launch went: in full for a single run; counts and every failure for several.

    Args:
        asked: every run asked for.
        computed: those of them that were not finished before.
        outcome: how it went.
        settings: what was asked for.
    """
    known = states(asked, outcome, settings)
    last = [*_lacking(computed, known, settings), *outcome.tracked]
    if len(asked) == 1:
        return "\n".join([_one(asked[0], known[asked[0].identity], not computed, outcome, settings), *last])
    lines = failures(asked, known)
    finished = sum(state.is_finished for state in known.values())
    left = len(known) - finished - len(lines)
    counts = f"{finished} of {len(known)} runs finished"
    counts += f", {len(lines)} failed" * bool(lines) + f", {left} left" * bool(left)
    begun = any(state.status != "new" and not state.is_over for state in known.values())
    does = "resumes" if begun else "computes" if left else "retries"
    again = f" The same command {does} them." if lines or left else ""
    head = "Interrupted. " if outcome.interrupted else ""
    return "\n".join([*lines, f"{head}{counts}, in {settings.runs_dir}.{again}", _next(settings), *last])


def failures(runs: Sequence[Run], known: Mapping[str, RunState]) -> list[str]:
    """A line for each run that failed: which, and why.

    Args:
        runs: the runs, each once.
        known: the state of each, by its identity.
    """
    if not any(known[run.identity].has_failed for run in runs):
        return []
    return [
        f"  failed: {named(run, label)}: {known[run.identity].reason}"
        for run, label in zip(runs, labels(runs), strict=True)
        if known[run.identity].has_failed
    ]


def _lacking(computed: Sequence[Run], known: Mapping[str, RunState], settings: Settings) -> list[str]:
    """What finished runs lack because another launch computed or began them without all of it."""
    every, diagnostics = settings.snapshots.every, settings.diagnostics
    finished = [
        (RunFolder.of(settings.runs, run), run, state)
        for run in computed
        if (state := known[run.identity]).is_finished
    ]
    found = [one for run in finished if (one := lacks.lack(*run, diagnostics, every))]
    if not found:
        return []
    who = f"Begun by another launch, which did not ask for all of this: {lacks.names(found)}."
    return [who, *lacks.notes(found, settings.runs, every)]


def _one(run: Run, state: RunState, was_finished: bool, outcome: Outcome, settings: Settings) -> str:
    tasks, path = run.dataset.tasks, f"{settings.runs_dir}/{run.identity}"
    if state.is_finished and state.score is not None:
        before = " It was finished before; force=true starts it over."
        objective, records = run.dataset.objective, run.dataset.records
        rows = "tasks" if records == tasks else f"records of {run.dataset.tasks_per_record} tasks"
        return (
            f"Score {objective.shown(state.score, 2)}: mean online {objective.score_name} over "
            f"{window_text(records, rows)}, in {clock(state.seconds)}. Results: {path}."
            f"{before * was_finished}\n"
            f"{_next(settings)}"
        )
    if state.has_failed:
        return f"Failed: {state.reason}. What was computed is in {path}."
    head = "Interrupted. " if outcome.interrupted else ""
    if state.status == "new":
        return f"{head}Nothing was computed yet. The same command computes it."
    kept = f"{state.tasks_done} of {tasks} tasks are kept in {path}."
    return f"{head}{kept} The same command resumes it."


def _next(settings: Settings) -> str:
    return f"See them with: python -m plasticity.analysis runs --runs {shlex.quote(settings.runs_dir)}"
