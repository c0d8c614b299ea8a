"""The command that measures finished runs from their snapshots: python -m plasticity.diagnose --help."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from plasticity.composition.compose import compose_settings
from plasticity.datasets import prepare_data
from plasticity.diagnostics import Diagnostic, differing
from plasticity.errors import Damaged, UserError, reason
from plasticity.machine.cores import cores
from plasticity.machine.files import exists
from plasticity.machine.interrupt import interruptible
from plasticity.machine.output import expect_no_reader
from plasticity.machine.processes import Died, computed
from plasticity.machine.progress import tracked
from plasticity.store import Row, RunFolder, RunState, run_folders
from plasticity.training.measuring import add, from_snapshot, merged, served


class Subject:
    """A finished run that is being measured.

    Attributes:
        tasks: the tasks before which its network is known.
        diagnostics: what is measured.
        found: what was measured on each of these networks: columns by task.
        problem: why it cannot be measured; None if it can.
    """

    def __init__(self, folder: RunFolder, diagnostics: Sequence[Diagnostic]):
        """Raises Damaged, OSError or UserError if the run cannot be measured."""
        self.folder, self.run = folder, folder.run()
        if not folder.snapshots():
            raise UserError("it has no snapshots")
        self.tasks = [0, *folder.snapshots()]
        with self.claimed() as state:
            clashing = [one for one in differing(state.measured, diagnostics) if one.name in state.measured]
        replaced = served(folder, self.run, clashing)  # values with other settings must all be replaced
        self.diagnostics = [one for one in diagnostics if one not in clashing or one in replaced]
        self.found: dict[int, dict[int, Row]] = {}
        self.problem: str | None = None

    @contextmanager
    def claimed(self) -> Iterator[RunState]:
        """Claims the run, and yields its state.

        Raises:
            UserError: when another process computes the run, or it is not finished.
        """
        with self.folder.claim() as held:
            if not held:
                raise UserError(f"it is being computed by {self.folder.holder() or 'another process'}")
            state = self.folder.state(self.run)
            if not state.is_finished:
                raise UserError(f"it is {state.status}")
            yield state

    def write(self, data_root: str | None) -> None:
        """Adds what was measured on all networks to the run's rows. Raises as `claimed`."""
        columns = merged(self.found[task] for task in sorted(self.found))
        with self.claimed() as state:
            taken = served(self.folder, self.run, self.diagnostics)
            add(self.folder, self.run, state, columns, taken, data_root)


def folders(paths: Sequence[Path]) -> list[RunFolder]:
    """The folders of runs: those given, and those in the directories given.

    Raises:
        UserError: for a path with no run.
    """
    found: list[RunFolder] = []
    for path in paths:
        here = [RunFolder(path)] if exists(path / "config.yaml") else run_folders(path)
        if not here:
            raise UserError(f"There are no runs in {path}.")
        found += here
    return found


def diagnose(
    chosen: Sequence[RunFolder], diagnostics: Sequence[Diagnostic], data_root: str | None = None
) -> tuple[int, list[str]]:
    """Measures finished runs from their snapshots, as many at a time as there are cores, with a progress bar.

    A run's rows are replaced once all its snapshots are measured; values that a row already has are kept.

    Args:
        chosen: the folders of the runs.
        diagnostics: what to measure, for each snapshot.
        data_root: where data sets are kept; None for the usual place.

    Returns:
        how many runs were measured; and sentences: their number, and which were not, and why

    Raises:
        UserError: when none of the diagnostics can be measured from snapshots.
    """
    said = [
        f"{one.name} is left out: it is measured while a run learns; launch.missing_measures=compute adds it."
        for one in diagnostics
        if one.is_of_steps()
    ]
    diagnostics = [one for one in diagnostics if not one.is_of_steps()]
    if not diagnostics:
        raise UserError(
            "\n".join([*said, "No diagnostic is left to measure; diagnostics=basic chooses some."])
        )
    subjects = [subject for folder in chosen if (subject := _subject(folder, diagnostics, said)) is not None]
    prepare_data((subject.run.dataset for subject in subjects), data_root)
    _measure(subjects, data_root)
    said += [
        f"  {subject.folder.path}: {subject.problem}." for subject in subjects if subject.problem is not None
    ]
    done = [subject for subject in subjects if subject.problem is None]
    snapshots = sum(len(subject.tasks) - 1 for subject in done)
    counts = f"from {snapshots} snapshot{'s' * (snapshots != 1)}"
    return len(done), [*said, f"{len(done)} of {len(chosen)} runs measured, {counts}."]


def _subject(folder: RunFolder, diagnostics: Sequence[Diagnostic], said: list[str]) -> Subject | None:
    """A run to measure; None if it cannot be measured, with the reason added to `said`."""
    try:
        subject = Subject(folder, diagnostics)
    except (OSError, Damaged, UserError) as error:
        said.append(f"  {folder.path}: {str(error).rstrip('.')}.")
        return None
    if left := [one.name for one in diagnostics if one not in subject.diagnostics]:
        said.append(
            f"  {folder.path}: {', '.join(left)}: measured with other settings before, and there are too few "
            "snapshots to replace all values; launch.missing_measures=compute replaces them."
        )
    return subject if subject.diagnostics else None


def _measure(subjects: Sequence[Subject], data_root: str | None) -> None:
    work = [(subject, task) for subject in subjects for task in subject.tasks]
    calls = [(one.folder.path, task, one.diagnostics, data_root, True) for one, task in work]
    for position, found in tracked(computed(cores(), from_snapshot, calls), "measuring", len(work)):
        _take(found, *work[position], data_root)


def _take(found: dict[int, Row] | Exception, subject: Subject, task: int, data_root: str | None) -> None:
    """Takes what was measured on a network; once that of all is there, adds it to the run's rows."""
    try:
        if isinstance(found, Exception):
            raise found
        subject.found[task] = found
        if len(subject.found) == len(subject.tasks):
            subject.write(data_root)
    except (Died, UserError) as error:  # as `computed` has them
        subject.problem = str(error).rstrip(".")
    except (OSError, Damaged, MemoryError) as error:
        subject.problem = reason(error)
    except Exception as error:  # of any kind: only this run fails
        subject.problem = f"{type(error).__name__}: {error}"


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis diagnose",
        description="Measures finished runs from their snapshots, and adds the measures to their rows as columns.",
        epilog="For example: "
        "python -m plasticity.analysis diagnose runs diagnostics=full diagnostics.rank.examples=500",
    )
    parser.add_argument(
        "given",
        nargs="*",
        metavar="DIR | KEY=VALUE",
        help="directories of runs, or the folders of single runs (default: runs); and what to measure, as given to "
        "launch.py",
    )
    parser.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="a further config directory, as given to launch.py"
    )
    arguments = parser.parse_intermixed_args()
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where users keep the modules of their own parts
    overrides = [argument for argument in arguments.given if "=" in argument]
    paths = [Path(argument) for argument in arguments.given if "=" not in argument]
    settings = compose_settings(overrides, arguments.config_dir)
    chosen = folders(paths or [settings.runs])
    measured, said = diagnose(chosen, settings.diagnostics, settings.data_root)
    print("\n".join(said))
    sys.exit(0 if measured == len(chosen) else 1)


if __name__ == "__main__":
    expect_no_reader()
    try:
        with interruptible():
            main()
    except UserError as error:
        sys.exit(str(error))
