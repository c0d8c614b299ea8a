"""How runs are computed, shown and stored: everything in `conf/` that changes no number."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from plasticity.engines import ENGINES
from plasticity.schema import build, choice, flag, integer, number, text
from plasticity.tracking import TRACKERS


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Which engine computes a run: the numbers are the same."""

    name: str = choice("auto", ("auto", *ENGINES))


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """Where a finished run is shown. `every` thins its rows: 10 publishes every 10th task."""

    name: str = choice("none", tuple(TRACKERS))
    project: str = text("plasticity")
    entity: str | None = text(None, optional=True)
    mode: str = choice("offline", ("offline", "online"))
    every: int = integer(10, at_least=1)


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """How a launch goes about its runs.

    Attributes:
        dry_run: say what would be computed, and stop.
        workers: runs computed at a time; None for one per core.
        impossible: what becomes of a combination that replaces a layer that its network does not have:
            "refuse" it, and the whole launch with it, or take it as "absent".
        runs_per_job: on a cluster, runs packed into a job; None to go by `minutes_per_job`.
        minutes_per_job: on a cluster, about how long a job is to take.
        max_parallel_jobs: on a cluster, the most jobs that run at a time; None for no limit.
        wait: on a cluster, stay and show progress until all jobs are done.
        freeze: on a cluster, compute with the code as it is now, whatever is edited afterwards.
    """

    dry_run: bool = flag(False)
    workers: int | None = integer(None, at_least=1, optional=True)
    impossible: str = choice("refuse", ("refuse", "absent"))
    runs_per_job: int | None = integer(None, at_least=1, optional=True)
    minutes_per_job: float = number(60.0, above=0)
    max_parallel_jobs: int | None = integer(None, at_least=1, optional=True)
    wait: bool = flag(False)
    freeze: bool = flag(True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Engine, tracker, folders and launch."""

    runs_dir: str = text("runs")
    data_root: str | None = text(None, optional=True)
    force: bool = flag(False)
    checkpoint_seconds: float = number(60.0, above=0)
    engine: EngineSettings = field(default_factory=EngineSettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    launch: LaunchSettings = field(default_factory=LaunchSettings)

    @property
    def runs(self) -> Path:
        """The directory of runs, absolute."""
        return Path(self.runs_dir).expanduser().absolute()


SECTIONS: dict[str, type] = {
    "engine": EngineSettings,
    "tracker": TrackerSettings,
    "launch": LaunchSettings,
}

KEYS = tuple(entry.name for entry in fields(Settings))
"""The top-level config keys that are settings."""


def settings(values: Mapping[str, Any]) -> Settings:
    """The settings in a composed config.

    Raises:
        ConfigError: naming the first key that is unknown, or whose value is invalid.
    """
    top = {key: value for key, value in values.items() if key not in SECTIONS}
    plain = build(Settings, top)
    sections: dict[str, Any] = {
        name: build(kind, values.get(name, {}), f"{name}.") for name, kind in SECTIONS.items()
    }
    chosen = {key: getattr(plain, key) for key in top}
    return Settings(**chosen, **sections)
