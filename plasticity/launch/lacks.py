"""The measures and snapshots that a launch asks for and finished runs lack, and which command adds them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plasticity.diagnostics import Diagnostic, lacking
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.training.measuring import lacking_snapshots

COMPUTE = "launch.missing_measures=compute"


@dataclass(frozen=True)
class Lack:
    """What a finished run lacks.

    Attributes:
        run: the run.
        measures: the diagnostics that its rows do not hold.
        snapshots: the tasks before which its network was to be kept, but was not.
        ruined: the files of such networks that are there but cannot be read.
    """

    run: Run
    measures: list[Diagnostic]
    snapshots: list[int]
    ruined: list[Path]

    def __bool__(self) -> bool:
        return bool(self.measures or self.snapshots or self.ruined)


def lack(folder: RunFolder, run: Run, state: RunState, diagnostics: Sequence[Diagnostic], every: int) -> Lack:
    """What a finished run lacks.

    Args:
        folder: its folder.
        run: the run.
        state: its state.
        diagnostics: what is to be measured.
        every: number of tasks from one snapshot to the next; 0 for that after the last task alone.
    """
    gaps = lacking_snapshots(folder, run, every)
    kept = set(folder.snapshots())
    return Lack(
        run,
        lacking(state.measured, diagnostics),
        [task for task in gaps if task not in kept],
        [folder.snapshot_path(task) for task in gaps if task in kept],
    )


def notes(lacks: Sequence[Lack], runs_dir: Path, every: int) -> list[str]:
    """Sentences that say how many finished runs lack what, and how to get it."""
    return [*_measures(lacks, runs_dir), *_ruined(lacks), *_snapshots(lacks, every), *_last(lacks)]


def names(lacks: Sequence[Lack]) -> str:
    """Which runs lack something."""
    return some([one.run.identity for one in lacks])


def some(words: Sequence[str], most: int = 3) -> str:
    """A list of words, of which only the first are named."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _runs(number: int) -> str:
    return "1 finished run lacks" if number == 1 else f"{number} finished runs lack"


def _measures(lacks: Sequence[Lack], runs_dir: Path) -> list[str]:
    missing = [one.measures for one in lacks if one.measures]
    if not missing:
        return []
    measures = list(dict.fromkeys(each.name for measures in missing for each in measures))
    return [
        f"{_runs(len(missing))} measures ({some(measures)}): {COMPUTE} adds them, from snapshots or by "
        f"computing runs again; python -m plasticity.diagnose {shlex.quote(str(runs_dir))} uses snapshots alone."
    ]


def _ruined(lacks: Sequence[Lack]) -> list[str]:
    paths = [str(path) for one in lacks for path in one.ruined]
    if not paths:
        return []
    runs, them = ("the run", "it") if len(paths) == 1 else ("their runs", "them")
    return [f"{some(paths)} cannot be read: {COMPUTE} computes {runs} again, and replaces {them}."]


def _snapshots(lacks: Sequence[Lack], every: int) -> list[str]:
    number = sum(any(task < one.run.dataset.tasks for task in one.snapshots) for one in lacks)
    if not number:
        return []
    them, results = ("it", "its result") if number == 1 else ("them", "their results")
    return [
        f"{_runs(number)} the snapshots of snapshots.every={every}: force=true starts {them} over; {COMPUTE} "
        f"computes {them} again alongside {results}."
    ]


def _last(lacks: Sequence[Lack]) -> list[str]:
    number = sum(one.run.dataset.tasks in one.snapshots for one in lacks)
    if not number:
        return []
    return [f"{_runs(number)} the network after the last task: {COMPUTE} computes it again."]
