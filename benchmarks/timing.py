"""Timing: whatever is compared is timed in turn, round after round."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from plasticity.datasets.task import Task
from plasticity.engines import Learner

K = TypeVar("K")


@dataclass(frozen=True)
class Timing:
    """How long things are timed.

    Attributes:
        rounds: number of rounds, in each of which everything is timed once.
        steps: steps in a repetition.
        repetitions: number of repetitions in a round, whose median is its time.
    """

    rounds: int = 5
    steps: int = 2_000
    repetitions: int = 5

    @property
    def slow_steps(self) -> int:
        """Steps in a repetition of anything that takes about a millisecond per step."""
        return max(self.steps // 20, 1)

    def in_turn(self, timers: Mapping[K, Callable[[], float]]) -> dict[K, list[float]]:
        """What each of some timers gave in each round."""
        rounds = [{name: timer() for name, timer in timers.items()} for _ in range(self.rounds)]
        return {name: [each[name] for each in rounds] for name in timers}

    def per_step(self, learner: Learner, task: Task, steps: int, batch: int = 1) -> float:
        """Microseconds per step of an engine, in repetitions of so many steps, one after the other."""

        def repetition(number: int) -> float:
            some = part(task, number, steps, batch)
            return seconds(lambda: learner.learn(some, ignore)) / (some.examples // batch)

        return statistics.median(repetition(number) for number in range(self.repetitions)) * 1e6


def seconds(work: Callable[[], object]) -> float:
    """The time that a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ignore(count: int) -> None:
    """Progress is not shown."""


def part(task: Task, number: int, steps: int, batch: int = 1) -> Task:
    """The examples of some steps of a task, or all of a shorter one; `number` says which, over and over."""
    examples = min(steps * batch, task.examples)
    first = number % (task.examples // examples) * examples
    return replace(
        task, order=task.order[first : first + examples], first_step=task.first_step + first // batch
    )


def quartiles(times: list[float]) -> str:
    """The first and the third quartile, as they are printed."""
    if len(times) == 1:
        return "–"
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return f"{low:.2f}–{high:.2f}"
