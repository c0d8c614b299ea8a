"""Watches jobs from outside: reads progress from the runs' folders."""

from plasticity.errors import UserError
from plasticity.launch.interrupt import Interrupts
from plasticity.launch.jobs import living_jobs
from plasticity.launch.labels import labels
from plasticity.launch.plan import Plan
from plasticity.progress import Display, Message
from plasticity.settings import Settings
from plasticity.store import RunFolder

LOOK_SECONDS = 2.0


def watch(todo: Plan, jobs: set[str], settings: Settings) -> bool:
    """Shows the progress of runs until none of their jobs is alive.

    Returns:
        True once none is alive; False after Ctrl-C
    """
    folders = {run.identity: RunFolder.of(settings.runs, run) for run in todo.to_compute}
    steps = {run.identity: run.dataset.steps_per_task for run in todo.to_compute}
    seen: dict[str, int] = {}
    ended: set[str] = set()
    with Interrupts() as interrupts:
        with Display(todo.to_compute, labels(todo.to_compute)) as display:
            while not interrupts.count:
                try:
                    living = jobs & living_jobs(settings.runs)
                except UserError:  # Ctrl-C ends SLURM's command, too
                    if interrupts.count:
                        return False
                    raise
                for identity in folders.keys() - ended:
                    message = _look(folders[identity], seen, steps[identity])
                    if message is not None:
                        display.hear(message)
                        ended |= {identity} if message.kind == "ended" else set()
                display.refresh()
                if not living:
                    return True
                interrupts.wait(LOOK_SECONDS)
    return False


def _look(folder: RunFolder, seen: dict[str, int], steps: int) -> Message | None:
    """What is new about a run since the last look."""
    state = folder.state()
    if state.status == "new":
        return None
    row = folder.last_row()
    try:
        now, score = (int(row["task"]) + 1, float(row[state.score_name])) if row else (0, None)
    except (ValueError, KeyError):  # damaged, which is reported where the run is computed
        return None
    before = seen.get(folder.identity)
    seen[folder.identity] = now
    kind = "began" if before is None else "ended" if state.status in ("finished", "failed") else "progress"
    return Message(kind, folder.identity, now, (now - (before or 0)) * steps, score, state)
