"""The native engine: the step of the reference engine, fused in compiled code."""

from collections.abc import Callable
from ctypes import addressof, byref, c_void_p
from typing import Any

import numpy as np

from plasticity.datasets import Task
from plasticity.engines.engine import StepLosses, TaskResult
from plasticity.engines.form import Form
from plasticity.engines.forms import form, obstacle
from plasticity.engines.kernel import binding, build
from plasticity.engines.kernel.memory import ExampleMemory, LayerMemory
from plasticity.engines.traced.outputs import CLASSES
from plasticity.errors import Diverged
from plasticity.networks.layer import of_layer
from plasticity.networks.network import INITIAL, Network
from plasticity.objectives import CrossEntropy, Objective, SquaredError
from plasticity.part import Part, nested
from plasticity.run import Run

ADVANCE_EVERY = 100_000
"""Number of examples between two reports of progress: about half a second."""

PERTURBATION = 1
"""`Waiting` in `learner.h`."""


class NativeEngine:
    """Computes the runs whose parts have a native form, on machines with a C compiler."""

    name = "native"

    def unsupported(self, run: Run) -> str | None:
        try:
            for key, part in _parts_of_steps(run).items():
                if form(part, run) is None:
                    why = obstacle(part, run)
                    return f"{key}={part.name} has no native form{f': {why}' if why else ''}"
        except build.Unavailable as reason:
            return unavailable() or str(reason).rstrip(".")
        return unavailable()

    def learner(self, run: Run, network: Network) -> "NativeLearner":
        return NativeLearner(run, network)


def unavailable() -> str | None:
    """Why this machine cannot run the native engine; None if it can.

    Raises:
        UserError: $PLASTICITY_KERNEL names no kind of this machine's processor.
    """
    try:
        binding.kernel()
    except build.Unavailable as reason:
        return str(reason).rstrip(".")
    return None


def _parts_of_steps(run: Run) -> dict[str, Part]:
    """Every part that takes part in a run's steps, by config key, with those that other parts hold.

    Any data set will do, since the kernel receives its tasks as plain arrays, and so will any change made to the
    network between them.
    """
    between = ["dataset", "intervention"] + ["perturbation"] * (not run.perturbation.acts_in_steps)
    parts = {key: part for key, part in run.parts().items() if key not in between}
    return nested(parts) | {"dataset.objective": run.dataset.objective}


class NativeLearner:
    """A multi-layer perceptron that learns online, in the kernel's memory."""

    def __init__(self, run: Run, network: Network):
        self.run = run
        self.forms = [_form(part, run) for part in _parts_of_steps(run).values()]
        self.kernel = binding.kernel()
        self.batch = run.dataset.batch_size
        self.examples = ExampleMemory(run.dataset.inputs, run.dataset.outputs, self.batch)
        self.load(network)

    def load(self, network: Network) -> None:
        layers = self.run.layers
        self.started = {name: array for name, array in network.memory.items() if name.startswith(INITIAL)}
        self.memory = [
            LayerMemory(of_layer(layers, number, network.parameters), self.batch)
            for number in range(len(layers))
        ]
        for each in self.forms:
            each.arrange(self.memory)
        output = self.memory[-1]  # whose loss may use a label as a number, not as an index
        self.examples.any_label = "label" in output.arrays and CLASSES not in output.own
        structures = [memory.structure(place) for place in range(self.batch) for memory in self.memory]
        self.layers = (binding.structure("Layer") * len(structures))(*structures)
        self.learner = binding.structure("Learner")(
            depth=len(self.memory) - 1,
            batch=self.batch,
            layer=addressof(self.layers),
            seed=self.run.seed,
            scale=1.0,
        )
        for each in self.forms:
            each.tell(self.learner, self._of_first_example())
            each.restore(network, self.memory, self._of_first_example())

    def _of_first_example(self) -> list[Any]:
        """The kernel's `Layer` of each layer for the first example of a batch, which has all but current steps."""
        return list(self.layers[: len(self.memory)])

    def learn(self, task: Task, advance: Callable[[int], None], losses: bool = False) -> TaskResult:
        examples = self.examples.structure(task)
        self.memory[0].arrange(task.permutation)  # once per task, so that no step has to look it up
        steps, at_once = task.examples // self.batch, max(ADVANCE_EVERY // self.batch, 1)
        of_steps = StepLosses(np.zeros(steps), np.zeros(steps)) if losses else None
        self.learner.loss_before = of_steps.before.ctypes.data if of_steps else None
        self.learner.loss_after = of_steps.after.ctypes.data if of_steps else None
        for first in range(0, steps, at_once):
            end = min(first + at_once, steps)
            reached = self._reach(examples, task.first_step, first, end)
            if reached < end:
                raise Diverged(task.number, reached)
            advance(end - first)
        layers = self._of_first_example()
        loss = self.learner.total_loss / steps
        return TaskResult(
            score=self._mean_score(task, loss),
            loss=loss,
            weight_magnitude=np.array([layer.total_magnitude for layer in layers]) / steps,
            replaced=np.array([layer.replaced for layer in layers[:-1]], np.int64),
            losses=of_steps,
        )

    def _mean_score(self, task: Task, loss: float) -> float:
        """The mean score of a task's examples while they were learnt, whose mean loss is given."""
        kind = type(self.run.dataset.objective)
        if kind is SquaredError:
            return loss
        total = self.learner.right if kind is CrossEntropy else self.learner.total_score
        return float(total / task.examples)

    def score(self, task: Task) -> float:
        output, targets = self.memory[-1], task.targets[task.order]
        hidden = self.activations(task, task.examples)[-1].astype(np.float64)
        outputs = hidden @ output.weight.T + output["bias"]
        objective = self.run.dataset.objective
        if type(objective) is CrossEntropy:
            return float(np.mean(outputs.argmax(axis=1) == targets))
        if type(objective) is SquaredError:
            return float(np.mean(np.square(outputs - targets)))
        return _score(objective, outputs, targets)

    def _reach(self, examples: Any, first_step: int, first: int, end: int) -> int:
        """Takes steps, with the perturbations that are due after some. Returns the first step not taken."""
        reached = first
        if self.run.perturbation.acts_in_steps:
            due_after = self.run.perturbation.due_after
            for step in (step for step in range(first, end) if due_after(first_step + step)):
                if reached < step:  # a task begins once
                    reached = self._take(examples, first_step, reached, step)
                if reached < step:
                    return reached
                self.learner.perturbs = 1
                reached = self._take(examples, first_step, step, step + 1)
                if reached == step:
                    return reached
        return self._take(examples, first_step, reached, end) if reached < end else end

    def _take(self, examples: Any, first_step: int, first: int, end: int) -> int:
        """Takes steps, and does what the kernel waits for in them. Returns the first step not taken."""
        reached = self.kernel.learn(byref(self.learner), byref(examples), first, end)
        while self.learner.waiting:
            for each in self.forms:
                if self.learner.waiting == PERTURBATION:
                    each.perturb(first_step + reached, self.memory)
                else:
                    each.choose(first_step + reached, self.learner, self.memory, self._of_first_example())
            reached = self.kernel.learn(byref(self.learner), byref(examples), reached, end)
        _check(reached)
        return reached

    def activations(self, task: Task, examples: int) -> list[np.ndarray]:
        shown = min(examples, task.examples)
        structure = self.examples.structure(task)
        self.memory[0].arrange(task.permutation)
        found = [np.empty((shown, layer.units), np.float32) for layer in self.memory[:-1]]
        pointers = (c_void_p * len(found))(*(array.ctypes.data for array in found))
        _check(self.kernel.look(byref(self.learner), byref(structure), shown, pointers))
        return found

    def network(self) -> Network:
        memory = dict(self.started)
        for each in self.forms:
            memory |= each.remembered(self.memory, self._of_first_example(), self.learner.clock)
        parameters = {
            f"{kind}.{number}": array
            for number, layer in enumerate(self.memory)
            for kind, array in layer.parameters().items()
        }
        return Network(parameters, memory)


def _form(part: Part, run: Run) -> Form:
    found = form(part, run)
    assert found is not None, f"{part.name} has no native form"
    return found


def _score(objective: Objective, outputs: np.ndarray, targets: np.ndarray) -> float:
    """The mean score of a user's own objective."""
    import torch

    given = torch.from_numpy(outputs.astype(np.float32))
    wanted = torch.from_numpy(targets.astype(np.int64 if targets.dtype.kind == "i" else np.float32))
    with torch.no_grad():
        return float(objective.score(given, wanted).sum(dtype=torch.float64) / len(targets))


def _check(reached: int) -> None:
    """Raises ValueError if the kernel refused its arguments."""
    if reached < 0:
        raise ValueError("an activation, loss or utility that the kernel lacks, or another loss's targets")
