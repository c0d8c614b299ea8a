"""What people see while runs are computed: bars on a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from plasticity.config import RunConfig

if TYPE_CHECKING:
    from plasticity.launcher.worker import Message

LOG_SECONDS = 15.0
"""Time between two lines where there is no terminal."""


@dataclass
class _Run:
    """What is known of one run."""

    label: str
    tasks: int
    steps: int
    steps_done: int = 0
    fresh_steps: int = 0
    began: float = 0.0
    tasks_done: int = 0
    accuracy: float | None = None
    bar: TaskID | None = None
    running: bool = False

    @property
    def speed(self) -> float:
        """Steps per second in this launch."""
        return self.fresh_steps / max(time.monotonic() - self.began, 1e-9)


class Display:
    """Shows the progress of a launch.

    Args:
        configs: the runs to be computed.
        labels: a name for each that tells them apart.
    """

    def __init__(self, configs: Sequence[RunConfig], labels: Sequence[str]):
        self.runs = {
            config.identity: _Run(label, config.dataset.tasks, config.steps)
            for config, label in zip(configs, labels, strict=True)
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

    def hear(self, message: "Message") -> None:
        """Takes in what a worker says."""
        run = self.runs[message.identity]
        run.tasks_done, run.accuracy = message.tasks_done, message.accuracy
        run.steps_done += message.examples
        run.running = message.kind != "ended"
        if message.kind == "began":
            run.began = time.monotonic()
        else:
            run.fresh_steps += message.examples
        if run.running and run.bar is None:
            run.bar = self.progress.add_task(run.label, total=run.steps, detail="", left="")
        if message.kind == "ended":
            self.ended += 1
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
        """Says that Ctrl-C was heard."""
        self.console.print("Stopping: writing checkpoints. Ctrl-C again ends it as it is.")

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
        return f"{counts}{done / self.steps:.1%}, {self._speed():,.0f} steps/s, {left}: {running}"


def _detail(run: _Run) -> str:
    accuracy = "" if run.accuracy is None else f"  accuracy {run.accuracy:.1%}"
    return f"task {run.tasks_done}/{run.tasks}{accuracy}"


def _left(steps: int, speed: float) -> str:
    return f"{clock(steps / speed)} left" if speed else "-:--:-- left"


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
