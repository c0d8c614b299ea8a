"""What a run is spent on: python -m benchmarks.run

Trains the base network for some tasks as the launcher's workers do, with checkpoints, and says which share of the
time is the training step and which is everything around it; then publishes the run to W&B (offline), as a launch
does beside the training. The only diagnostic so far, the weight magnitude, is summed up inside the step and counts
as part of it.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from plasticity.datasets.permuted_mnist import PermutedDigits, PermutedMnist
from plasticity.engines import choose, get
from plasticity.network import initial_network
from plasticity.publish import Ledger, Publisher, Target, stored
from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.training import Attempt, Session, Silent, train


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=400, help="length of the run (default: 400)")
    parser.add_argument("--engine", default="auto", help="auto, native or reference")
    arguments = parser.parse_args()

    shares = Shares()
    run = Run(dataset=PermutedMnist(tasks=arguments.tasks))
    run.dataset.open(0, None)  # loading MNIST is once per process, not per run
    learner = type(get(choose(arguments.engine, run).engine).learner(run, initial_network(run)))
    learner.learn = shares.timed("step", learner.learn)  # type: ignore[method-assign]
    PermutedDigits.task = shares.timed("data", PermutedDigits.task)  # type: ignore[method-assign]
    for name in ("start_or_resume", "record", "checkpoint_if_due"):
        setattr(Attempt, name, shares.timed("store", getattr(Attempt, name)))
    with tempfile.TemporaryDirectory() as directory:
        session = Session(
            observer=Silent(),
            engine=arguments.engine,
            checkpoint_seconds=5,  # a twelfth of the usual time, so that a short run has its share
        )
        began, folder = time.perf_counter(), RunFolder.of(Path(directory), run)
        train(run, folder, session)
        total = time.perf_counter() - began
        report(shares.seconds, total, run.steps)
        report_publishing(folder, total)


def report_publishing(folder: RunFolder, total: float) -> None:
    """Prints what W&B costs (offline), which is spent beside the training and not in it."""
    target = Target(project="plasticity", directory=folder.path.parent)
    print("W&B, offline, in a process of its own beside the training:")
    with Publisher(target, Ledger(folder.path.parent / "ledger")) as publisher:
        for number, label in enumerate(("first run", "each further run"), 1):  # the first starts the client
            wall, own = time.perf_counter(), time.process_time()
            again = replace(stored.publication(folder), attempt=number, name=label)
            outcome = publisher.publish(again)
            assert outcome.status == "published", outcome.reason
            wall, own = time.perf_counter() - wall, time.process_time() - own
            print(
                f"  {label:16} {wall:6.3f} s, {wall / total:.1%} of the run; {own:.3f} s in the launch's process"
            )
    print("Aim: under 3 % of a run of 1,100 tasks.")


def report(seconds: dict[str, float], total: float, steps: int) -> None:
    """Prints the shares; what no label claims is called the rest."""
    parts = dict(seconds) | {"rest": total - sum(seconds.values())}
    print(f"{steps:,} steps of the base network in {total:.2f} s: {1e6 * total / steps:.2f} µs per step")
    for label, spent in parts.items():
        print(f"  {label:8} {spent:8.3f} s  {spent / total:6.1%}")
    print(f"Around the step: {1 - parts['step'] / total:.1%} of the run (aim: under 10 %).")


if __name__ == "__main__":
    main()
