"""What a run is spent on: python -m benchmarks.run

Trains the base network for some tasks as the launcher's workers do, with checkpoints and W&B (offline), and
says which share of the time is the training step and which is everything around it. The only diagnostic so
far, the weight magnitude, is summed up inside the step and counts as part of it.
"""

import argparse
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plasticity.config import run_config
from plasticity.datasets.permuted_mnist import PermutedMnist
from plasticity.engines import make, resolve
from plasticity.settings import TrackerSettings
from plasticity.store import RunFolder, RunState
from plasticity.tracking import publisher
from plasticity.training import Session, Training


class Shares:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time noted under a label."""

        def run(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[label] += time.perf_counter() - began

        return run


class Silent:
    """An observer that nobody listens to."""

    def began(self, identity: str, tasks_done: int, examples_done: int) -> None: ...
    def advanced(self, identity: str, examples: int) -> None: ...
    def learnt(self, identity: str, tasks_done: int, accuracy: float) -> None: ...
    def ended(self, identity: str, state: RunState) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=400, help="length of the run (default: 400)")
    parser.add_argument("--engine", default="auto", help="auto, native or reference")
    arguments = parser.parse_args()

    shares, name = Shares(), resolve(arguments.engine)
    engine = make(name, threads=1)
    config = run_config({"dataset": {"tasks": arguments.tasks}})
    config.dataset.open(0, None)  # loading MNIST is once per process, not per run
    engine.learner.learn = shares.timed("step", engine.learner.learn)  # type: ignore[attr-defined]
    PermutedMnist.task = shares.timed("data", PermutedMnist.task)  # type: ignore[method-assign]
    Training.record = shares.timed("store", Training.record)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as directory:
        session = Session(
            engine=name,
            observer=Silent(),
            stop=threading.Event(),
            checkpoint_seconds=5,  # a twelfth of the usual time, so that a short run has its share
            publish=shares.timed("tracker", publisher(TrackerSettings(name="wandb"))),
        )
        training = Training(config, RunFolder.of(Path(directory), config), session)
        began = time.perf_counter()
        engine.compute(_one(training))
        total = time.perf_counter() - began
    report(shares.seconds, total, config.steps)


def _one(training: Training) -> Iterator[Training]:
    yield training


def report(seconds: dict[str, float], total: float, steps: int) -> None:
    """Prints the shares; what no label claims is called the rest."""
    parts = dict(seconds) | {"rest": total - sum(seconds.values())}
    print(f"{steps:,} steps of the base network in {total:.2f} s: {1e6 * total / steps:.2f} µs per step")
    for label, spent in parts.items():
        print(f"  {label:8} {spent:8.3f} s  {spent / total:6.1%}")
    print(f"Around the step: {1 - parts['step'] / total:.1%} of the run (aim: under 10 %).")


if __name__ == "__main__":
    main()
