"""A record: a few tasks that are learnt one after the other, and the row of results that they give."""

from collections.abc import Callable, Sequence

import numpy as np

from plasticity.datasets import Stream
from plasticity.diagnostics import Diagnostic, Measurement
from plasticity.engines import Learner, TaskResult
from plasticity.run import Run
from plasticity.store import Row


def learn_record(
    run: Run,
    stream: Stream,
    learner: Learner,
    record: int,
    diagnostics: Sequence[Diagnostic] = (),
    advance: Callable[[int], None] = lambda steps: None,
) -> Row:
    """Learns the tasks of a record, and returns its row.

    Args:
        run: the run.
        stream: its tasks.
        learner: its network.
        record: number of the record, from 0.
        diagnostics: what is measured before, during and after each task.
        advance: as in `Learner.learn`.
    """
    number, measured = run.dataset.tasks_per_record, dict[str, float | int]()
    results, tests = list[TaskResult](), list[float]()
    for task_number in range(record * number, (record + 1) * number):
        task = stream.task(task_number)
        measurement = Measurement(diagnostics, run, learner, task)
        measured |= measurement.before()
        intervene(run, learner, task_number)
        results.append(learner.learn(task, advance, measurement.of_steps))
        tests += [] if task.test is None else [learner.score(task.test)]
        measured |= measurement.during(results[-1]) | measurement.after()
    return _row(run, record * number, results, tests) | measured


def intervene(run: Run, learner: Learner, task: int) -> None:
    """Does to a network what is due at the start of a task: the intervention, then the perturbation."""
    due = [change for change in (run.intervention, run.perturbation) if change.due(task)]
    if due:
        network = learner.network()
        for change in due:
            change(run, network, task)
        learner.load(network)


def _row(run: Run, task: int, results: Sequence[TaskResult], tests: Sequence[float]) -> Row:
    """The row of a record. Layers are numbered from 1; no units of the output layer are ever replaced.

    Args:
        run: the run.
        task: number of the record's first task.
        results: of its tasks.
        tests: the scores on the tests of those that have one.
    """
    score_name = run.dataset.objective.score_name
    layers = [f"layer_{layer}" for layer in range(1, len(run.layers))]
    magnitudes = [float(value) for value in np.mean([result.weight_magnitude for result in results], axis=0)]
    replaced = np.sum([result.replaced for result in results], axis=0)
    return (
        {"task": task, score_name: float(np.mean([result.score for result in results]))}
        | {"loss": float(np.mean([result.loss for result in results]))}
        | ({f"test_{score_name}": float(np.mean(tests))} if tests else {})
        | {"weight_magnitude": sum(magnitudes)}
        | {
            f"weight_magnitude.{name}": value
            for name, value in zip([*layers, "output"], magnitudes, strict=True)
        }
        | {f"replaced.{name}": int(value) for name, value in zip(layers, replaced, strict=True)}
    )
