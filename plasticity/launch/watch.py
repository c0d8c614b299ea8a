"""Watches jobs from outside: reads progress from the runs' folders."""

import math
import time

from plasticity.composition.labels import labels
from plasticity.composition.settings import Settings
from plasticity.errors import UserError
from plasticity.launch.display import Display, Message
from plasticity.launch.jobs import living_jobs
from plasticity.launch.plan import Plan
from plasticity.machine.interrupt import Interrupts
from plasticity.store import RunFolder, RunState

LOOK_SECONDS = 2.0

QUEUED_SECONDS = 20.0
"""Time after which people wonder why no job starts."""

PATIENCE_SECONDS = 600.0
"""How long SLURM may not answer: its controller may be restarted, or be busy for minutes."""


def watch(todo: Plan, jobs: set[str], settings: Settings) -> bool:
    """Shows the progress of runs until none of their jobs is alive.

    Returns:
        True once none is alive; False after Ctrl-C
    """
    folders = {run.identity: RunFolder.of(settings.runs, run) for run in todo.to_compute}
    steps = {run.identity: run.dataset.steps_per_task for run in todo.to_compute}
    seen: dict[str, int] = {}
    ended: set[str] = set()
    before = {identity: _stamp(folder.stored_state()) for identity, folder in folders.items()}
    lost, asked = 0.0, time.monotonic()
    with Interrupts() as interrupts:
        with Display(todo.to_compute, labels(todo.to_compute)) as display:
            while not interrupts.count:
                try:
                    living, lost = jobs & living_jobs(settings.runs), 0.0
                except UserError as error:  # Ctrl-C ends SLURM's command, too
                    if interrupts.count:
                        return False
                    lost = lost or time.monotonic()
                    if time.monotonic() - lost > PATIENCE_SECONDS:
                        raise UserError(
                            f"{error} The jobs continue; the same command watches them again."
                        ) from error
                    living = jobs
                for identity in folders.keys() - ended:
                    message = _look(folders[identity], seen, steps[identity], before[identity])
                    if message is not None:
                        display.hear(message)
                        ended |= {identity} if message.kind == "ended" else set()
                display.refresh()
                if not seen and time.monotonic() - asked > QUEUED_SECONDS:
                    display.say("No run has begun yet. What the jobs wait for: squeue --me")
                    asked = math.inf
                if not living:
                    return True
                interrupts.wait(LOOK_SECONDS)
    return False


def _look(folder: RunFolder, seen: dict[str, int], steps: int, before: str) -> Message | None:
    """What is new about a run since the last look. An end from before the watch began is of an earlier attempt."""
    state = folder.state()
    if state.status == "new":
        return None
    row = folder.last_row()
    try:
        done = int(row["task"]) + state.tasks_per_record if row else 0
        now, score = done, float(row[state.score_name]) if row else None
    except (ValueError, KeyError):  # damaged, which is reported where the run is computed
        return None
    last = seen.get(folder.identity)
    seen[folder.identity] = now
    over = state.is_over and _stamp(state) != before
    kind = "began" if last is None else "ended" if over else "progress"
    return Message(kind, folder.identity, now, (now - (last or 0)) * steps, score, state)


def _stamp(state: RunState) -> str:
    """A text that changes with every attempt at a run."""
    return f"{state.status} {state.attempt} {state.updated}"
