"""How long a launch will take, from a short calibration of every kind of network in it."""

import heapq
import time
from collections.abc import Sequence
from dataclasses import replace

from plasticity.config import RunConfig
from plasticity.engines import make
from plasticity.launcher.plan import Plan
from plasticity.network import initial_state

CALIBRATION_STEPS = 400


def seconds_per_step(configs: Sequence[RunConfig], engine: str, data_root: str | None) -> list[float]:
    """Time per step of each run on this machine, undisturbed: the better of two trials."""
    learner = make(engine, threads=1).learner
    known: dict[tuple[object, ...], float] = {}
    for config in configs:
        kind = _kind(config)
        if kind not in known:
            task = config.dataset.open(config.seed, data_root).task(0)
            task = replace(task, order=task.order[:CALIBRATION_STEPS])
            trial = learner(_calm(config), initial_state(config))
            times = []
            for _ in range(2):
                began = time.perf_counter()
                trial.learn(task, lambda examples: None)
                times.append((time.perf_counter() - began) / task.examples)
            known[kind] = min(times)
    return [known[_kind(config)] for config in configs]


def duration(plan: Plan, per_step: Sequence[float], workers: int) -> float:
    """Seconds until the last of a plan's runs is done, each going to the worker that is free first."""
    free = [0.0] * workers
    for steps, seconds in zip(plan.steps_left, per_step, strict=True):
        heapq.heapreplace(free, free[0] + steps * seconds)
    return max(free)


def spoken(seconds: float) -> str:
    """A duration as one says it: "40 s", "19 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _calm(config: RunConfig) -> RunConfig:
    """The run with a step size that it cannot diverge at."""
    return replace(config, optimiser=replace(config.optimiser, step_size=1e-5))


def _kind(config: RunConfig) -> tuple[object, ...]:
    """What a step's time depends on."""
    return (
        tuple(config.layer_sizes), config.activation.name, config.regulariser.name, config.dataset.name,
        config.replacement.utility, min(config.dataset.examples_per_task, CALIBRATION_STEPS),
    )  # fmt: skip
