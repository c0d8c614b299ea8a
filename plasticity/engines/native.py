"""The native engine: the reference engine's step, fused, in compiled code; as many runs at a time as there are cores."""

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from ctypes import byref
from typing import Any

import numpy as np

from plasticity.activations import replacement_bound
from plasticity.config import UTILITIES, RunConfig
from plasticity.datasets.task import SparseRows, Task
from plasticity.engines.engine import Run, TaskResult, follow
from plasticity.engines.kernel import binding, build
from plasticity.engines.kernel.binding import aligned, padded
from plasticity.errors import Diverged
from plasticity.network import State

ACTIVATIONS = ("relu", "selu", "tanh", "sigmoid", "leaky_relu", "elu", "swish", "gelu")
LOSSES = ("cross_entropy", "squared_error")

ADVANCE_EVERY = 100_000
"""Steps between two signs of progress, half a second."""


def unavailable() -> str | None:
    """Why this machine cannot run the native engine, as one sentence; None if it can."""
    try:
        binding.library()
    except build.Unavailable as reason:
        return str(reason)
    return None


class LayerMemory:
    """A linear layer and its units in memory, as `learner.h` describes them, and in a structure of pointers.

    Args:
        weight: float32, [units, inputs].
        bias: float32, [units].
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.units, self.inputs = weight.shape
        rows, stride = padded(self.inputs), padded(self.units)
        self.arrays = {
            "weight": aligned((rows, stride)),
            "bias": aligned(stride),
            "row_sum": aligned(rows),
            "row": aligned(rows + 16, np.int32),
            "value": aligned(rows + 16),
            "activation": aligned(stride),
            "slope": aligned(stride),
            "error": aligned(stride),
            "born": aligned(stride, np.int64),
            "utility": aligned(stride),
            "mean_activation": aligned(stride),
            "fading": aligned(stride, np.float64),
            "chosen": aligned(stride, np.int32),
            "scratch": aligned(stride),
        }
        self.arrays["weight"][: self.inputs, : self.units] = weight.T
        self.arrays["bias"][: self.units] = bias

    def __getitem__(self, name: str) -> np.ndarray:
        """An array without its padding: of weights [inputs, units], of everything else [units]."""
        array = self.arrays[name]
        return array[: self.inputs, : self.units] if array.ndim == 2 else array[: self.units]

    def structure(self) -> binding.Layer:
        """The layer as the kernel takes it."""
        pointers = {name: array.ctypes.data for name, array in self.arrays.items()}
        return binding.Layer(inputs=self.inputs, units=self.units, stride=padded(self.units), **pointers)


class NativeLearner:
    """A multi-layer perceptron trained one example at a time, in the kernel's memory."""

    def __init__(self, config: RunConfig, state: State):
        self.config = config
        self.kernel = binding.kernel()
        self.memory = [
            LayerMemory(weight, bias) for weight, bias in zip(state.weights, state.biases, strict=True)
        ]
        self.layers = (binding.Layer * len(self.memory))()
        for number, memory in enumerate(self.memory):
            if number > 0:
                self._connect(self.memory[number - 1], memory)
            self.layers[number] = memory.structure()
            self.layers[number].used = memory.inputs
        self._start_replacement(state)
        self.network = self._network()

    def _connect(self, below: LayerMemory, layer: LayerMemory) -> None:
        """Makes all units of a layer the inputs of the next; the kernel lists the active units of ReLU itself."""
        if self.config.activation.name != "relu":
            layer.arrays["row"][: layer.inputs] = np.arange(layer.inputs)
            layer.arrays["value"] = below.arrays["activation"]

    def _start_replacement(self, state: State) -> None:
        replacement = self.config.replacement
        for number, (memory, layer) in enumerate(zip(self.memory[:-1], self.layers, strict=False)):
            memory["utility"][:] = state.utility[number]
            memory["mean_activation"][:] = state.mean_activation[number]
            memory["born"][:] = -state.age[number]
            layer.debt = state.debt[number]
            layer.rate = replacement.rate if number + 1 in replacement.layers else 0.0
            layer.bound = replacement_bound(self.config.activation.name, memory.inputs)

    def _network(self) -> binding.Network:
        config, replacement = self.config, self.config.replacement
        decay = 1 - config.optimiser.step_size * config.regulariser.strength
        return binding.Network(
            depth=config.model.depth,
            layer=self.layers,
            activation=ACTIVATIONS.index(config.activation.name),
            loss=LOSSES.index(config.dataset.loss),
            utility=UTILITIES.index(replacement.utility),
            bias_compensation=replacement.bias_compensation,
            step_size=config.optimiser.step_size,
            # The kernel divides by it.
            decay=decay if abs(decay) > 1e-10 else 1e-10,
            decay_rate=replacement.decay_rate,
            maturity_threshold=replacement.maturity_threshold,
            seed=config.seed,
            scale=1.0,
        )

    def learn(self, task: Task, advance: Callable[[int], None]) -> TaskResult:
        examples, keep = _examples(task)
        for first in range(0, task.examples, ADVANCE_EVERY):
            end = min(first + ADVANCE_EVERY, task.examples)
            reached = self.kernel.learn(byref(self.network), byref(examples), first, end)
            if reached < end:
                raise Diverged(task.number, reached)
            advance(end - first)
        count = task.examples
        return TaskResult(
            accuracy=self.network.right / count
            if self.config.dataset.loss == "cross_entropy"
            else float("nan"),
            loss=self.network.total_loss / count,
            weight_magnitude=np.array([layer.magnitude for layer in self.layers]) / count,
            replaced=np.array([layer.replaced for layer in self.layers[:-1]], np.int64),
        )

    def state(self) -> State:
        hidden = self.memory[:-1]
        return State(
            weights=[memory["weight"].T.copy() for memory in self.memory],
            biases=[memory["bias"].copy() for memory in self.memory],
            utility=[memory["utility"].copy() for memory in hidden],
            mean_activation=[memory["mean_activation"].copy() for memory in hidden],
            age=[self.network.clock - memory["born"] for memory in hidden],
            debt=np.array([layer.debt for layer in self.layers[:-1]], np.float64),
        )


def _examples(task: Task) -> tuple[binding.Examples, list[np.ndarray]]:
    """A task as the kernel takes it, and the arrays that it points to."""
    arrays: dict[str, Any] = {"order": (task.order, np.int32)}
    if isinstance(task.rows, SparseRows):
        arrays |= {
            "start": (task.rows.start, np.int64),
            "index": (task.rows.index, np.int32),
            "entry": (task.rows.value, np.float32),
        }
    else:
        arrays["dense"] = (task.rows, np.float32)
    if task.permutation is not None:
        arrays["permutation"] = (task.permutation, np.int32)
    if task.targets.dtype.kind == "i":
        arrays["label"] = (task.targets, np.int32)
    else:
        arrays["target"] = (task.targets, np.float32)
    kept = {name: np.ascontiguousarray(array, kind) for name, (array, kind) in arrays.items()}
    pointers = {name: array.ctypes.data for name, array in kept.items()}
    return binding.Examples(first_step=task.first_step, count=task.examples, **pointers), list(kept.values())


class NativeEngine:
    """Computes as many runs at a time as it has threads.

    Args:
        threads: None for one per core that this process may use.

    Raises:
        build.Unavailable: the kernel cannot be built on this machine.
    """

    name = "native"
    learner = NativeLearner

    def __init__(self, threads: int | None = None):
        binding.library()
        self.threads = threads or cores()

    def compute(self, runs: Iterable[AbstractContextManager[Run]]) -> None:
        """Computes runs to their end, in their order, each in one thread.

        A run's exception ends the thread that computes it and keeps new runs from starting; it is raised when
        the runs under way have ended. The calling thread only waits: an interrupt of it is raised at once,
        and no new run starts after it.
        """
        queue = _Queue(runs)
        threads = [threading.Thread(target=queue.work, daemon=True) for _ in range(self.threads)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            queue.close()
        if queue.errors:
            raise queue.errors[0]


class _Queue:
    """Runs that several threads draw from, one at a time."""

    def __init__(self, runs: Iterable[AbstractContextManager[Run]]):
        self.runs = iter(runs)
        self.lock = threading.Lock()
        self.errors: list[BaseException] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def work(self) -> None:
        """Computes runs until there are none left."""
        try:
            while (run := self._next()) is not None:
                follow(run, NativeLearner)
        except BaseException as error:
            self.errors.append(error)
            self.close()

    def _next(self) -> AbstractContextManager[Run] | None:
        with self.lock:
            return None if self.closed else next(self.runs, None)


def cores() -> int:
    """Number of cores that this process may use: its affinity, and no more than SLURM gave the task."""
    allowed = len(os.sched_getaffinity(0))
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(allowed, int(granted)) if granted.isdecimal() and int(granted) > 0 else allowed
