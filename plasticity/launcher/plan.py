"""What a launch has to do: of all runs asked for, those that are neither duplicates nor finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plasticity.config import RunConfig
from plasticity.store import RunFolder, RunState


@dataclass(frozen=True)
class Plan:
    """The runs of a launch, each once.

    Attributes:
        asked: every run asked for.
        to_compute: those to be computed, the longest first.
        finished: number of runs that are finished already.
        resumed: number of runs that go on from a checkpoint.
        new: number of runs that start from nothing.
    """

    asked: list[RunConfig]
    to_compute: list[RunConfig]
    finished: int
    resumed: int
    new: int

    def sentence(self) -> str:
        """For the user, before anything starts."""
        number = len(self.asked)
        runs = "run" if number == 1 else "runs"
        return f"{number} {runs}: {self.finished} finished, {self.resumed} resumed, {self.new} new"


def plan(configs: Sequence[RunConfig], runs_dir: Path, force: bool) -> Plan:
    """Sorts runs by what is left to do for them.

    Args:
        configs: the runs asked for, duplicates and all.
        runs_dir: where finished runs and checkpoints are looked for.
        force: compute finished runs anew, and all runs from nothing.
    """
    asked = list({config.identity: config for config in configs}.values())
    left = [config for config in asked if force or _state(config, runs_dir).status != "finished"]
    resumed = 0 if force else sum(_has_checkpoint(config, runs_dir) for config in left)
    return Plan(
        asked=asked,
        to_compute=sorted(left, key=work, reverse=True),
        finished=len(asked) - len(left),
        resumed=resumed,
        new=len(left) - resumed,
    )


def work(config: RunConfig) -> float:
    """How long a run takes, in no unit: its steps times the weights that a step touches."""
    sizes = config.layer_sizes
    return config.steps * sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))


def _state(config: RunConfig, runs_dir: Path) -> RunState:
    return RunFolder.of(runs_dir, config).state()


def _has_checkpoint(config: RunConfig, runs_dir: Path) -> bool:
    return (RunFolder.of(runs_dir, config).path / "checkpoint.npz").exists()
