"""What a launch has to do: of all runs asked for, those that are neither duplicates nor finished."""

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plasticity.diagnostics import Diagnostic, lacking
from plasticity.engines import Choice, choose
from plasticity.errors import UserError
from plasticity.measuring import served
from plasticity.provenance import code
from plasticity.run import Run
from plasticity.store import RunFolder, RunState


@dataclass(frozen=True)
class Plan:
    """The runs of a launch, each once.

    Attributes:
        asked: every run asked for.
        to_compute: those to be computed, the longest first.
        steps_left: number of steps that each of those still has to take.
        engines: the engine that would compute each of those on this machine, and why.
        resumed: number of runs that continue from a checkpoint.
        absent: number of combinations that are not runs.
        measured: number of runs that are finished and only have to be measured.
        restart_before: runs that were started before this time, in seconds since the epoch, start over.
        notes: sentences that the user should read about runs of earlier launches.
    """

    asked: list[Run]
    to_compute: list[Run]
    steps_left: list[int]
    engines: list[Choice]
    resumed: int
    absent: int
    measured: int = 0
    restart_before: float = 0.0
    notes: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """A summary for the user, before anything starts."""
        number, left = len(self.asked), len(self.to_compute)
        absent = f" ({self.absent} absent)" if self.absent else ""
        return (
            f"{number} run{'' if number == 1 else 's'}{absent}: {number - left + self.measured} finished"
            f"{f' ({self.measured} to be measured)' if self.measured else ''}, "
            f"{self.resumed} resumed, {left - self.resumed - self.measured} new"
        )

    def finished(self) -> list[Run]:
        """The runs that were finished before."""
        left = {run.identity for run in self.to_compute}
        return [run for run in self.asked if run.identity not in left]

    def reasons(self) -> dict[str, list[int]]:
        """The positions in `to_compute` of the runs that a faster engine cannot compute, by reason."""
        found: dict[str, list[int]] = {}
        for position, choice in enumerate(self.engines):
            if choice.reason is not None:
                found.setdefault(choice.reason, []).append(position)
        return found


def plan(
    runs: Sequence[Run | None],
    runs_dir: Path,
    force: bool,
    engine: str,
    diagnostics: Sequence[Diagnostic] = (),
    measure_finished: bool = False,
    snapshot_every: int = 0,
) -> Plan:
    """Sorts runs by what is left to do for them.

    Args:
        runs: the runs asked for, duplicates included; None for a combination that is absent.
        runs_dir: where finished runs and checkpoints are looked for.
        force: start all runs over.
        engine: name of the engine, or "auto".
        diagnostics: what is to be measured.
        measure_finished: whether to compute the diagnostics that finished runs lack.
        snapshot_every: number of tasks from one snapshot to the next; 0 for that after the last task alone.

    Raises:
        UserError: for a run that the engine cannot compute, or whose folder holds another run.
    """
    asked = {run.identity: run for run in runs if run is not None}
    left: list[tuple[Run, int]] = []
    finished: list[tuple[Run, RunState]] = []
    notes: list[str] = []
    lacks: dict[str, list[Diagnostic]] = {}
    resumed = 0
    for run in asked.values():
        folder = RunFolder.of(runs_dir, run)
        described, state = folder.check(run), folder.state(run)
        if state.status == "finished" and not force:
            finished.append((run, state))
            if not described:
                notes.append(_rewritten_config(folder, run))
            if missing := lacking(state.measured, diagnostics):
                lacks[run.identity] = missing
                if measure_finished:
                    left.append((run, run.steps * (len(served(folder, run, missing)) < len(missing))))
            continue
        if state.status in ("unreadable", "incomplete"):
            notes.append(f"{folder.path} is computed again: {state.reason}.")
        checkpoint = not force and folder.has_checkpoint()
        resumed += checkpoint
        tasks_left = run.dataset.tasks - (state.tasks_done if checkpoint else 0)
        left.append((run, tasks_left * run.dataset.steps_per_task))
    left.sort(key=lambda entry: entry[1] * entry[0].weights, reverse=True)
    return Plan(
        asked=list(asked.values()),
        to_compute=[run for run, _ in left],
        steps_left=[steps for _, steps in left],
        engines=[_choice(engine, run) for run, _ in left],
        resumed=resumed,
        measured=len(lacks) if measure_finished else 0,
        absent=sum(run is None for run in runs),
        restart_before=time.time() if force else 0.0,
        notes=[
            *notes,
            *_other_code(finished),
            *_lacks_snapshots([run for run, _ in finished], runs_dir, snapshot_every),
            *([] if measure_finished else _lacks(lacks, runs_dir)),
        ],
    )


def _choice(engine: str, run: Run) -> Choice:
    try:
        return choose(engine, run)
    except UserError as error:
        raise UserError(f"{run.identity}: {error}") from error


def _rewritten_config(folder: RunFolder, run: Run) -> str:
    """Rewrites the unreadable config of a finished run, which its folder's name identifies. Returns a note."""
    try:
        with folder.claim() as held:
            if held:
                folder.create(run)
    except (OSError, UserError) as error:
        why = getattr(error, "strerror", None) or error
        return f"{folder.path / 'config.yaml'} can be neither read nor rewritten ({why})."
    return f"{folder.path / 'config.yaml'} could not be read, and was rewritten."


def _other_code(finished: Sequence[tuple[Run, RunState]]) -> list[str]:
    """Says how many finished runs were computed by code that differs from the present one."""
    changed: Counter[str] = Counter()
    for run, state in finished:
        then, now = state.provenance.get("code") or {}, code(run)
        changed.update(part for part, digits in then.items() if digits and now.get(part, digits) != digits)
    return [
        f"{number} finished run{'s were' if number > 1 else ' was'} computed by other code of {part}; "
        f"force=true starts {'them' if number > 1 else 'it'} over."
        for part, number in changed.items()
    ]


def _lacks(lacks: Mapping[str, Sequence[Diagnostic]], runs_dir: Path) -> list[str]:
    """Says how many finished runs lack which measures, and how to get them."""
    if not lacks:
        return []
    names = list(dict.fromkeys(one.name for missing in lacks.values() for one in missing))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    runs = "1 finished run lacks" if len(lacks) == 1 else f"{len(lacks)} finished runs lack"
    return [
        f"{runs} measures ({shown}): launch.missing_measures=compute adds them, from snapshots or by "
        f"computing runs again; python -m plasticity.diagnose {shlex.quote(str(runs_dir))} uses snapshots alone."
    ]


def _lacks_snapshots(finished: Sequence[Run], runs_dir: Path, every: int) -> list[str]:
    """Says how many finished runs lack snapshots, and how to get them."""
    number = sum(
        not _snapshots(run, every) <= set(RunFolder.of(runs_dir, run).snapshots())
        for run in finished
        if every
    )
    if not number:
        return []
    runs, them = (f"{number} finished runs lack", "them") if number > 1 else ("1 finished run lacks", "it")
    return [f"{runs} the snapshots of snapshots.every={every}: force=true starts {them} over."]


def _snapshots(run: Run, every: int) -> set[int]:
    """The tasks before which a run's network is to be kept, but for the last network."""
    record = run.dataset.tasks_per_record
    return {task for task in range(record, run.dataset.tasks, record) if task % every == 0}
