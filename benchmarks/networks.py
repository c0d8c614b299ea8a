"""The networks of the paper: their steps beside the floor, and what all cores do."""

import argparse
import statistics
import threading
from collections.abc import Callable
from typing import Any

from benchmarks import floor, paper_code
from benchmarks.comparison import WARM_UP_TASKS, trained
from benchmarks.timing import Timing, ignore, quartiles, seconds
from plasticity.datasets.permuted_mnist import PermutedDigits
from plasticity.datasets.task import Task
from plasticity.engines import get
from plasticity.engines.native import NativeLearner
from plasticity.machine.cores import cores
from plasticity.networks.network import Network
from plasticity.run import Run

SLOW = {"optimiser": {"step_size": 0.0005}}
NETWORKS: dict[str, dict[str, Any]] = {
    "base": {},
    "width 20": {"model": {"width": 20}, "optimiser": {"step_size": 0.001}, "replacement": {"rate": 1e-3}},
    "width 50": {"model": {"width": 50}},
    "width 150": {"model": {"width": 150}},
    "width 200": {"model": {"width": 200}},
    "depth 2": {"model": {"depth": 2}},
    "depth 8": {"model": {"depth": 8}, "optimiser": {"step_size": 0.001}},
    "selu": {"activation": {"name": "selu"}, **SLOW},
    "tanh": {"activation": {"name": "tanh"}, "replacement": {"rate": 1e-6}, **SLOW},
    "base, l2": {"regulariser": {"name": "l2", "strength": 1e-3}},
}
"""The networks by what distinguishes them from the base network, with the hyperparameters of their row."""

HEAD = f"{'':16}{'µs/step':>10}{'quartiles':>20}{'faster':>10}{'/ floor':>10}"

LEGEND = """\
µs/step     median time of a step on one core        quartiles   of that, over {rounds} rounds
faster      times as fast as the reference engine    / floor     times the floor: what reading and changing the
                                                                 weights that a step must touch takes at least"""


def measure(
    run: Run, data: PermutedDigits, timing: Timing, arguments: argparse.Namespace
) -> tuple[floor.Floor, dict[str, list[float]]]:
    """The floor of a network, and the microseconds per step in each round by engine or peer; likewise the steps per
    second of native runs on all cores at once."""
    network, task = trained(run, data), data.task(WARM_UP_TASKS)
    learners = {name: get(name).learner(run, network) for name in arguments.engines}

    def engine(name: str) -> Callable[[], float]:
        steps = timing.steps if name == "native" else timing.slow_steps
        return lambda: timing.per_step(learners[name], task, steps)

    timers = {name: engine(name) for name in arguments.engines}
    if arguments.jax:
        from benchmarks import jax_parts, jax_peer

        if jax_parts.supports(run):
            timers["JAX"] = jax_peer.timer(run, network, task, timing)
    if arguments.paper_code:
        timers["paper's code"] = lambda: paper_code.microseconds_per_step(arguments.paper_code, run, task)
    timers["one core"] = lambda: _steps_per_second(run, network, task, 1, timing)
    timers["all cores"] = lambda: _steps_per_second(run, network, task, cores(), timing)
    times = timing.in_turn(timers)
    weights = sum(weight.size for weight in network.weights)
    return floor.measure(weights, round(floor.touched_weights(run, network, task))), times


def _steps_per_second(run: Run, network: Network, task: Task, runs: int, timing: Timing) -> float:
    """Combined speed of several runs at once, each in its own thread."""
    learners = [NativeLearner(run, network) for _ in range(runs)]

    def learn_together() -> None:
        threads = [threading.Thread(target=learner.learn, args=(task, ignore)) for learner in learners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    taken = statistics.median(seconds(learn_together) for _ in range(timing.repetitions))
    return runs * task.examples / taken


def table(name: str, least: floor.Floor, found: dict[str, list[float]]) -> str:
    """The lines of a network."""
    together, alone = (statistics.median(found.pop(key)) for key in ("all cores", "one core"))
    text = [
        f"{name}: floor {least.total:.2f} = reading {least.reading:.2f} + changing {least.changing:.2f}; "
        f"native on {cores()} cores {together:,.0f} steps/s, {together / alone:.2f} times one core"
    ]
    reference = statistics.median(found["reference"]) if "reference" in found else float("nan")
    for timed, times in sorted(found.items(), key=lambda entry: statistics.median(entry[1])):
        median = statistics.median(times)
        ratios = f"{reference / median:10.1f}{median / least.total:10.2f}"
        text.append(f"  {timed:<14}{median:10.2f}{quartiles(times):>20}{ratios}")
    return "\n".join(text)
