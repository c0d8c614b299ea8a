"""The native engine: the step of the reference engine, fused in compiled code; one run per core at a time."""

import threading
from collections.abc import Callable, Iterable
from ctypes import byref

import numpy as np

from plasticity.activations import replacement_bound
from plasticity.config import UTILITIES, RunConfig
from plasticity.cores import cores
from plasticity.datasets.task import Task
from plasticity.engines.engine import Run, TaskResult, follow
from plasticity.engines.kernel import binding, build
from plasticity.engines.kernel.memory import ExampleMemory, LayerMemory
from plasticity.errors import Diverged
from plasticity.network import State

ACTIVATIONS = ("relu", "selu", "tanh", "sigmoid", "leaky_relu", "elu", "swish", "gelu")
LOSSES = ("cross_entropy", "squared_error")

ADVANCE_EVERY = 100_000
"""Steps between two signs of progress: about half a second."""


def unavailable() -> str | None:
    """Why this machine cannot run the native engine, as one sentence; None if it can."""
    try:
        binding.library()
    except build.Unavailable as reason:
        return str(reason)
    return None


class NativeLearner:
    """A multi-layer perceptron trained one example at a time, in the kernel's memory."""

    def __init__(self, config: RunConfig, state: State):
        self.config = config
        self.kernel = binding.kernel()
        self.examples = ExampleMemory(config.dataset.inputs, config.dataset.outputs)
        shapes = zip(config.layer_sizes, config.layer_sizes[1:], state.weights, state.biases, strict=False)
        self.memory = [LayerMemory(*shape) for shape in shapes]
        if config.activation.name != "relu":
            for below, above in zip(self.memory, self.memory[1:], strict=False):
                above.use_all_of(below)
        self.layers = (binding.Layer * len(self.memory))(*(memory.structure() for memory in self.memory))
        self._start_replacement(state)
        self.network = self._network()

    def _start_replacement(self, state: State) -> None:
        replacement = self.config.replacement
        for number, (memory, layer) in enumerate(zip(self.memory[:-1], self.layers, strict=False)):
            memory["utility"][:] = state.utility[number]
            memory["mean_activation"][:] = state.mean_activation[number]
            memory["born"][:] = -state.age[number]
            layer.debt = state.debt[number]
            layer.rate = replacement.rate if number + 1 in replacement.layers else 0.0
            layer.bound = replacement_bound(self.config.activation.name, memory.inputs)

    def _network(self) -> binding.Learner:
        config, replacement = self.config, self.config.replacement
        kept = 1 - config.optimiser.step_size * config.regulariser.strength
        return binding.Learner(
            depth=config.model.depth,
            layer=self.layers,
            activation=ACTIVATIONS.index(config.activation.name),
            loss=LOSSES.index(config.dataset.loss),
            utility=UTILITIES.index(replacement.utility),
            bias_compensation=replacement.bias_compensation,
            step_size=config.optimiser.step_size,
            kept=kept if abs(kept) > 1e-10 else 1e-10,  # the kernel divides by it
            decay_rate=replacement.decay_rate,
            maturity_threshold=min(replacement.maturity_threshold, 2**63 - 1),  # no unit gets that old
            seed=config.seed,
            scale=1.0,
        )

    def learn(self, task: Task, advance: Callable[[int], None]) -> TaskResult:
        examples = self.examples.structure(task)
        self.memory[0].arrange(task.permutation)  # once, so that no step looks a permutation up
        for first in range(0, task.examples, ADVANCE_EVERY):
            end = min(first + ADVANCE_EVERY, task.examples)
            reached = self.kernel.learn(byref(self.network), byref(examples), first, end)
            if reached < 0:
                raise ValueError(
                    "an activation, loss or utility that the kernel lacks, or another loss's targets"
                )
            if reached < end:
                raise Diverged(task.number, reached)
            advance(end - first)
        classes = self.config.dataset.loss == "cross_entropy"
        return TaskResult(
            accuracy=self.network.right / task.examples if classes else float("nan"),
            loss=self.network.total_loss / task.examples,
            weight_magnitude=np.array([layer.total_magnitude for layer in self.layers]) / task.examples,
            replaced=np.array([layer.replaced for layer in self.layers[:-1]], np.int64),
        )

    def state(self) -> State:
        hidden = self.memory[:-1]
        return State(
            weights=[memory.weight for memory in self.memory],
            biases=[memory["bias"].copy() for memory in self.memory],
            utility=[memory["utility"].copy() for memory in hidden],
            mean_activation=[memory["mean_activation"].copy() for memory in hidden],
            age=[self.network.clock - memory["born"] for memory in hidden],
            debt=np.array([layer.debt for layer in self.layers[:-1]], np.float64),
        )


class NativeEngine:
    """Computes as many runs at a time as it has threads.

    Args:
        threads: None for one per core that this process may use.

    Raises:
        UserError: the kernel cannot be built on this machine, or not as $PLASTICITY_KERNEL asks for it.
    """

    name = "native"
    learner = NativeLearner

    def __init__(self, threads: int | None = None):
        binding.kernel()
        self.threads = threads or cores()

    def compute(self, runs: Iterable[Run]) -> None:
        """Computes runs to their end, in their order, each in one thread.

        An exception that a run lets through ends its thread and keeps new runs from starting; it is raised
        when the runs under way have ended. The calling thread only waits: if it is interrupted, that is
        raised at once, and no new run starts.
        """
        queue = _Queue(runs)
        threads = [threading.Thread(target=queue.work, daemon=True) for _ in range(self.threads)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            queue.closed = True
        if queue.errors:
            raise queue.errors[0]


class _Queue:
    """Runs that several threads take, one at a time."""

    def __init__(self, runs: Iterable[Run]):
        self.runs = iter(runs)
        self.lock = threading.Lock()
        self.errors: list[BaseException] = []
        self.closed = False

    def work(self) -> None:
        """Computes runs until there are none left."""
        try:
            while (run := self._next()) is not None:
                follow(run, NativeLearner)
        except BaseException as error:
            self.closed = True
            self.errors.append(error)

    def _next(self) -> Run | None:
        with self.lock:
            return None if self.closed else next(self.runs, None)
