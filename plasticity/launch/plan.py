"""What a launch has to do: of all runs asked for, those that are neither duplicates nor finished."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plasticity.diagnostics import Diagnostic
from plasticity.engines import Choice, decide
from plasticity.launch import lacks
from plasticity.launch.tidy import tidy
from plasticity.part import Part
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.store.claim import closed
from plasticity.training.continuation import other_code, other_machine
from plasticity.training.measuring import served
from plasticity.training.provenance import machine


@dataclass(frozen=True)
class Plan:
    """The runs of a launch, each once.

    Attributes:
        asked: every run asked for.
        to_compute: those to be computed, the longest first.
        steps_left: number of steps that each of those still has to take.
        engines: the engine that would compute each of those on this machine, and why.
        resumed: those of them that are resumed from a checkpoint.
        absent: number of combinations that are not runs.
        to_measure: those to be computed that are finished, and only lack measures or snapshots.
        restart: identity of this launch, if it starts its runs over; see `Session`.
        notes: sentences that the user should read, mostly about runs of earlier launches.
    """

    asked: list[Run]
    to_compute: list[Run]
    steps_left: list[int]
    engines: list[Choice]
    resumed: list[Run]
    absent: int
    to_measure: list[Run] = field(default_factory=list)
    restart: str | None = None
    notes: list[str] = field(default_factory=list)

    def sentence(self, in_jobs: Collection[str] = ()) -> str:
        """A summary for the user, before anything starts.

        Args:
            in_jobs: identities of runs that a job on a cluster is to compute already.
        """
        number, measured = len(self.asked), len(self.to_measure)
        absent = f" ({self.absent} absent)" if self.absent else ""
        unfinished = {run.identity for run in self.to_compute} - {run.identity for run in self.to_measure}
        covered = unfinished.intersection(in_jobs)
        resumed = {run.identity for run in self.resumed} - covered
        return (
            f"{number} run{'' if number == 1 else 's'}{absent}: {number - len(unfinished)} finished"
            f"{f' ({measured} to be measured)' if measured else ''}"
            f"{f', {len(covered)} in jobs already' if covered else ''}, "
            f"{len(resumed)} resumed, {len(unfinished - covered - resumed)} new"
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


@dataclass
class Survey:
    """What is stored of the runs asked for. It only reads their folders.

    Args:
        runs_dir, force, diagnostics, measure_finished, snapshot_every: as in `plan`.

    Attributes:
        finished: the runs that are finished and are to stay so.
        unreadable: those of them whose config cannot be read.
        lacking: what finished runs lack of what is asked for.
        resumed: those that are resumed from a checkpoint.
        outdated: those whose checkpoint was computed with other code.
        left: those to be computed, with the number of steps that each still has to take.
        notes: sentences about runs that are computed again.
    """

    runs_dir: Path
    force: bool
    diagnostics: Sequence[Diagnostic]
    measure_finished: bool
    snapshot_every: int
    finished: list[tuple[Run, RunState]] = field(default_factory=list)
    unreadable: list[Run] = field(default_factory=list)
    lacking: list[lacks.Lack] = field(default_factory=list)
    resumed: list[tuple[Run, RunState]] = field(default_factory=list)
    outdated: list[tuple[Run, RunState]] = field(default_factory=list)
    left: list[tuple[Run, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def look(self, run: Run) -> None:
        """Looks at a run.

        Raises:
            UserError: when its folder holds another run.
        """
        folder = RunFolder.of(self.runs_dir, run)
        described, state = folder.check(run), folder.state(run)
        if not state.is_finished or self.force:
            self._unfinished(folder, run, state)
            return
        self.finished.append((run, state))
        if not described:
            self.unreadable.append(run)
        if missing := lacks.lack(folder, run, state, self.diagnostics, self.snapshot_every):
            self.lacking.append(missing)
            if self.measure_finished:
                self.left.append((run, run.steps * _computed_again(folder, missing)))

    def _unfinished(self, folder: RunFolder, run: Run, state: RunState) -> None:
        if problem := closed(folder.path):
            self.notes.append(f"{problem}.")
        elif state.is_ruined:
            self.notes.append(f"{folder.path} is computed again: {state.reason}.")
        tasks_left = run.dataset.tasks
        if not self.force and folder.has_checkpoint() and state.provenance:
            if other_code(state.provenance, run):
                self.outdated.append((run, state))
            else:
                self.resumed.append((run, state))
                tasks_left -= state.tasks_done
        self.left.append((run, tasks_left * run.dataset.steps_per_task))


def plan(
    runs: Sequence[Run | None],
    runs_dir: Path,
    force: bool,
    engine: str,
    diagnostics: Sequence[Diagnostic] = (),
    measure_finished: bool = False,
    snapshot_every: int = 0,
    cluster: bool = False,
    dry: bool = False,
    ready: Callable[[Sequence[Run]], None] = lambda runs: None,
) -> Plan:
    """Sorts runs by what is left to do for them, and puts the folders of finished ones in order.

    Args:
        runs: the runs asked for, duplicates included; None for a combination that is absent.
        runs_dir: where finished runs and checkpoints are looked for.
        force: start all runs over.
        engine: name of the engine, or "auto".
        diagnostics: what is to be measured.
        measure_finished: whether to compute the diagnostics and snapshots that finished runs lack.
        snapshot_every: number of tasks from one snapshot to the next; 0 for that after the last task alone.
        cluster: whether other machines compute them.
        dry: change nothing on disk.
        ready: is given the runs to be computed before an engine, which may call the code of their parts, is chosen.

    Raises:
        UserError: for a run that the engine cannot compute, or whose folder holds another run.
    """
    asked = {run.identity: run for run in runs if run is not None}
    found = Survey(runs_dir, force, diagnostics, measure_finished, snapshot_every)
    for run in asked.values():
        found.look(run)
    left = sorted(found.left, key=lambda entry: entry[1] * entry[0].work, reverse=True)
    to_compute = [run for run, _ in left]
    ready(to_compute)
    engines = decide(engine, to_compute)
    tidied = [] if dry else tidy([run for run, _ in found.finished], found.unreadable, runs_dir)
    return Plan(
        asked=list(asked.values()),
        to_compute=to_compute,
        steps_left=[steps for _, steps in left],
        engines=engines,
        resumed=[run for run, _ in found.resumed],
        to_measure=[missing.run for missing in found.lacking] if measure_finished else [],
        absent=sum(run is None for run in runs),
        restart=uuid.uuid4().hex[:12] if force else None,
        notes=[
            *_absent(sum(run is None for run in runs)),
            *tidied,
            *_remarks(to_compute, diagnostics),
            *_notes(found, list(zip(to_compute, engines, strict=True)), cluster),
        ],
    )


def _computed_again(folder: RunFolder, missing: lacks.Lack) -> bool:
    """Whether what a finished run lacks takes computing it again, as opposed to measuring it from snapshots."""
    measures = missing.measures
    from_snapshots = len(served(folder, missing.run, measures)) == len(measures)
    return bool(missing.snapshots or missing.ruined) or not from_snapshots


def _remarks(runs: Sequence[Run], diagnostics: Sequence[Diagnostic]) -> list[str]:
    """What the parts of runs and diagnostics have to say about them, each sentence once."""
    said = dict.fromkeys(
        sentence
        for run in runs
        for part in (*run.parts().values(), *diagnostics)
        for sentence in part.remarks(run)
    )
    return list(said)


def _notes(found: Survey, left: Sequence[tuple[Run, Choice]], cluster: bool) -> list[str]:
    """What the user should read about runs of earlier launches, given the engines of those that are left."""
    return [
        *found.notes,
        *_other_code(found.finished),
        *_starting_over(found.outdated),
        *_other_machine(found.resumed, cluster),
        *_other_engine(found.finished, left),
        *([] if found.measure_finished else lacks.notes(found.lacking, found.runs_dir, found.snapshot_every)),
    ]


def _absent(number: int) -> list[str]:
    """Says why some combinations of a sweep are not runs."""
    if not number:
        return []
    them = "1 combination is" if number == 1 else f"{number} combinations are"
    return [f"{them} absent: the network has no such layer to replace."]


def _other_code(finished: Sequence[tuple[Run, RunState]]) -> list[str]:
    """Says how many finished runs were computed with code that differs from the present code."""
    changed: Counter[str] = Counter()
    for run, state in finished:
        changed.update(other_code(state.provenance, run))
    return [
        f"{number} finished run{'s were' if number > 1 else ' was'} computed with other code for {part}; "
        f"force=true starts {'them' if number > 1 else 'it'} over."
        for part, number in changed.items()
    ]


def _starting_over(outdated: Sequence[tuple[Run, RunState]]) -> list[str]:
    """Says how many unfinished runs start over, since their first tasks were computed with other code."""
    changed = Counter(part for run, state in outdated for part in other_code(state.provenance, run))
    return [
        f"{f'{number} runs were' if number > 1 else '1 run was'} begun with other code for {part}, and "
        f"start{'' if number > 1 else 's'} over."
        for part, number in changed.items()
    ]


def _other_machine(resumed: Sequence[tuple[Run, RunState]], cluster: bool) -> list[str]:
    """Says how many runs are resumed under another PyTorch or, unless it is not known yet, on another processor."""
    changed: Counter[str] = Counter()
    for _, state in resumed:
        now = machine(str(state.provenance.get("engine", "native")))
        known = {key: value for key, value in now.items() if key == "torch" or not cluster}
        if difference := other_machine(state.provenance, known):
            changed[difference] += 1
    return [
        f"{f'{number} runs resume' if number > 1 else '1 run resumes'} {difference}: the numbers may differ from "
        "those of an uninterrupted run; force=true starts over."
        for difference, number in changed.items()
    ]


def _other_engine(finished: Sequence[tuple[Run, RunState]], left: Sequence[tuple[Run, Choice]]) -> list[str]:
    """Says how many runs are to be computed by another engine than finished seeds of the same sweep."""
    done = {run.identity for run, _ in finished}
    engines: dict[tuple[Part, ...], set[str]] = {}
    for run, state in finished:
        engines.setdefault(run.without_seed, set()).add(str(state.provenance.get("engine")))
    pairs = Counter(
        (choice.engine, other)
        for run, choice in left
        if run.identity not in done
        for other in engines.get(run.without_seed, set()) - {choice.engine}
    )
    return [
        f"engine={ours} computes {number} run{'s' * (number > 1)}, but engine={theirs} computed other seeds of "
        f"{'them' if number > 1 else 'it'}: engines round differently, and agree only statistically."
        for (ours, theirs), number in pairs.items()
    ]
