"""How runs are computed, shown and stored: everything in `conf/` that does not change a run's numbers.

The defaults are in `conf/config.yaml`.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from plasticity.diagnostics import Diagnostic
from plasticity.engines import ENGINES
from plasticity.errors import ConfigError
from plasticity.part import build, checked, choice, flag, integer, number, text, to_part
from plasticity.track import trackers as trackers  # so that they are found by their names
from plasticity.track.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Which engine computes a run. Engines round differently: their runs agree only statistically.

    Attributes:
        name: the engine; "auto" for the fastest that can compute a run and is worth starting.
    """

    name: str = choice(options=("auto", *ENGINES))


@dataclass(frozen=True, kw_only=True)
class SnapshotSettings:
    """When a run's network is kept.

    Attributes:
        every: keep the network before every Nth task; 0 for none. The one after the last task is always kept.
    """

    every: int = integer(at_least=0)


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """How a launch computes its runs.

    Attributes:
        dry_run: show what would be computed, and stop.
        workers: runs computed at the same time; None for one per core.
        impossible: what to do with a combination that replaces a layer that its network does not have:
            "refuse" it, and with it the whole launch, or treat it as "absent".
        runs_per_job: on a cluster, runs packed into a job; None to derive it from `minutes_per_job`.
        minutes_per_job: on a cluster, about how long a job should take.
        max_parallel_jobs: on a cluster, the most jobs that run at the same time; None for no limit.
        missing_measures: what to do for finished runs that lack some of the diagnostics or snapshots asked for:
            "leave" them, or "compute" them: from their snapshots or, if those don't suffice or are ruined, by
            computing the run again.
        wait: on a cluster, stay and show progress until all jobs are done.
        freeze: on a cluster, compute with the code as it is now, even if it is edited afterwards.
    """

    dry_run: bool = flag()
    workers: int | None = integer(at_least=1, optional=True)
    impossible: str = choice(options=("refuse", "absent"))
    runs_per_job: int | None = integer(at_least=1, optional=True)
    minutes_per_job: float = number(at_least=1)
    max_parallel_jobs: int | None = integer(at_least=1, optional=True)
    missing_measures: str = choice(options=("leave", "compute"))
    wait: bool = flag()
    freeze: bool = flag()


def _diagnostics(key: str, value: Any) -> tuple[Diagnostic, ...]:
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "a group of diagnostics, each under a name of its own")
    return tuple(to_part(Diagnostic, one, f"{key}.{name}") for name, one in value.items())


def _directory(default: Any = MISSING, *, optional: bool = False) -> Any:
    """A field that holds the path of a directory, in which ~ at the beginning is a user's home directory."""
    check_text = text(optional=optional).metadata["check"]

    def check(key: str, value: Any) -> str | None:
        path = check_text(key, value)
        try:
            return str(Path(path).expanduser()) if path and path.startswith("~") else path
        except RuntimeError as error:
            raise ConfigError(
                key, value, f"a path, without ~ unless a user has that name: ./{value}"
            ) from error

    return checked(check, default)


def _section(kind: type) -> Any:
    return checked(lambda key, value: build(kind, value, f"{key}."))


def _logging(key: str, value: Any) -> dict[str, Any]:
    return dict(value)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Engine, tracker, folders and launch.

    Attributes:
        runs_dir: the directory of runs.
        data_root: where data sets are kept; None for the usual place.
        force: start finished runs over.
        checkpoint_seconds: time between two checkpoints of a run.
        logging: how messages of the user's own code are logged, as `logging.config.dictConfig` takes it.
    """

    runs_dir: str = _directory()
    data_root: str | None = _directory(None, optional=True)
    force: bool = flag()
    checkpoint_seconds: float = number(above=0)
    engine: EngineSettings = _section(EngineSettings)
    tracker: Tracker = checked(lambda key, value: to_part(Tracker, value, key))
    launch: LaunchSettings = _section(LaunchSettings)
    snapshots: SnapshotSettings = _section(SnapshotSettings)
    diagnostics: tuple[Diagnostic, ...] = checked(_diagnostics, ())
    logging: dict[str, Any] = field(default_factory=dict, metadata={"check": _logging})

    @property
    def runs(self) -> Path:
        """The directory of runs, absolute."""
        return Path(self.runs_dir).absolute()

    def without_effect(self, cluster: bool) -> list[str]:
        """Sentences about settings that were chosen but have no effect.

        Args:
            cluster: whether the runs are computed on a cluster.
        """
        said = self.tracker.without_effect()
        if cluster and self.launch.workers:
            said.append("launch.workers has no effect here: on a cluster, use hydra.launcher.cpus_per_job.")
        for key in ("runs_per_job", "max_parallel_jobs", "wait"):
            if not cluster and getattr(self.launch, key):
                said.append(f"launch.{key} has no effect here: it is for clusters.")
        return said


SECTIONS: dict[str, type] = {
    "engine": EngineSettings,
    "launch": LaunchSettings,
    "snapshots": SnapshotSettings,
}

KEYS = tuple(entry.name for entry in fields(Settings))
"""The top-level config keys that are settings."""
