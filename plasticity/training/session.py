"""A session: what the runs that a process computes have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from plasticity.diagnostics import Diagnostic
from plasticity.engines import Choice
from plasticity.training.observer import Observer, Silent


@dataclass(frozen=True)
class Session:
    """What the runs of a process share.

    Attributes:
        observer: receives progress.
        engine: name of the engine, or "auto".
        engines: the engines that the launch decided on, by the identities of runs.
        diagnostics: what is measured before, during and after tasks.
        measure_finished: whether a finished run that lacks some of these is measured from its snapshots or, if they
            don't suffice, or are missing or ruined themselves, computed again.
        snapshot_every: number of tasks from one snapshot of a run's network to the next; 0 for that after the last
            task alone.
        stop: set it to make every run write a checkpoint and stop at its next opportunity.
        checkpoint_seconds: time between two checkpoints of a run.
        data_root: where the data sets are kept; None for the usual place.
        restart: the identity of a launch that starts its runs over, each once: when one of its jobs is requeued, a
            run that it has started over is resumed. None: nothing starts over.
    """

    observer: Observer = field(default_factory=Silent)
    engine: str = "auto"
    engines: Mapping[str, Choice] = field(default_factory=dict)
    diagnostics: Sequence[Diagnostic] = ()
    measure_finished: bool = False
    snapshot_every: int = 0
    stop: Event = field(default_factory=Event)
    checkpoint_seconds: float = 60.0
    data_root: str | None = None
    restart: str | None = None
