"""What a step costs: python -m benchmarks.step [--engines NAME …] [--networks NAME …] [--jax] [--paper-code PATH]

Times the engines on the networks of the paper, after 20,000 steps of training, since the cost of a step depends on
how many units are active. All times are medians on one core, in microseconds per step, with quartiles. Whatever
is compared is timed in turn, round after round, so that a burst of other work on the machine spoils a round and no
figure. The floor is the time that this machine needs to go through the weights that a step must touch, once to read
them and once to change them (see `benchmarks.floor`). Peers are the code behind the paper (--paper-code: a checkout
of it), and the same step in JAX, dense, inside one compiled scan (--jax; `pip install '.[jax]'`).
"""

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import floor, paper_code
from plasticity.datasets.image_sets import IMAGE_SETS
from plasticity.datasets.permuted_mnist import PermutedDigits, PermutedMnist
from plasticity.datasets.task import SparseRows, Task
from plasticity.engines import ENGINES, Learner, get
from plasticity.engines.native import NativeLearner
from plasticity.errors import UserError
from plasticity.machine.cores import cores
from plasticity.networks.network import Network, initial_network
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

WARM_UP_TASKS = 2
ROUNDS = 5
REPETITIONS = 5
"""In each round."""
STEPS = 2_000
SLOW_STEPS = 100
"""Steps in a repetition of anything that takes about a millisecond per step."""


def examples() -> PermutedDigits:
    """MNIST, if it is on this machine; else made-up digits, with as many pixels and as easy to tell apart."""
    os.environ["PLASTICITY_OFFLINE"] = "1"
    try:
        return PermutedMnist().open(seed=0, root=None)
    except UserError:
        print("MNIST is not on this machine: made-up digits take its place.")
    draw, images, pixels = np.random.default_rng(0), IMAGE_SETS["mnist"].number, PermutedMnist().inputs
    labels = draw.integers(0, 10, images).astype(np.int32)
    strokes = draw.random((10, pixels)) < 0.25
    digits = strokes[labels] * (draw.random((images, pixels), np.float32) - 0.24).clip(0)
    return PermutedDigits(PermutedMnist(), 0, SparseRows.of(digits.astype(np.float32)), labels)


def ignore(count: int) -> None:
    """Progress is not shown."""


def part(task: Task, number: int, steps: int) -> Task:
    """Some of a task's examples."""
    first = number * steps % task.examples
    return replace(task, order=task.order[first : first + steps], first_step=task.first_step + first)


def median_time(work: Callable[[int], object], repetitions: int = REPETITIONS) -> float:
    """Median time of a piece of work in seconds; `work` is called with the number of the repetition."""
    times = []
    for repetition in range(repetitions):
        began = time.perf_counter()
        work(repetition)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def time_per_step(learner: Learner, task: Task, steps: int) -> float:
    """Microseconds per step of an engine, in repetitions of `steps` steps."""
    parts = [part(task, number, steps) for number in range(REPETITIONS)]
    return median_time(lambda number: learner.learn(parts[number], ignore)) / steps * 1e6


def steps_per_second(run: Run, network: Network, task: Task, runs: int) -> float:
    """Combined speed of several runs at once, each in its own thread."""
    learners = [NativeLearner(run, network) for _ in range(runs)]

    def learn_together(_: int) -> None:
        threads = [threading.Thread(target=learner.learn, args=(task, ignore)) for learner in learners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return runs * task.examples / median_time(learn_together)


LEGEND = """\
µs/step     median time of a step on one core        quartiles   of that, over {rounds} rounds
faster      times as fast as the reference engine    / floor     times the floor: what reading and changing the
                                                                 weights that a step must touch takes at least"""


def measure(
    run: Run, data: PermutedDigits, arguments: argparse.Namespace
) -> tuple[floor.Floor, dict[str, list[float]]]:
    """The floor of a network, and the microseconds per step in each round by engine or peer; likewise the steps per
    second of native runs on all cores at once."""
    learner = NativeLearner(run, initial_network(run))
    for number in range(WARM_UP_TASKS):
        learner.learn(data.task(number), ignore)
    network, task = learner.network(), data.task(WARM_UP_TASKS)
    learners = {name: get(name).learner(run, network) for name in arguments.engines}

    def engine(name: str) -> Callable[[], float]:
        steps = STEPS if name == "native" else SLOW_STEPS
        return lambda: time_per_step(learners[name], task, steps)

    timers = {name: engine(name) for name in arguments.engines}
    if arguments.jax and run.activation.name == "relu" and run.regulariser.name == "none":
        from benchmarks import jax_peer

        timers["JAX"] = lambda: jax_peer.microseconds_per_step(run, network, task, STEPS, REPETITIONS)
    if arguments.paper_code:
        timers["paper's code"] = lambda: paper_code.microseconds_per_step(arguments.paper_code, run, task)
    timers["one core"] = lambda: steps_per_second(run, network, task, 1)
    timers["all cores"] = lambda: steps_per_second(run, network, task, cores())
    rounds = [{name: timer() for name, timer in timers.items()} for _ in range(ROUNDS)]
    weights = sum(weight.size for weight in network.weights)
    least = floor.measure(weights, round(floor.touched_weights(run, network, task)))
    return least, {name: [each[name] for each in rounds] for name in timers}


def rows(name: str, least: floor.Floor, found: dict[str, list[float]]) -> list[str]:
    """The lines of a network."""
    together, alone = (statistics.median(found.pop(key)) for key in ("all cores", "one core"))
    lines = [
        f"{name}: floor {least.total:.2f} = reading {least.reading:.2f} + changing {least.changing:.2f}; "
        f"native on {cores()} cores {together:,.0f} steps/s, {together / alone:.2f} times one core"
    ]
    reference = statistics.median(found["reference"]) if "reference" in found else float("nan")
    for timed, times in sorted(found.items(), key=lambda entry: statistics.median(entry[1])):
        median = statistics.median(times)
        low, _, high = statistics.quantiles(times, n=4, method="inclusive")
        ratios = f"{reference / median:10.1f}{median / least.total:10.2f}"
        lines.append(f"  {timed:<14}{median:10.2f}{f'{low:.2f}–{high:.2f}':>20}{ratios}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper-code", metavar="PATH", type=Path, help="a checkout of the paper's code")
    parser.add_argument("--jax", action="store_true", help="time the same step in JAX, too")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME",
        help="compiled takes about a minute per network to compile",
    )  # fmt: skip
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = examples()
    print(LEGEND.format(rounds=ROUNDS))
    print(f"\n{'':16}{'µs/step':>10}{'quartiles':>20}{'faster':>10}{'/ floor':>10}")
    for name in arguments.networks:
        print("\n".join(rows(name, *measure(Run.of(NETWORKS[name]), data, arguments))), flush=True)


if __name__ == "__main__":
    main()
