"""The interface of engines, which compute runs. Training says what to learn, an engine only how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plasticity.datasets import Task
from plasticity.networks.network import Network
from plasticity.run import Run


@dataclass(frozen=True)
class StepLosses:
    """The mean loss of each step's examples, for what is measured in steps.

    Attributes:
        before: before the step: float64, [steps].
        after: after the step and its replacements: float64, [steps].
    """

    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class TaskResult:
    """The results of a run in one task. Means are over the task's examples or steps.

    Attributes:
        score: mean score of the examples, each predicted before the update: the online accuracy, from 0 to 1, or
            the error.
        loss: mean loss before the update.
        weight_magnitude: float64, [depth + 1]. Σ|w| of each layer without its biases, averaged over the
            task's steps; measured after each step and its replacements.
        replaced: int64, [depth]. Number of units replaced in each hidden layer.
        losses: of each step's examples, before and after it; None if they were not asked for.
    """

    score: float
    loss: float
    weight_magnitude: np.ndarray
    replaced: np.ndarray
    losses: StepLosses | None = None


class Learner(Protocol):
    """The network of one run while it learns."""

    def learn(self, task: Task, advance: Callable[[int], None], losses: bool = False) -> TaskResult:
        """Takes the steps of a task.

        Args:
            task: what to learn.
            advance: called now and then with the number of steps taken since the last call; may raise, which
                abandons the task.
            losses: whether to predict each step's examples again after the step, for `TaskResult.losses`. This
                changes no other number.

        Raises:
            Diverged: when the loss is no longer finite.
        """

    def score(self, task: Task) -> float:
        """The mean score of all examples of a task, such as `Task.test`, without learning from them."""

    def activations(self, task: Task, examples: int) -> list[np.ndarray]:
        """h of each hidden layer for a task's first examples, without learning from them.

        Args:
            task: the task that the examples are from.
            examples: how many of them; all, if the task is shorter.

        Returns:
            for each hidden layer: float32, [examples, units]
        """

    def network(self) -> Network:
        """A copy of what has been learnt so far, between two tasks."""

    def load(self, network: Network) -> None:
        """Takes over a network of the same run, between two tasks, as if the learner had been made with it."""


class Engine(Protocol):
    """A way to compute runs.

    Attributes:
        name: as in `engine.name`.
    """

    name: str

    def unsupported(self, run: Run) -> str | None:
        """Why it cannot compute a run, such as "regulariser=l2_init has no native form"; None if it can."""

    def learner(self, run: Run, network: Network) -> Learner:
        """A learner that continues from a network."""
