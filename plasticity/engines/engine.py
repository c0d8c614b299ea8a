"""What an engine is: a way to compute runs. Training says what to compute, an engine only how."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from plasticity.config import RunConfig
from plasticity.datasets.task import Task
from plasticity.network import State


@dataclass(frozen=True)
class TaskResult:
    """What a run did in one task.

    Attributes:
        accuracy: online accuracy, the share of examples that were classified rightly before their update,
            from 0 to 1; NaN for a squared error.
        loss: mean loss before the update.
        weight_magnitude: float64, [depth + 1]. Σ|w| of each layer without its biases, averaged over the
            task's steps, each measured after the step with its replacements.
        replaced: int64, [depth]. Number of units replaced in each hidden layer.
    """

    accuracy: float
    loss: float
    weight_magnitude: np.ndarray
    replaced: np.ndarray


class Learner(Protocol):
    """One run's network, learning."""

    def learn(self, task: Task, advance: Callable[[int], None]) -> TaskResult:
        """Takes one step per example of a task.

        Args:
            task: what to learn.
            advance: called now and then with the number of examples learnt since the last call; may raise,
                which abandons the task.

        Raises:
            Diverged: when the loss is no longer finite.
        """

    def state(self) -> State:
        """A copy of what has been learnt so far, between two tasks."""


class Run(Protocol):
    """What an engine sees of a run: a context manager that takes what goes wrong in it upon itself."""

    config: RunConfig

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def start(self) -> State | None:
        """The state to go on from, or None where there is nothing to do."""

    def tasks(self) -> Iterator[Task]:
        """The tasks still to be learnt, until there are none or training is to stop."""

    def advance(self, examples: int) -> None:
        """Says that more examples of the current task have been learnt."""

    def record(self, task: Task, result: TaskResult, learner: Learner) -> None:
        """Keeps the result of a task."""


class Engine(Protocol):
    """Computes a list of runs."""

    name: str
    learner: Callable[[RunConfig, State], Learner]

    def compute(self, runs: Iterable[Run]) -> None:
        """Computes runs to their end, in their order, as many at a time as the engine can."""


def follow(run: Run, learner: Callable[[RunConfig, State], Learner]) -> None:
    """Takes one run through its tasks."""
    with run:
        state = run.start()
        if state is None:
            return
        learning = learner(run.config, state)
        for task in run.tasks():
            run.record(task, learning.learn(task, run.advance), learning)
