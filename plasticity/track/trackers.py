"""The trackers of this package: none, and Weights & Biases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from plasticity.errors import ConfigError
from plasticity.part import checked, choice, integer, text
from plasticity.track.place import EVERY
from plasticity.track.tracker import Tracker
from plasticity.track.tracking import Tracking

if TYPE_CHECKING:
    from plasticity.run import Run


def _tags(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(key, value, "a list of strings, such as [first,trial]")
    check = text().metadata["check"]
    return tuple(check(key, one) for one in value)


@dataclass(frozen=True, kw_only=True)
class Wandb(Tracker, name="wandb"):
    """Publishes runs to Weights & Biases.

    Attributes:
        project: the project at W&B.
        entity: user or team; None for your account's default.
        mode: "offline" keeps what is published in the folder wandb of runs_dir, "online" sends it, which needs an
            account, "disabled" does neither.
        publish: "after_run" publishes a run when it has ended, "live" also shows it while it is computed.
        every: which rows the charts show: with 10, every 10th row, and the last.
        tags: further tags, in addition to those of experiment and network.
        notes: a description of the runs.
    """

    project: str = text("plasticity")
    entity: str | None = text(None, optional=True)
    mode: str = choice("offline", options=("offline", "online", "disabled"))
    publish: str = choice("after_run", options=("after_run", "live"))
    every: int = integer(EVERY, at_least=1)
    tags: tuple[str, ...] = checked(_tags, ())
    notes: str | None = text(None, optional=True)

    def tracking(self, runs_dir: str, runs: "Sequence[Run]") -> Tracking:
        from plasticity.track.publishing import Publishing

        return Publishing(self, runs_dir, runs)

    def of_experiment(self, name: str) -> Self:
        return replace(self, tags=tuple(dict.fromkeys([name, *self.tags])))

    def without_effect(self) -> list[str]:
        if self.publish == "live" and self.mode != "online":
            return ["tracker.publish=live has no effect without tracker.mode=online."]
        return []


@dataclass(frozen=True, kw_only=True)
class Untracked(Wandb, name="none"):
    """Shows runs nowhere. It takes the keys of `Wandb`, so that a command can keep them without tracker=wandb."""

    def tracking(self, runs_dir: str, runs: "Sequence[Run]") -> Tracking:
        return Tracker.tracking(self, runs_dir, runs)

    def without_effect(self) -> list[str]:
        if self.mode == "online":
            return ["tracker.mode=online has no effect without tracker=wandb: nothing is published."]
        return []
