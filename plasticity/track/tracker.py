"""Trackers: parts that are told of a launch's runs, to show them somewhere."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from plasticity.part import Part

if TYPE_CHECKING:
    from plasticity.run import Run
    from plasticity.store import RunState
    from plasticity.store.rows import Row

LEAVE_SECONDS = 10.0
"""How long a launch that is stopped waits for its tracker."""


class Tracking(Protocol):
    """A tracker at work for one launch. It raises nothing; only `wait` and `leave` take any time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None:
        """Abandons what has not been tracked yet."""

    def began(self, run: "Run") -> None:
        """To be called when a run has begun, or has been resumed."""

    def ended(self, run: "Run", state: "RunState") -> None:
        """To be called when a run has ended, or was stopped."""

    def catch_up(self, runs: Iterable["Run"]) -> None:
        """To be called with the runs that were finished before."""

    def wait(self, stop: Callable[[], object], seconds: float | None = None) -> None:
        """Waits until everything is tracked or has failed; at most for `seconds`, or until `stop()` is true."""

    def leave(self) -> None:
        """To be called before a launch that was told to stop ends, with runs that it leaves."""

    def lines(self) -> list[str]:
        """Closing lines for the user: what was tracked, what was not, and why."""


@dataclass(frozen=True, kw_only=True)
class Tracker(Part):
    """Is told how runs begin, learn and end. It changes none of their numbers, and costs none of them its result.

    A tracker of one's own defines some of the methods `began`, `learnt` and `ended`. They are called in a thread of
    the launch that no run waits for. What they are told comes from the runs' folders: a new row arrives within a
    few seconds. If one of them raises an error, the launch says so once, in its closing lines, and the tracker is
    told nothing more.
    """

    def began(self, run: "Run", rows: "Sequence[Row]") -> None:
        """A run has begun, or begins anew: what was told of it before no longer counts.

        Args:
            run: the run.
            rows: its rows so far: none for a new run, those that are kept for one that is resumed.
        """

    def learnt(self, run: "Run", row: "Row") -> None:
        """A run has another row: the number of its first task and its measures, by the column's name."""

    def ended(self, run: "Run", state: "RunState") -> None:
        """A run has ended, or was stopped, and all of its rows have been told: see `state.status`."""

    def tracking(self, runs_dir: str, runs: "Sequence[Run]") -> Tracking:
        """The tracker at work for a launch.

        Args:
            runs_dir: the directory of runs.
            runs: every run of the launch.
        """
        from plasticity.track.telling import Telling

        return Telling(self, runs_dir)

    def of_experiment(self, name: str) -> Self:
        """The tracker for the runs of an experiment."""
        return self

    def without_effect(self) -> list[str]:
        """Sentences about keys that were chosen and play no role."""
        return []
