"""How long a launch will take, from a short calibration of every kind of network in it."""

import heapq
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

from plasticity.engines import get
from plasticity.engines.compiled import SPEED
from plasticity.errors import Diverged, UserError
from plasticity.launch.plan import Plan
from plasticity.launch.trial import own
from plasticity.machine.processes import Died, Process
from plasticity.machine.progress import doing
from plasticity.networks.network import initial_network
from plasticity.run import Run
from plasticity.training import ram

CALIBRATION_SECONDS = 0.01
CALIBRATION_STEPS = 200

MOST_SECONDS = 60.0
"""How long it may take in another process, PyTorch's start included."""


def seconds_per_step(todo: Plan, data_root: str | None, apart: Process) -> list[float]:
    """Seconds per step of each run to compute, on a core of this machine that does nothing else.

    The best of a few trials, as many as fit into a moment. Waiting for a core does not count: on a busy machine, a
    trial may wait far longer than it computes.

    Args:
        todo: the plan.
        data_root: where data sets are kept; None for the usual place.
        apart: the process that times what needs PyTorch, or the users' code.
    """
    known: dict[tuple[object, ...], float] = {}
    times = []
    for run, choice in zip(todo.to_compute, todo.engines, strict=True):
        kind = (choice.engine, *_kind(run))
        if kind not in known:
            try:
                ram.check(run)
                if choice.engine == "native" and not own(run):
                    known[kind] = _calibrated(run, choice.engine, data_root)
                else:
                    with doing("Timing a few steps"):
                        apart.ask(_calibrated, run, choice.engine, data_root)
                        known[kind] = apart.answer(MOST_SECONDS)
            except (UserError, MemoryError, Died, TimeoutError):  # reported when the run is computed
                known[kind] = 0.0
        times.append(known[kind])
    return times


def _calibrated(run: Run, engine: str, data_root: str | None) -> float:
    if engine == "compiled":  # would take a minute to try
        return _calibrated(run, "reference", data_root) / SPEED
    task = run.dataset.open(run.seed, data_root).task(0)
    size = run.dataset.batch_size
    steps = min(task.examples // size, CALIBRATION_STEPS if engine == "native" else 20)
    task = replace(task, order=task.order[: steps * size])
    learner = get(engine).learner(_calm(run), initial_network(run))
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < CALIBRATION_SECONDS or best == float("inf"):
        start = time.process_time()
        try:
            learner.learn(task, lambda steps: None)
        except Diverged:
            pass
        best = min(best, (time.process_time() - start) / steps)
    return best


def duration(todo: Plan, per_step: Sequence[float], workers: int) -> float:
    """Seconds until the last of a plan's runs is done, each going to the worker that is free first."""
    free = [0.0] * workers
    for steps, seconds in zip(todo.steps_left, per_step, strict=True):
        heapq.heapreplace(free, free[0] + steps * seconds)
    return max(free)


def per_engine(todo: Plan, per_step: Sequence[float]) -> list[str]:
    """Which runs a slower engine computes, and why: "140 runs native; 13 reference: …"; nothing if none.

    Args:
        todo: the plan.
        per_step: seconds per step of each run to compute; empty if they were not estimated.
    """
    reasons = todo.reasons()
    if not reasons:
        return []
    counts = Counter(choice.engine for choice in todo.engines)
    listed = "; ".join(f"{number} {engine}" for engine, number in sorted(counts.items()))
    lines = [f"Engines: {listed}."]
    for reason, positions in reasons.items():
        each = [per_step[position] * todo.steps_left[position] for position in positions] if per_step else []
        cost = f", about {spoken(statistics.median(each))} each" if each else ""
        engine = todo.engines[positions[0]].engine
        lines.append(f"  {len(positions)} {engine}{cost}: {reason}.")
    return lines


def spoken(seconds: float) -> str:
    """A duration in words: "40 s", "19 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def _calm(run: Run) -> Run:
    """The run with a step size too small to diverge, if its optimiser has one."""
    if not any(entry.name == "step_size" for entry in fields(run.optimiser)):
        return run
    return replace(run, optimiser=replace(run.optimiser, step_size=1e-5))  # type: ignore[call-arg]


def _kind(run: Run) -> tuple[object, ...]:
    """What a step's time depends on."""
    parts = {key: part.name for key, part in run.parts().items()}
    utility = getattr(getattr(run.replacement, "utility", None), "name", None)
    shown = (getattr(run.dataset, key, None) for key in ("images", "pixels"))  # how many inputs are 0
    sizes = (run.dataset.shape, run.dataset.outputs, run.dataset.batch_size)
    every = getattr(run.perturbation, "every", None)
    return (run.model, *sizes, *parts.values(), utility, every, *shown)
