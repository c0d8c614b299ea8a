"""Telling a tracker about a launch's runs, from their folders, in a thread that no run waits for."""

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Self

from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.store.rows import Row, number
from plasticity.track.tracking import LEAVE_SECONDS

if TYPE_CHECKING:
    from plasticity.track.tracker import Tracker

LOOK_SECONDS = 2.0
"""Time between two looks at the rows of the runs that are being computed."""

PATIENCE = 60.0
"""Seconds that a launch waits at its end for a call to return."""


@dataclass
class _Told:
    """A run that is being computed, and the rows that the tracker knows, as text."""

    run: Run
    rows: list[dict[str, str]]


class Telling:
    """A `Tracking` that calls the three methods of a tracker.

    Args:
        tracker: the tracker.
        runs_dir: the directory of runs.
    """

    def __init__(self, tracker: "Tracker", runs_dir: str):
        self.tracker = replace(tracker)  # what it remembers is not a setting
        self.runs = Path(runs_dir).absolute()
        self.error: str | None = None
        self._waiting: queue.SimpleQueue[tuple[Run, RunState | None] | None] = queue.SimpleQueue()
        self._asked, self._done, self._calls = 0, 0, 0
        self._told: dict[str, _Told] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(0.0 if self._pending() else LEAVE_SECONDS)

    def began(self, run: Run) -> None:
        """To be called when a run has begun, or has been resumed."""
        self._put(run, None)

    def ended(self, run: Run, state: RunState) -> None:
        """To be called when a run has ended, or was stopped."""
        self._put(run, state)

    def catch_up(self, runs: Iterable[Run]) -> None:
        """Does nothing: a tracker is told of the runs that a launch computes."""

    def wait(self, stop: Callable[[], object], seconds: float | None = None) -> None:
        """Waits until everything is told, as in `Tracking`, or a call takes more than `PATIENCE`."""
        now, calls = time.monotonic(), self._calls
        deadline, patience = None if seconds is None else now + seconds, now + PATIENCE
        while self._pending() and not stop() and now < patience and (deadline is None or now < deadline):
            time.sleep(0.05)
            now = time.monotonic()
            if self._calls != calls:
                calls, patience = self._calls, now + PATIENCE

    def leave(self) -> None:
        """Says that the runs that are left are stopped, if that can be done in a few seconds."""
        for told in list(self._told.values()):
            self._put(told.run, RunFolder.of(self.runs, told.run).state(told.run))
        self.wait(lambda: False, LEAVE_SECONDS)

    def lines(self) -> list[str]:
        """What went wrong, if anything did."""
        why = self.error or ("it did not return in time" if self._pending() else None)
        return [f"tracker={self.tracker.name} was not told everything: {why}."] if why else []

    def _pending(self) -> bool:
        return self._done < self._asked

    def _put(self, run: Run, state: RunState | None) -> None:
        if not self.tracker.listens:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._asked += 1
        self._waiting.put((run, state))

    def _work(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=LOOK_SECONDS if self._told else None)
            except queue.Empty:
                self._guarded(self._look)
                continue
            if item is None:
                return
            self._guarded(self._tell, *item)
            self._done += 1

    def _guarded(self, function: Callable[..., None], *arguments: object) -> None:
        """Does something unless it failed before."""
        if self.error is not None:
            return
        try:
            function(*arguments)
        except BaseException as error:  # the tracker may raise anything, such as SystemExit
            place = extract_tb(error.__traceback__)[-1]
            self.error = f"{type(error).__name__}: {error} (line {place.lineno} of {place.filename})"
            self._told.clear()

    def _look(self) -> None:
        for told in list(self._told.values()):
            self._catch_up(told)

    def _tell(self, run: Run, state: RunState | None) -> None:
        """Tells how a run began or, with a state, ended."""
        if state is None or run.identity not in self._told:
            self._begin(run)
        if state is not None:
            self._catch_up(self._told[run.identity])
            self._call(self.tracker.ended, run, state)
            del self._told[run.identity]

    def _begin(self, run: Run) -> None:
        rows = RunFolder.of(self.runs, run).rows()
        self._told[run.identity] = _Told(run, rows)
        self._call(self.tracker.began, run, [_numbers(row) for row in rows])

    def _catch_up(self, told: _Told) -> None:
        """Tells the new rows of a run; if others have changed, as when it was measured anew, it begins again."""
        rows, known = RunFolder.of(self.runs, told.run).rows(), len(told.rows)
        if rows[:known] != told.rows:
            self._begin(told.run)
            return
        for row in rows[known:]:
            self._call(self.tracker.learnt, told.run, _numbers(row))
        told.rows = rows

    def _call(self, method: Callable[..., None], *arguments: object) -> None:
        method(*arguments)
        self._calls += 1


def _numbers(row: dict[str, str]) -> Row:
    return {column: number(value) for column, value in row.items()}
