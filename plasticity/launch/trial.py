"""Trials of the users' own parts on made-up examples, before anything is launched with them.

Each method is called once, and what it returns is checked; then the reference engine takes one step. A launch
does this in a process of its own, which such code may crash or hang. For this package's own parts it does nothing.
"""

from collections.abc import Iterable
from dataclasses import replace

from plasticity.datasets import Dataset
from plasticity.engines import get
from plasticity.errors import Diverged, UserError
from plasticity.launch.expected import TRIALS, first_task
from plasticity.launch.tried import Tried, is_own, where
from plasticity.machine.processes import Died, Process
from plasticity.machine.progress import doing
from plasticity.networks.network import initial_network
from plasticity.part import Part, nested
from plasticity.run import Run
from plasticity.training import ram

SECONDS = 60.0
"""How long a trial may take."""

OPENING_SECONDS = 600.0
"""The same where a data set of the user's own is opened."""


def own(run: Run) -> dict[str, Part]:
    """The parts of a run that are the user's own, by config key."""
    return {key: part for key, part in nested(run.parts()).items() if is_own(part)}


def prepare(datasets: Iterable[Dataset], root: str | None, apart: Process) -> None:
    """Makes sure that the data of users' own data sets is on this machine; see `Dataset.prepare`.

    Raises:
        UserError: when it cannot be obtained.
    """
    for dataset in dict.fromkeys(datasets):
        if type(dataset).prepare is not Dataset.prepare:
            apart.ask(type(dataset).prepare, dataset, root)
            _answered(apart, f"dataset={dataset.name}", "prepares its data", None)


def try_own_parts(runs: Iterable[Run], root: str | None, apart: Process) -> None:
    """Tries the users' own parts of some runs, each set of them once.

    Args:
        runs: the runs.
        root: where data sets are kept; None for the usual place.
        apart: the process to do it in.

    Raises:
        UserError: for a part that cannot take a step, naming its class and the method.
    """
    kinds: dict[tuple[str, bool], Run] = {}
    for run in runs:
        if parts := own(run):
            kinds.setdefault((repr(sorted(parts.items())), run.dataset.batch_size > 1), run)
    if not kinds:
        return
    with doing("Trying your own parts on made-up examples"):
        apart.ask(get, "reference")  # PyTorch takes seconds, on some disks minutes
        apart.answer()
        for run in kinds.values():
            _try(run, root, apart)


def _try(run: Run, root: str | None, apart: Process) -> None:
    parts = own(run)
    seconds = OPENING_SECONDS if "dataset" in parts else SECONDS
    for key, part in parts.items():
        apart.ask(check_part, run, key, root)
        _answered(apart, f"{key}={part.name}", "can be tried on made-up examples", seconds)
    apart.ask(step, run, root)
    named = ", ".join(f"{key}={part.name}" for key, part in parts.items())
    _answered(apart, named, "can take a step on made-up examples", seconds)


def _answered(apart: Process, named: str, can: str, seconds: float | None) -> None:
    try:
        apart.answer(seconds)
    except (Died, TimeoutError) as error:
        why = str(error) or f"it did not return within {seconds:.0f} s"
        raise UserError(f"{named} is refused: it must be a part that {can}, but {why}.") from error


def check(run: Run, root: str | None) -> None:
    """Tries each of a run's parts that are the user's own, in this process.

    Raises:
        ConfigError: for one that does not do what it must, naming its class and the method.
    """
    for key in own(run):
        check_part(run, key, root)


def check_part(run: Run, key: str, root: str | None) -> None:
    """Tries one part of a run, by its config key. Raises as `check`."""
    from torch.random import fork_rng

    part = nested(run.parts())[key]
    with fork_rng(devices=[]):
        for kind, trial in TRIALS.items():
            if isinstance(part, kind):
                trial(Tried(key, part, kind), run, root)


def step(run: Run, root: str | None) -> None:
    """Takes one step of a run with the reference engine.

    Raises:
        UserError: when that fails.
    """
    try:
        ram.check(run)
    except UserError:
        return  # reported when the run is computed
    task = first_task(run, root)
    task = replace(task, order=task.order[: run.dataset.batch_size])
    try:
        get("reference").learner(run, initial_network(run)).learn(task, lambda steps: None)
    except Diverged:
        pass  # this is not about what a part returns either
    except Exception as error:
        named = ", ".join(f"{key}={part.name}" for key, part in own(run).items())
        raise UserError(
            f"{named} is refused: a step on made-up examples ended with {type(error).__name__}: {error}"
            f"{where(error, own(run).values())}."
        ) from error
