"""Trackers: parts that are told of a launch's runs, to show them somewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from plasticity.part import Part
from plasticity.track.tracking import Tracking

if TYPE_CHECKING:
    from plasticity.run import Run
    from plasticity.store import RunState
    from plasticity.store.rows import Row


@dataclass(frozen=True, kw_only=True)
class Tracker(Part):
    """Is told when runs begin, learn and end. It changes none of their numbers, and cannot cost a run its result.

    A tracker of your own defines some of the methods `began`, `learnt` and `ended`. They are called in a thread of
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

    @property
    def listens(self) -> bool:
        """Whether it defines any of the three."""
        kind = type(self)
        return (kind.began, kind.learnt, kind.ended) != (Tracker.began, Tracker.learnt, Tracker.ended)

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
        """Sentences about keys that were chosen but have no effect."""
        return []
