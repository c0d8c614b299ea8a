"""The floor under a step's time: reading the weights that it must touch, then changing them, all in cache."""

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from plasticity.datasets.task import Task
from plasticity.networks.network import Network
from plasticity.run import Run


@dataclass(frozen=True)
class Floor:
    """The least time that a step can take, in microseconds.

    Attributes:
        reading: one pass over the weights that a step touches, for the forward pass.
        changing: one more pass over them, to read, change and write them.
    """

    reading: float
    changing: float

    @property
    def total(self) -> float:
        return self.reading + self.changing


def touched_weights(run: Run, network: Network, task: Task, examples: int = 500) -> float:
    """Mean number of weights whose input is not 0, over examples of a task: the only ones that a step needs.

    The activations come from the given network, without learning. An activation other than ReLU touches all.
    """
    inputs = task.inputs(examples)
    touched = 0.0
    for weight, bias in zip(network.weights, network.biases, strict=True):
        touched += float(np.count_nonzero(inputs, axis=1).mean()) * len(bias)
        received = inputs @ weight.T + bias
        inputs = np.maximum(received, 0) if run.activation.name == "relu" else np.ones_like(received)
    return touched


def measure(weights: int, piece: int, seconds: float = 0.3) -> Floor:
    """The floor for weights of this size, `piece` of which a step touches.

    Args:
        weights: number of weights of the network, which decides the cache they are in.
        piece: number of weights that a step touches.
        seconds: how long to repeat each pass; the best of several trials counts.
    """
    library = _library()
    memory = np.zeros(weights, np.float32)
    pieces = max(1, int(5e7 / piece))
    return Floor(
        *(
            _best(stream, memory, piece, pieces, seconds)
            for stream in (library.read_stream, library.change_stream)
        )
    )


def _best(stream: Callable[..., float], memory: np.ndarray, piece: int, pieces: int, seconds: float) -> float:
    """Microseconds for one piece."""
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds or best == float("inf"):
        start = time.perf_counter()
        stream(memory.ctypes.data, memory.size, piece, pieces)
        best = min(best, (time.perf_counter() - start) / pieces * 1e6)
    return best


@cache
def _library() -> ctypes.CDLL:
    """floor.c, compiled for this machine."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["-O3", "-march=native", "-fPIC", "-shared"]
        source, target = Path(__file__).with_suffix(".c"), Path(folder) / "floor.so"
        subprocess.run([os.environ.get("CC", "cc"), *flags, str(source), "-o", str(target)], check=True)
        library = ctypes.CDLL(str(target))
    for stream in (library.read_stream, library.change_stream):
        stream.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_long]
        stream.restype = ctypes.c_float
    return library
