"""What people see while runs are computed: bars on a terminal, occasional lines in a log file."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from plasticity.composition.labels import named
from plasticity.machine.progress import clock
from plasticity.objectives import Objective
from plasticity.run import Run
from plasticity.store import RunState

if TYPE_CHECKING:
    from rich.progress import TaskID

LOG_SECONDS = 15.0
"""Time between two lines if there is no terminal."""


@dataclass(frozen=True)
class Message:
    """Progress of a run.

    Attributes:
        kind: "began", "progress" or "ended".
        identity: the run.
        tasks_done: number of tasks learnt.
        steps: number of steps taken since the last message; at "began", those of earlier attempts.
        score: the score of the last row.
        state: how the run ended.
    """

    kind: str
    identity: str
    tasks_done: int = 0
    steps: int = 0
    score: float | None = None
    state: RunState | None = None


@dataclass
class _Run:
    """What is known about one run."""

    label: str
    tasks: int
    steps: int
    objective: Objective
    steps_done: int = 0
    fresh_steps: int = 0
    began: float = 0.0
    tasks_done: int = 0
    score: float | None = None
    bar: "TaskID | None" = None
    running: bool = False

    @property
    def speed(self) -> float:
        """Steps per second in this launch."""
        return self.fresh_steps / max(time.monotonic() - self.began, 1e-9)


class Display:
    """Shows the progress of a launch.

    Args:
        runs: the runs to be computed.
        labels: a name for each that tells them apart.
    """

    def __init__(self, runs: Sequence[Run], labels: Sequence[str]):
        from rich.console import Console  # what computes nothing, such as a dry run, starts sooner without it
        from rich.progress import BarColumn, Progress, TextColumn

        self.runs = {
            run.identity: _Run(label, run.dataset.tasks, run.steps, run.dataset.objective)
            for run, label in zip(runs, labels, strict=True)
        }
        self.steps = sum(run.steps for run in self.runs.values())
        self.ended = 0
        self.console = Console(file=sys.stderr)
        self.terminal = self.console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            disable=not self.terminal,
            transient=len(self.runs) > 1,
            auto_refresh=False,
        )
        self.overall: TaskID | None = None

    def __enter__(self) -> "Display":
        self.began = self.logged = time.monotonic()
        self.progress.start()
        if len(self.runs) > 1:
            self.overall = self.progress.add_task("all", total=self.steps, detail="", left="")
        return self

    def __exit__(self, *error: object) -> None:
        self._draw()
        self.progress.stop()

    def hear(self, message: Message) -> None:
        """Updates the display from a worker's message."""
        run = self.runs[message.identity]
        run.tasks_done, run.score = message.tasks_done, message.score
        run.steps_done += message.steps
        run.running = message.kind != "ended"
        if message.kind == "began":
            run.began = time.monotonic()
        else:
            run.fresh_steps += message.steps
        if run.running and run.bar is None:
            run.bar = self.progress.add_task(run.label, total=run.steps, detail="", left="")
        if message.kind == "ended":
            self.ended += message.state is None or not message.state.is_held
            if run.bar is not None and len(self.runs) > 1:
                self.progress.remove_task(run.bar)
                run.bar = None

    def refresh(self) -> None:
        """Redraws the bars, or writes a line when one is due."""
        if self.terminal:
            self._draw()
        elif time.monotonic() - self.logged > LOG_SECONDS:
            self.logged = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def stopping(self) -> None:
        """Acknowledges Ctrl-C."""
        again = " Ctrl-C again stops at once, without them." if self.terminal else ""
        self.say(f"Stopping: writing checkpoints.{again}")

    def say(self, sentence: str) -> None:
        """Prints a sentence beside the bars."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def name(self, run: Run) -> str:
        """What a run is called, and its identity."""
        return named(run, self.runs[run.identity].label)

    def _draw(self) -> None:
        for run in self.runs.values():
            if run.bar is not None:
                speed = f"  {run.speed:,.0f} steps/s" if self.overall is None else ""
                left = _left(run.steps - run.steps_done, run.speed)
                self.progress.update(
                    run.bar, completed=run.steps_done, detail=_detail(run) + speed, left=left
                )
        if self.overall is not None:
            detail = f"{self.ended}/{len(self.runs)} runs  {self._speed():,.0f} steps/s"
            left = _left(self.steps - self._steps_done(), self._speed())
            self.progress.update(self.overall, completed=self._steps_done(), detail=detail, left=left)
        self.progress.refresh()

    def _steps_done(self) -> int:
        return sum(run.steps_done for run in self.runs.values())

    def _speed(self) -> float:
        """Steps per second of all runs together, since the launch."""
        fresh = sum(run.fresh_steps for run in self.runs.values())
        return fresh / max(time.monotonic() - self.began, 1e-9)

    def _line(self) -> str:
        running = "; ".join(f"{run.label} {_detail(run)}" for run in self.runs.values() if run.running)
        counts = f"{self.ended}/{len(self.runs)} runs, " if len(self.runs) > 1 else ""
        done = self._steps_done()
        left = _left(self.steps - done, self._speed())
        pace = f"{self._speed():,.0f} steps/s, {left}: {running}" if running else "waiting"
        return f"{counts}{done / self.steps:.1%}, {pace}"


class Bar:
    """An observer that shows the progress of one run in its own process.

    Args:
        run: the run.
        shown: whether to show anything.
    """

    def __init__(self, run: Run, shown: bool = True):
        self.display = Display([run], [run.identity]) if shown else None
        self.tasks_done = 0
        self.score: float | None = None

    def __enter__(self) -> Self:
        if self.display is not None:
            self.display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self.display is not None:
            self.display.__exit__(*error)

    def began(self, identity: str, tasks_done: int, steps_done: int) -> None:
        self._tell(Message("began", identity, tasks_done, steps_done))

    def advanced(self, identity: str, steps: int) -> None:
        self._tell(Message("progress", identity, self.tasks_done, steps, self.score))

    def learnt(self, identity: str, tasks_done: int, score: float) -> None:
        self.tasks_done, self.score = tasks_done, score
        self._tell(Message("progress", identity, tasks_done, 0, self.score))

    def ended(self, identity: str, state: RunState) -> None:
        self._tell(Message("ended", identity, self.tasks_done, 0, self.score, state))

    def _tell(self, message: Message) -> None:
        if self.display is not None:
            self.display.hear(message)
            self.display.refresh()


def _detail(run: _Run) -> str:
    objective = run.objective
    score = "" if run.score is None else f"  {objective.score_name} {objective.shown(run.score)}"
    return f"task {run.tasks_done}/{run.tasks}{score}"


def _left(steps: int, speed: float) -> str:
    return f"{clock(steps / speed)} left" if speed else "-:--:-- left"
