"""The base class of diagnostics: measurements before, during and after a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plasticity.diagnostics.view import View
from plasticity.part import Part, integer

if TYPE_CHECKING:
    from plasticity.datasets import Task
    from plasticity.engines import Learner, TaskResult
    from plasticity.run import Run


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Part):
    """A measurement, taken for every `every`th task, starting with the first: before, during or after it.

    It does not change the run's numbers, and draws nothing from the run's random streams.

    Attributes:
        every: number of tasks from one measurement to the next.
    """

    every: int = integer(1, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        """What is measured just before the task is learnt: columns of its row, such as "dead_units.layer_1"."""
        return {}

    def during(self, result: "TaskResult") -> dict[str, float]:
        """What is measured during its steps: further columns of its row.

        For a diagnostic that defines this, engines keep `result.losses`. It cannot be measured from snapshots.
        """
        return {}

    def after(self, view: View) -> dict[str, float]:
        """What is measured once it has been learnt: further columns of its row."""
        return {}

    @classmethod
    def is_of_steps(cls) -> bool:
        """Whether anything is measured in the steps of a task."""
        return cls.during is not Diagnostic.during

    def undefined(self, run: "Run") -> list[int]:
        """The layers, numbered from 1, for which it is not defined in a run, and has no columns."""
        return []

    def remarks(self, run: "Run") -> list[str]:
        layers = self.undefined(run)
        if not layers:
            return []
        named = f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
        return [
            f"diagnostics={self.name} is not defined for {named} of model={run.model.name}, and left out there."
        ]

    def due(self, task: int) -> bool:
        """Whether the measurement is taken for a task."""
        return task % self.every == 0


class Measurement:
    """What some diagnostics measure for one task.

    Args:
        diagnostics: what to measure, if it is due.
        run: the run.
        learner: its network.
        task: the task.
        force: whether to take all of them, even those that are not due.
    """

    def __init__(
        self,
        diagnostics: Sequence[Diagnostic],
        run: "Run",
        learner: "Learner",
        task: "Task",
        force: bool = False,
    ):
        self.due = [one for one in diagnostics if force or one.due(task.number)]
        self.run, self.learner, self.task = run, learner, task

    @property
    def of_steps(self) -> bool:
        """Whether anything is measured in the task's steps."""
        return any(one.is_of_steps() for one in self.due)

    def before(self) -> dict[str, float | int]:
        """The columns measured before the task is learnt."""
        view = View(self.run, self.learner, self.task)
        return {name: _plain(value) for one in self.due for name, value in one(view).items()}

    def during(self, result: "TaskResult") -> dict[str, float | int]:
        """The columns measured while it is learnt."""
        return {name: _plain(value) for one in self.due for name, value in one.during(result).items()}

    def after(self) -> dict[str, float | int]:
        """The columns measured after it is learnt."""
        view = View(self.run, self.learner, self.task)
        return {name: _plain(value) for one in self.due for name, value in one.after(view).items()}


def lacking(measured: Mapping[str, Mapping[str, Any]], diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics that were not taken, or not for all tasks for which they are due.

    Args:
        measured: the config values of the diagnostics that were taken, by name.
        diagnostics: the diagnostics asked for.
    """
    return [one for one in diagnostics if not _covers(measured.get(one.name, {}), one.values())]


def differing(
    measured: Mapping[str, Mapping[str, Any]], diagnostics: Sequence[Diagnostic]
) -> list[Diagnostic]:
    """The diagnostics that were not taken with these settings, whatever the tasks; arguments as in `lacking`."""
    return [one for one in diagnostics if _settings(measured.get(one.name, {})) != _settings(one.values())]


def _covers(taken: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    every = taken.get("every")
    same = _settings(taken) == _settings(asked)
    return same and isinstance(every, int) and every > 0 and asked["every"] % every == 0


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The config values of a diagnostic that decide what it measures, not for which tasks."""
    return {key: value for key, value in values.items() if key != "every"}


def _plain(value: float) -> float | int:
    """A number as a row holds it."""
    return int(value) if hasattr(value, "__index__") else float(value)
