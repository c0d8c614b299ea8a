"""What a launch has to do: of all runs asked for, those that are neither duplicates nor finished."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plasticity.config import RunConfig
from plasticity.store import RunFolder


@dataclass(frozen=True)
class Plan:
    """The runs of a launch, each once.

    Attributes:
        asked: every run asked for.
        to_compute: those to be computed, the longest first.
        steps_left: number of steps that each of those still has to take.
        resumed: number of runs that go on from a checkpoint.
        absent: number of combinations that are no runs.
        anew_before: runs that were started before this time, in seconds since the epoch, start anew.
    """

    asked: list[RunConfig]
    to_compute: list[RunConfig]
    steps_left: list[int]
    resumed: int
    absent: int
    anew_before: float = 0.0

    def sentence(self) -> str:
        """For the user, before anything starts."""
        number, left = len(self.asked), len(self.to_compute)
        absent = f" ({self.absent} absent)" if self.absent else ""
        return (
            f"{number} run{'' if number == 1 else 's'}{absent}: {number - left} finished, "
            f"{self.resumed} resumed, {left - self.resumed} new"
        )


def plan(configs: Sequence[RunConfig | None], runs_dir: Path, force: bool) -> Plan:
    """Sorts runs by what is left to do for them.

    Args:
        configs: the runs asked for, duplicates and all; None for a combination that is absent.
        runs_dir: where finished runs and checkpoints are looked for.
        force: compute finished runs anew, and all runs from nothing.
    """
    asked = {config.identity: config for config in configs if config is not None}
    left: list[tuple[RunConfig, int]] = []
    resumed = 0
    for config in asked.values():
        folder = RunFolder.of(runs_dir, config)
        state = folder.state()
        if state.status == "finished" and not force:
            continue
        checkpoint = not force and folder.has_checkpoint()
        resumed += checkpoint
        tasks_left = config.dataset.tasks - (state.tasks_done if checkpoint else 0)
        left.append((config, tasks_left * config.dataset.examples_per_task))
    left.sort(key=lambda entry: entry[1] * _weights(entry[0]), reverse=True)
    return Plan(
        asked=list(asked.values()),
        to_compute=[config for config, _ in left],
        steps_left=[steps for _, steps in left],
        resumed=resumed,
        absent=sum(config is None for config in configs),
        anew_before=time.time() if force else 0.0,
    )


def _weights(config: RunConfig) -> int:
    """Number of weights of a network: what a step's time goes with."""
    sizes = config.layer_sizes
    return sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
