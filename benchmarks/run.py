"""What a run is spent on: python -m benchmarks.run

Trains the base network for some tasks as the launcher's workers do, with checkpoints and diagnostics, and reports
which share of the time goes into the training step and which into everything around it; then publishes the run to
W&B (offline), as a launch does alongside training. Finally it reports what the diagnostics none, basic and full
cost a run of 1,100 tasks, relative to its steps: all are timed in turn with the steps of one run, on one thread, in
CPU seconds, so that other load on the machine hardly matters. Measures that are rarely due are timed a few times,
and weighted by how often they are due.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plasticity.composition.compose import compose_settings
from plasticity.datasets.permuted_mnist import PermutedDigits, PermutedMnist
from plasticity.diagnostics import Diagnostic, Measurement
from plasticity.engines import choose, get
from plasticity.machine.threads import VARIABLES, one_thread_each
from plasticity.networks.network import initial_network
from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.track import Ledger, Place, Publisher, stored
from plasticity.training.attempt import Attempt
from plasticity.training.observer import Silent
from plasticity.training.session import Session
from plasticity.training.train import train

COST_TASKS = 20
"""Number of tasks to time diagnostics over: a multiple of the intervals of those in basic."""

RARE = 3
"""How often a rare measure is timed."""


class Shares:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time recorded under a label."""

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
    parser.add_argument("--diagnostics", default="basic", help="none, basic, full or one (default: basic)")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in VARIABLES):  # as in the launcher's workers
        with one_thread_each():
            sys.exit(subprocess.call([sys.executable, "-m", "benchmarks.run", *sys.argv[1:]]))
    chosen = compose_settings([f"diagnostics={arguments.diagnostics}"]).diagnostics

    shares = Shares()
    run = Run(dataset=PermutedMnist(tasks=arguments.tasks))
    run.dataset.open(0, None)  # MNIST is loaded once per process, not per run
    learner = type(get(choose(arguments.engine, run).engine).learner(run, initial_network(run)))
    learner.learn = shares.timed("step", learner.learn)  # type: ignore[method-assign]
    for name in ("before", "after"):
        setattr(Measurement, name, shares.timed("measures", getattr(Measurement, name)))
    PermutedDigits.task = shares.timed("data", PermutedDigits.task)  # type: ignore[method-assign]
    for name in ("start_or_resume", "record", "checkpoint_if_due"):
        setattr(Attempt, name, shares.timed("store", getattr(Attempt, name)))
    with tempfile.TemporaryDirectory() as directory:
        session = Session(
            observer=Silent(),
            engine=arguments.engine,
            diagnostics=chosen,
            checkpoint_seconds=5,  # a twelfth of the usual time, so that a short run has its share
        )
        began, folder = time.perf_counter(), RunFolder.of(Path(directory), run)
        train(run, folder, session)
        total = time.perf_counter() - began
        report(shares.seconds, total, run.steps)
        report_publishing(folder, total)
    report_costs(costs(arguments.engine))


def report_publishing(folder: RunFolder, total: float) -> None:
    """Prints what W&B costs (offline); that time is spent alongside training, not in it."""
    target = Place(project="plasticity", directory=folder.path.parent)
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
    """Prints the shares; time under no label is called the rest."""
    parts = dict(seconds) | {"rest": total - sum(seconds.values())}
    print(f"{steps:,} steps of the base network in {total:.2f} s: {1e6 * total / steps:.2f} µs per step")
    for label, spent in parts.items():
        print(f"  {label:8} {spent:8.3f} s  {spent / total:6.1%}")
    print(f"Around the step: {1 - parts['step'] / total:.1%} of the run (aim: under 10 %).")


def costs(engine: str) -> dict[str, float]:
    """CPU seconds, per task of a full run, that steps and diagnostics take, by name."""
    basic, full = (compose_settings([f"diagnostics={name}"]).diagnostics for name in ("basic", "full"))
    run = Run()
    learner = get(choose(engine, run).engine).learner(run, initial_network(run))
    stream = run.dataset.open(run.seed, None)
    seconds: dict[str, float] = defaultdict(float)
    rare = _by_interval([one for one in full if one not in basic])
    _taken(learner, run, stream.task(0), full, True)  # imports at first use happen once per process
    for number in range(COST_TASKS):
        task = stream.task(number)
        seconds["basic"] += _timed(_taken, learner, run, task, basic, False)
        seconds["steps"] += _timed(learner.learn, task, lambda steps: None)
        for every, group in rare.items() if number >= COST_TASKS - RARE else ():
            share = -(-run.dataset.tasks // every) / run.dataset.tasks * COST_TASKS / RARE
            name = ", ".join(one.name for one in group) + f" every {every}"
            seconds[name] += share * _timed(_taken, learner, run, task, group, True)
    return {name: value / COST_TASKS for name, value in seconds.items()}


def _by_interval(diagnostics: Sequence[Diagnostic]) -> dict[int, list[Diagnostic]]:
    found: dict[int, list[Diagnostic]] = defaultdict(list)
    for one in diagnostics:
        found[one.every].append(one)
    return found


def _taken(learner: Any, run: Run, task: Any, diagnostics: Sequence[Diagnostic], due_or_not: bool) -> None:
    measurement = Measurement(diagnostics, run, learner, task, due_or_not)
    measurement.before()
    measurement.after()


def _timed(function: Callable[..., Any], *arguments: Any) -> float:
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def report_costs(seconds: dict[str, float]) -> None:
    """Prints what diagnostics cost."""
    steps = seconds["steps"]
    full = sum(value for name, value in seconds.items() if name != "steps")
    print(f"Diagnostics, beside {1e3 * steps:.1f} ms of steps a task:")
    print(f"  none    {0:8.2f} ms a task  {0:6.1%}")
    print(
        f"  basic   {1e3 * seconds['basic']:8.2f} ms a task  {seconds['basic'] / steps:6.1%} (aim: under 10 %)"
    )
    print(f"  full    {1e3 * full:8.2f} ms a task  {full / steps:6.1%} (aim: under 100 %), of which")
    for name, value in seconds.items():
        if name not in ("steps", "basic"):
            print(f"          {1e3 * value:8.2f} ms a task  {value / steps:6.1%} {name}")


if __name__ == "__main__":
    main()
