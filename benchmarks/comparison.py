"""Comparisons: runs that are timed in turn on the same network, and divided by the first of them."""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.timing import Timing, ignore, part, quartiles, seconds
from plasticity.datasets.permuted_mnist import PermutedDigits
from plasticity.datasets.task import Task
from plasticity.engines import Learner, get
from plasticity.engines.native import NativeLearner
from plasticity.networks.network import Network, initial_memory, initial_network, initial_parameters
from plasticity.run import Run
from plasticity.training.record import intervene

WARM_UP_TASKS = 2

LEGEND = """\
/ first     µs/step divided by that of the first row, the median of the rounds' ratios
/example    µs/step per example of a batch
active      mean share of hidden units with h > 0, over examples of the task that is timed, before the first and
            after the last of a repetition's steps
faster      times as fast as the engine or peer whose µs/step stand to the left, likewise

The rows of a comparison are timed on one network, which the first of them has trained for {tasks} tasks, so that as
many units are active in all; each method starts there with what it remembers at the start of a run. The native
engine does so again before every repetition. What a run does at the start of a task is part of its step, spread
over the task's. A network with layer normalisation has other parameters: it is trained by its own row. The compiled
engine is timed on parts of a user's own alone."""


@dataclass(frozen=True)
class Comparison:
    """Runs by what they are called; the others are divided by the first.

    Attributes:
        title: what differs between them.
        runs: the runs.
        compiled: those that the compiled engine is timed on, too, if it is asked for.
    """

    title: str
    runs: dict[str, Run]
    compiled: Sequence[str] = ()

    @classmethod
    def of(
        cls, title: str, values: Mapping[str, Mapping[str, Any]], compiled: Sequence[str] = ()
    ) -> "Comparison":
        return cls(title, {name: Run.of(of_run) for name, of_run in values.items()}, compiled)


@dataclass
class Found:
    """What was found for a run: the microseconds per step in each round by engine or peer, and the share of units
    that are active."""

    times: dict[str, list[float]]
    active: float


def measure(
    comparison: Comparison, data: PermutedDigits, timing: Timing, arguments: argparse.Namespace
) -> dict[str, Found]:
    """Times the runs of a comparison: each round goes through all of them engine by engine.

    Args:
        comparison: the runs.
        data: whose third task is timed.
        timing: for how long.
        arguments: `engines` beside the native one, and whether `jax` is timed.
    """
    first, task = next(iter(comparison.runs.values())), data.task(WARM_UP_TASKS)
    network = trained(first, data)
    starts = {name: start(run, network, data) for name, run in comparison.runs.items()}
    native = {name: NativeLearner(run, starts[name]) for name, run in comparison.runs.items()}
    timers: dict[tuple[str, str], Callable[[], float]] = {
        ("native", name): _native(learner, starts[name], task, timing) for name, learner in native.items()
    }
    for engine in (name for name in arguments.engines if name != "native"):
        for name, run in comparison.runs.items():
            if engine != "compiled" or name in comparison.compiled:
                learner = get(engine).learner(run, starts[name])
                timers[engine, name] = _other(learner, task, timing, run.dataset.batch_size)
    if arguments.jax:
        timers |= {("JAX", name): timer for name, timer in _peers(comparison, starts, task, timing).items()}
    times = timing.in_turn(timers)
    return {
        name: Found(
            {engine: found for (engine, of_run), found in times.items() if of_run == name},
            active(native[name], starts[name], task, timing),
        )
        for name in comparison.runs
    }


def trained(run: Run, data: PermutedDigits) -> Network:
    """The network of a run after its first tasks."""
    learner = NativeLearner(run, initial_network(run))
    for number in range(WARM_UP_TASKS):
        learner.learn(data.task(number), ignore)
    return learner.network()


def start(run: Run, network: Network, data: PermutedDigits) -> Network:
    """A trained network for a run whose method has not begun: the one given or, if that has another shape, one that
    the run trains itself."""
    shapes = {name: array.shape for name, array in initial_parameters(run).items()}
    if shapes != {name: array.shape for name, array in network.parameters.items()}:
        network = trained(run, data)
    return Network(network.parameters, initial_memory(run))


def active(learner: NativeLearner, network: Network, task: Task, timing: Timing) -> float:
    """The mean share of hidden units with h > 0, before and after the steps of a repetition."""

    def share() -> float:
        return float(np.mean([(h > 0).mean() for h in learner.activations(task, 500)]))

    learner.load(network)
    intervene(learner.run, learner, task.number)
    before = share()
    learner.learn(part(task, 0, timing.steps, learner.batch), ignore)
    return (before + share()) / 2


def _native(learner: NativeLearner, network: Network, task: Task, timing: Timing) -> Callable[[], float]:
    """Times repetitions that all start from a network."""
    batch = learner.batch

    def repetition(number: int) -> float:
        learner.load(network)
        some = part(task, number, timing.steps, batch)
        starting = seconds(lambda: intervene(learner.run, learner, task.number))
        learning = seconds(lambda: learner.learn(some, ignore))
        return starting / (task.examples // batch) + learning / (some.examples // batch)

    return lambda: statistics.median(repetition(number) for number in range(timing.repetitions)) * 1e6


def _other(learner: Learner, task: Task, timing: Timing, batch: int) -> Callable[[], float]:
    """Times repetitions, each continuing from the last: these engines take as long whichever units are active."""
    return lambda: timing.per_step(learner, task, timing.slow_steps, batch)


def _peers(
    comparison: Comparison, starts: Mapping[str, Network], task: Task, timing: Timing
) -> dict[str, Callable[[], float]]:
    """Timers of the runs that are written in JAX."""
    from benchmarks import jax_parts, jax_peer

    return {
        name: jax_peer.timer(run, starts[name], task, timing)
        for name, run in comparison.runs.items()
        if jax_parts.supports(run)
    }


def in_turn(times: Sequence[float], others: Sequence[float]) -> float:
    """The median ratio of what was timed in the same round, which varies less where a machine's speed changes."""
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


def table(comparison: Comparison, found: Mapping[str, Found]) -> str:
    """The lines of a comparison."""
    others = list(dict.fromkeys(name for each in found.values() for name in each.times if name != "native"))
    heads = "".join(f"{name:>11}{'faster':>8}" for name in others)
    lines = [
        f"{comparison.title:<36}{'µs/step':>9}{'quartiles':>17}{'/example':>10}{'/ first':>9}{'active':>8}{heads}"
    ]
    first = next(iter(found.values())).times["native"]
    for name, each in found.items():
        native = each.times["native"]
        median, batch = statistics.median(native), comparison.runs[name].dataset.batch_size
        line = f"  {name:<34}{median:9.2f}{quartiles(native):>17}{median / batch:10.2f}"
        line += f"{in_turn(native, first):9.2f}{each.active:8.1%}"
        for other in others:
            if other in each.times:
                theirs = each.times[other]
                line += f"{statistics.median(theirs):11.2f}{in_turn(theirs, native):8.1f}"
            else:
                line += f"{'–':>11}{'–':>8}"
        lines.append(line)
    return "\n".join(lines)
