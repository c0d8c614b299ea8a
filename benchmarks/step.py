"""What a step costs: python -m benchmarks.step [--paper-code PATH]

Times both engines on the networks of the paper, after 20,000 steps of training, since what a step costs hangs
on how many units are active. All times are medians on one core, in microseconds per step; `all cores` is one
run on each of them at the same time. What is compared is timed in turns, round after round, so that a burst
of work elsewhere on the machine spoils a round and no figure. The floor is what the caches of this machine
need for the weights that a step must touch (see `benchmarks.floor`).
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
from plasticity.cores import cores
from plasticity.datasets.permuted_mnist import IMAGES, PIXELS, PermutedDigits, PermutedMnist
from plasticity.datasets.task import SparseRows, Task
from plasticity.engines.native import NativeLearner
from plasticity.engines.reference import ReferenceLearner
from plasticity.errors import UserError
from plasticity.network import Network, initial_network
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
"""The networks by what sets them apart from the base network, with the hyperparameters of their row."""

WARM_UP_TASKS = 2
ROUNDS = 5
REPETITIONS = 5
"""In each round."""
STEPS = 2_000
SLOW_STEPS = 100
"""Steps of a repetition of what takes about a millisecond per step."""


def examples() -> PermutedDigits:
    """MNIST, if it is on this machine; else digits made up of as many pixels, as easy to tell apart."""
    os.environ["PLASTICITY_OFFLINE"] = "1"
    try:
        return PermutedMnist().open(seed=0, root=None)
    except UserError:
        print("MNIST is not on this machine: made-up digits take its place.")
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, IMAGES).astype(np.int32)
    strokes = draw.random((10, PIXELS)) < 0.25
    digits = strokes[labels] * (draw.random((IMAGES, PIXELS), np.float32) - 0.24).clip(0)
    return PermutedDigits(PermutedMnist(), 0, SparseRows.of(digits.astype(np.float32)), labels)


def ignore(count: int) -> None:
    """Progress is not shown."""


def part(task: Task, number: int, steps: int) -> Task:
    """Some of a task's examples."""
    first = number * steps % task.examples
    return replace(task, order=task.order[first : first + steps], first_step=task.first_step + first)


def median_time(work: Callable[[int], object], repetitions: int = REPETITIONS) -> float:
    """Seconds that a piece of work takes; it is given the number of the repetition."""
    times = []
    for repetition in range(repetitions):
        began = time.perf_counter()
        work(repetition)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def time_per_step(learner: NativeLearner | ReferenceLearner, task: Task, steps: int) -> float:
    """Microseconds per step of an engine, in repetitions of so many steps."""
    parts = [part(task, number, steps) for number in range(REPETITIONS)]
    return median_time(lambda number: learner.learn(parts[number], ignore)) / steps * 1e6


def steps_per_second(run: Run, network: Network, task: Task, runs: int) -> float:
    """Speed of several runs at a time, in a thread each."""
    learners = [NativeLearner(run, network) for _ in range(runs)]

    def learn_together(_: int) -> None:
        threads = [threading.Thread(target=learner.learn, args=(task, ignore)) for learner in learners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return runs * task.examples / median_time(learn_together)


def measure(run: Run, data: PermutedDigits, code: Path | None) -> list[str]:
    """One row of the table."""
    learner = NativeLearner(run, initial_network(run))
    for number in range(WARM_UP_TASKS):
        learner.learn(data.task(number), ignore)
    network, task = learner.network(), data.task(WARM_UP_TASKS)

    touched = floor.touched_weights(run, network, task)
    weights = sum(weight.size for weight in network.weights)
    reference_learner = ReferenceLearner(run, network)
    timers: dict[str, Callable[[], float]] = {
        "native": lambda: time_per_step(NativeLearner(run, network), task, STEPS),
        "reference": lambda: time_per_step(reference_learner, task, SLOW_STEPS),
        "speed": lambda: floor.bytes_per_second(weights, round(touched)),
        "one": lambda: steps_per_second(run, network, task, 1),
        "all": lambda: steps_per_second(run, network, task, cores()),
    }
    if code:
        timers["paper"] = lambda: paper_code.microseconds_per_step(code, run, task)
    rounds = [{name: timer() for name, timer in timers.items()} for _ in range(ROUNDS)]
    found = {name: statistics.median(each[name] for each in rounds) for name in timers}

    least = 4 * floor.PASSES * touched / found["speed"] * 1e6
    native, reference = found["native"], found["reference"]
    cells = [f"{reference:.0f}", f"{native:.2f}", f"{reference / native:.0f}", f"{least:.2f}"]
    cells += [f"{native / least:.2f}", f"{found['all']:,.0f}", f"{found['all'] / found['one']:.2f}"]
    if code:
        cells += [f"{found['paper']:.0f}", f"{found['paper'] / native:.0f}"]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--paper-code", metavar="PATH", type=Path, help="a checkout of the paper's code, timed too"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = examples()

    heads = [
        "reference",
        "native",
        "ratio",
        "floor",
        "native / floor",
        f"steps/s, all {cores()} cores",
        "/ one core",
    ]
    heads += ["paper's code", "ratio"] if arguments.paper_code else []
    print("µs per step  " + "  ".join(f"{head:>9}" for head in heads))
    for name in arguments.networks:
        cells = measure(Run.of(NETWORKS[name]), data, arguments.paper_code)
        widths = [max(9, len(head)) for head in heads]
        print(
            f"{name:<11}  " + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)), flush=True
        )


if __name__ == "__main__":
    main()
