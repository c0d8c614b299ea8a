"""What every diagnostic is: a measurement at the boundary of two tasks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plasticity.part import Part, integer

if TYPE_CHECKING:
    from plasticity.datasets import Task
    from plasticity.network import Network
    from plasticity.run import Run


@dataclass(frozen=True)
class View:
    """What a diagnostic may look at.

    Attributes:
        run: the run.
        network: the network between two tasks, a copy.
        task: the task that it is about to learn, or has just learnt.
    """

    run: "Run"
    network: "Network"
    task: "Task"

    def inputs(self, examples: int = 1_000) -> np.ndarray:
        """The first examples of the task, or all of a shorter one: float32, [examples, inputs]."""
        return np.stack([self.task.example(number) for number in range(min(examples, self.task.examples))])


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Part):
    """A measurement, taken before every `every`th task is learnt, starting with the first.

    Attributes:
        every: number of tasks from one measurement to the next.
    """

    every: int = integer(1, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        """The columns that the row of the task gets, by name, such as "dead_units.layer_1"."""
        raise NotImplementedError

    def due(self, task: int) -> bool:
        """Whether it is measured before a task."""
        return task % self.every == 0
