"""The native engine: the step of the reference engine, fused in compiled code."""

from collections.abc import Callable, Iterator
from ctypes import byref, c_void_p

import numpy as np

from plasticity.activations import ELU, GELU, SELU, LeakyReLU, ReLU, Sigmoid, Swish, Tanh
from plasticity.datasets import Task
from plasticity.engines.engine import TaskResult
from plasticity.engines.kernel import binding, build
from plasticity.engines.kernel.memory import ExampleMemory, LayerMemory
from plasticity.errors import Diverged
from plasticity.model import Model
from plasticity.network import Network
from plasticity.objectives import CrossEntropy, SquaredError
from plasticity.optimisers import SGD
from plasticity.part import Part
from plasticity.regularisers import L2, NoRegulariser
from plasticity.replacement import ContinualBackpropagation
from plasticity.run import Run
from plasticity.utilities import (
    AdaptableContribution,
    Adaptation,
    Contribution,
    FeatureByInput,
    Random,
    Weight,
    ZeroContribution,
)

ACTIVATIONS = (ReLU, SELU, Tanh, Sigmoid, LeakyReLU, ELU, Swish, GELU)
OBJECTIVES = (CrossEntropy, SquaredError)
UTILITIES = (
    Contribution,
    ZeroContribution,
    AdaptableContribution,
    Adaptation,
    Weight,
    FeatureByInput,
    Random,
)
"""In the order of their numbers in the kernel."""

SUPPORTED = {
    Model,
    ContinualBackpropagation,
    NoRegulariser,
    L2,
    SGD,
    *ACTIVATIONS,
    *OBJECTIVES,
    *UTILITIES,
}
"""Every part that has a native form, by its exact class: a subclass computes something else. Any data set will do,
since the kernel receives its tasks as plain arrays."""

ADVANCE_EVERY = 100_000
"""Number of examples between two reports of progress: about half a second."""


class NativeEngine:
    """Computes the runs whose parts have a native form, on machines with a C compiler."""

    name = "native"

    def unsupported(self, run: Run) -> str | None:
        for key, part in _parts(run):
            if type(part) not in SUPPORTED:
                return f"{key}={part.name} has no native form"
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


def _parts(run: Run) -> Iterator[tuple[str, Part]]:
    """Every part that takes part in a run's steps, by config key, including those held by other parts."""
    for key, part in run.parts().items():
        if key != "dataset":
            yield key, part
    yield "dataset.objective", run.dataset.objective
    if isinstance(run.replacement, ContinualBackpropagation):
        yield "replacement.utility", run.replacement.utility


class NativeLearner:
    """A multi-layer perceptron that learns online, in the kernel's memory."""

    def __init__(self, run: Run, network: Network):
        self.run = run
        assert isinstance(run.replacement, ContinualBackpropagation) and isinstance(run.optimiser, SGD)
        self.replacement, self.optimiser = run.replacement, run.optimiser
        self.kernel = binding.kernel()
        self.batch = run.dataset.batch_size
        self.examples = ExampleMemory(run.dataset.inputs, run.dataset.outputs, self.batch)
        shapes = zip(run.layer_sizes, run.layer_sizes[1:], network.weights, network.biases, strict=False)
        self.memory = [LayerMemory(*shape, self.batch) for shape in shapes]
        if not isinstance(run.activation, ReLU):
            for below, above in zip(self.memory, self.memory[1:], strict=False):
                above.use_all_of(below)
        if self.replacement.observed == "misaligned":
            for number, memory in enumerate(self.memory[:-1]):
                seen = self.memory[number // 2]
                if number % 2 == 0:
                    seen.keep_pre_activations()
                memory.observe(seen.current["activation" if number % 2 else "z"])
        structures = [memory.structure(place) for place in range(self.batch) for memory in self.memory]
        self.layers = (binding.Layer * len(structures))(*structures)
        self._start_replacement(network)
        self.learner = self._learner()

    def _start_replacement(self, network: Network) -> None:
        """Restores what replacement remembers of the hidden layers and their units."""
        age, utility = network.remembered("age"), network.remembered("utility")
        mean_activation, debt = network.remembered("mean_activation"), network.remembered("debt")
        for number, (memory, layer) in enumerate(zip(self.memory[:-1], self.layers, strict=False)):
            memory["utility"][:] = utility[number]
            memory["mean_activation"][:] = mean_activation[number]
            memory["born"][:] = -age[number]
            layer.debt = float(debt[number])
            layer.rate = self.replacement.rate if number + 1 in self.replacement.layers else 0.0
            layer.bound = self.run.model.replacement_bound(self.run.activation, memory.inputs)

    def _learner(self) -> binding.Learner:
        strength = self.run.regulariser.strength if isinstance(self.run.regulariser, L2) else 0.0
        kept = 1 - self.optimiser.step_size * strength
        return binding.Learner(
            depth=len(self.memory) - 1,
            batch=self.batch,
            layer=self.layers,
            activation=ACTIVATIONS.index(type(self.run.activation)),
            loss=OBJECTIVES.index(type(self.run.dataset.objective)),
            utility=UTILITIES.index(type(self.replacement.utility)),
            bias_compensation=self.replacement.bias_compensation,
            by_chance=self.replacement.accrual == "chance",
            step_size=self.optimiser.step_size,
            kept=kept if abs(kept) > 1e-10 else 1e-10,  # the kernel divides by it
            decay_rate=self.replacement.decay_rate,
            maturity_threshold=self.replacement.maturity_threshold,
            seed=self.run.seed,
            scale=1.0,
        )

    def learn(self, task: Task, advance: Callable[[int], None], again: bool = False) -> TaskResult:
        self.learner.again = again
        examples = self.examples.structure(task)
        self.memory[0].arrange(task.permutation)  # once per task, so that no step has to look it up
        steps, at_once = task.examples // self.batch, max(ADVANCE_EVERY // self.batch, 1)
        for first in range(0, steps, at_once):
            end = min(first + at_once, steps)
            reached = self.kernel.learn(byref(self.learner), byref(examples), first, end)
            _check(reached)
            if reached < end:
                raise Diverged(task.number, reached)
            advance(end - first)
        layers = self.layers[: len(self.memory)]
        loss = self.learner.total_loss / steps
        classes = isinstance(self.run.dataset.objective, CrossEntropy)
        return TaskResult(
            score=self.learner.right / task.examples if classes else loss,
            loss=loss,
            weight_magnitude=np.array([layer.total_magnitude for layer in layers]) / steps,
            replaced=np.array([layer.replaced for layer in layers[:-1]], np.int64),
            step_plasticity=self.learner.total_plasticity / steps if again else None,
        )

    def activations(self, task: Task, examples: int) -> list[np.ndarray]:
        shown = min(examples, task.examples)
        structure = self.examples.structure(task)
        self.memory[0].arrange(task.permutation)
        found = [np.empty((shown, layer.units), np.float32) for layer in self.memory[:-1]]
        pointers = (c_void_p * len(found))(*(array.ctypes.data for array in found))
        _check(self.kernel.look(byref(self.learner), byref(structure), shown, pointers))
        return found

    def network(self) -> Network:
        memory: dict[str, np.ndarray] = {}
        for number, layer in enumerate(self.memory[:-1]):
            memory |= {
                f"age.{number}": self.learner.clock - layer["born"],
                f"utility.{number}": layer["utility"].copy(),
                f"mean_activation.{number}": layer["mean_activation"].copy(),
                f"debt.{number}": np.array(self.layers[number].debt, np.float64),
            }
        return Network(
            weights=[layer.weight for layer in self.memory],
            biases=[layer["bias"].copy() for layer in self.memory],
            memory=memory,
        )


def _check(reached: int) -> None:
    """Raises ValueError if the kernel refused its arguments."""
    if reached < 0:
        raise ValueError("an activation, loss or utility that the kernel lacks, or another loss's targets")
