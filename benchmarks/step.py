"""What a step costs: python -m benchmarks.step [--paper-code PATH]

Times both engines on the networks of the paper, after 20,000 steps of training, since what a step costs hangs
on how many units are active. All times are medians over several repetitions on one core, in microseconds per
step; `cores` is one run on each of them at the same time. The floor is the time that this machine needs just
to read the weights that a step uses twice and to write them once, measured by `stream.c`: those of the inputs
that are not 0 and, with ReLU, of the active units.
"""

import argparse
import ctypes
import inspect
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plasticity.config import RunConfig, run_config
from plasticity.datasets.permuted_mnist import IMAGES, PIXELS, PermutedMnist, PermutedMnistConfig
from plasticity.datasets.task import SparseRows, Task
from plasticity.engines.kernel import build
from plasticity.engines.kernel.memory import aligned
from plasticity.engines.native import NativeLearner, cores
from plasticity.engines.reference import ReferenceLearner
from plasticity.errors import UserError
from plasticity.network import State, initial_state

NETWORKS: dict[str, dict[str, Any]] = {
    "base": {},
    "width 20": {"model": {"width": 20}, "optimiser": {"step_size": 0.001}, "replacement": {"rate": 1e-3}},
    "width 50": {"model": {"width": 50}},
    "width 200": {"model": {"width": 200}},
    "depth 2": {"model": {"depth": 2}},
    "depth 8": {"model": {"depth": 8}, "optimiser": {"step_size": 0.001}},
    "selu": {"activation": {"name": "selu"}, "optimiser": {"step_size": 0.0005}},
    "tanh": {
        "activation": {"name": "tanh"},
        "optimiser": {"step_size": 0.0005},
        "replacement": {"rate": 1e-6},
    },
    "base, l2": {"regulariser": {"name": "l2", "strength": 1e-3}},
}
"""The networks by what sets them apart from the base network, with the hyperparameters of their row."""

WARM_UP_TASKS = 2
REPETITIONS = 15
STEPS = 2_000
SLOW_STEPS = 100
"""Steps of a repetition of what takes about a millisecond per step."""


def examples() -> PermutedMnist:
    """MNIST, if it is on this machine; else digits made up of as many pixels, as easy to tell apart."""
    os.environ["PLASTICITY_OFFLINE"] = "1"
    try:
        return PermutedMnistConfig().open(seed=0, root=None)
    except UserError:
        print("MNIST is not on this machine: made-up digits take its place.")
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, IMAGES).astype(np.int32)
    strokes = draw.random((10, PIXELS)) < 0.25
    digits = strokes[labels] * (draw.random((IMAGES, PIXELS), np.float32) - 0.24).clip(0)
    return PermutedMnist(PermutedMnistConfig(), 0, SparseRows.of(digits.astype(np.float32)), labels)


def ignore(count: int) -> None:
    """Nobody wants to know how far a task has come."""


def part(task: Task, first: int, steps: int) -> Task:
    """Some of a task's examples."""
    return replace(task, order=task.order[first : first + steps], first_step=task.first_step + first)


def median_time(work: Callable[[int], object], repetitions: int = REPETITIONS) -> float:
    """Seconds that a piece of work takes; it is given the number of the repetition."""
    times = []
    for repetition in range(repetitions):
        began = time.perf_counter()
        work(repetition)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def native_time(learner: NativeLearner, task: Task) -> float:
    """Microseconds per step of the native engine."""
    parts = [part(task, first, STEPS) for first in range(0, task.examples, STEPS)]
    return median_time(lambda k: learner.learn(parts[k % len(parts)], ignore)) / STEPS * 1e6


def reference_time(config: RunConfig, state: State, task: Task) -> float:
    """Microseconds per step of the reference engine, going on from the same state."""
    learner = ReferenceLearner(config, state)
    parts = [part(task, k * SLOW_STEPS, SLOW_STEPS) for k in range(REPETITIONS)]
    return median_time(lambda k: learner.learn(parts[k], ignore)) / SLOW_STEPS * 1e6


def together(config: RunConfig, state: State, task: Task, runs: int) -> float:
    """Steps per second of several runs at a time, in a thread each."""
    learners = [NativeLearner(config, state) for _ in range(runs)]

    def learn_together(repetition: int) -> None:
        threads = [threading.Thread(target=learner.learn, args=(task, ignore)) for learner in learners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return runs * task.examples / median_time(learn_together, repetitions=7)


def bytes_used(learner: NativeLearner, task: Task) -> int:
    """Bytes of the weights that a step uses, on average over 200 examples."""
    used = []
    for step in range(200):
        learner.learn(part(task, step, 1), ignore)
        used.append(sum(layer.used * layer.units for layer in learner.layers))
    return round(4 * statistics.mean(used))


def floor_time(size: int, directory: Path) -> float:
    """Microseconds that it takes to read so many bytes, and to read and write them."""
    path = directory / "stream.so"
    if not path.exists():
        source = Path(__file__).with_name("stream.c")
        flags = ["-O3", "-march=native", "-mprefer-vector-width=512", "-fPIC", "-shared"]
        subprocess.run([*(build.compiler() or ["cc"]), *flags, str(source), "-o", str(path)], check=True)
    stream = ctypes.CDLL(str(path)).stream
    stream.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_float]
    weights, repetitions = aligned(-(-size // 512) * 128), 20
    weights[:] = 1
    sweep = [stream, weights.ctypes.data, len(weights) // 128, 1.0]

    def sweeps(_: int) -> None:
        for _ in range(repetitions):
            sweep[0](*sweep[1:])

    return median_time(sweeps, repetitions=200) / repetitions * 1e6


def paper_time(config: RunConfig, task: Task) -> float:
    """Microseconds per step of the paper's code: learning, accuracy and weight magnitude, as its loop has them."""
    from lop.algos.cbp import ContinualBackprop
    from lop.nets.deep_ffnn import DeepFFNN

    model, rate = config.model, config.replacement.rate
    net = DeepFFNN(PIXELS, model.width, 10, num_hidden_layers=model.depth, act_type=config.activation.name)
    options = {
        "replacement_rates": [rate] * model.depth
    }  # the paper's addition to the code that it builds on
    known = inspect.signature(ContinualBackprop).parameters
    learner = ContinualBackprop(
        net, step_size=config.optimiser.step_size, loss="nll", replacement_rate=rate, decay_rate=0.99,
        accumulate=True, weight_decay=config.regulariser.strength,
        **{name: value for name, value in options.items() if name in known},
    )  # fmt: skip
    count = SLOW_STEPS * REPETITIONS
    inputs = torch.from_numpy(np.stack([task.example(step) for step in range(count)]))
    labels = torch.from_numpy(task.targets[task.order[:count]].astype(np.int64))

    def learn(repetition: int) -> None:
        for step in range(repetition * SLOW_STEPS, (repetition + 1) * SLOW_STEPS):
            _, outputs = learner.learn(inputs[step : step + 1], labels[step : step + 1])
            (torch.softmax(outputs, dim=1).argmax(dim=1) == labels[step : step + 1]).float().mean()
            for layer in net.layers[::2]:
                layer.weight.data.abs().sum()

    return median_time(learn) / SLOW_STEPS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--paper-code", metavar="PATH", help="a checkout of the paper's code, to time it as well"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    arguments = parser.parse_args()
    if arguments.paper_code:
        sys.path.insert(0, arguments.paper_code)
    torch.set_num_threads(1)
    data, threads = examples(), cores()

    heads = ["reference", "native", "ratio", "floor", "× floor", f"steps/s, {threads} cores", "× one core"]
    heads += ["paper's code", "ratio"] if arguments.paper_code else []
    print(f"{'µs per step':<10}  " + "  ".join(f"{head:>12}" for head in heads))
    with tempfile.TemporaryDirectory() as directory:
        for name in arguments.networks:
            config = run_config(NETWORKS[name])
            learner = NativeLearner(config, initial_state(config))
            for number in range(WARM_UP_TASKS):
                learner.learn(data.task(number), ignore)
            state, task = learner.state(), data.task(WARM_UP_TASKS)

            native, reference = native_time(learner, task), reference_time(config, state, task)
            floor = floor_time(bytes_used(learner, task), Path(directory))
            one, all_cores = together(config, state, task, 1), together(config, state, task, threads)
            cells = [f"{reference:.0f}", f"{native:.2f}", f"{reference / native:.0f}", f"{floor:.2f}"]
            cells += [f"{native / floor:.2f}", f"{all_cores:,.0f}", f"{all_cores / one:.2f}"]
            if arguments.paper_code:
                paper = paper_time(config, task)
                cells += [f"{paper:.0f}", f"{paper / native:.0f}"]
            widths = [max(12, len(head)) for head in heads]
            print(
                f"{name:<10}  " + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)),
                flush=True,
            )


if __name__ == "__main__":
    main()
