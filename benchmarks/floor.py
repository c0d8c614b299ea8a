"""The floor under the time of a step: the weights that it must touch, over the bandwidth of their cache."""

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from plasticity.datasets.task import Task
from plasticity.network import Network
from plasticity.run import Run

PASSES = 3
"""A weight that is touched is read, read again and written."""


def touched_weights(run: Run, network: Network, task: Task, examples: int = 500) -> float:
    """Mean number of weights whose input is not 0, over examples of a task: the only ones that a step needs.

    The activations come from the given network, without learning. An activation other than ReLU touches all.
    """
    inputs = np.stack([task.example(step) for step in range(examples)])
    touched = 0.0
    for weight, bias in zip(network.weights, network.biases, strict=True):
        touched += float(np.count_nonzero(inputs, axis=1).mean()) * len(bias)
        received = inputs @ weight.T + bias
        inputs = np.maximum(received, 0) if run.activation.name == "relu" else np.ones_like(received)
    return touched


def bytes_per_second(weights: int, piece: int, seconds: float = 0.3) -> float:
    """What a plain streaming kernel reaches on weights of this size, going over `piece` of them at a time.

    Args:
        weights: number of weights of the network, which says what cache they are in.
        piece: number of weights that a step touches.
        seconds: how long to try for; the best of several trials counts.
    """
    stream = _kernel()
    memory = np.zeros(weights, np.float32)
    pieces = max(1, int(2e8 / (4 * piece * PASSES)))
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds or best == 0:
        start = time.perf_counter()
        stream(memory.ctypes.data, weights, piece, pieces)
        best = max(best, PASSES * 4 * piece * pieces / (time.perf_counter() - start))
    return best


def _kernel() -> Callable[..., float]:
    """`stream` of floor.c, compiled for this very machine."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["-O3", "-march=native", "-ffast-math", "-funroll-loops", "-fPIC", "-shared"]
        source, target = Path(__file__).with_suffix(".c"), Path(folder) / "floor.so"
        subprocess.run([os.environ.get("CC", "cc"), *flags, str(source), "-o", str(target)], check=True)
        stream = ctypes.CDLL(str(target)).stream
    stream.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_long]
    stream.restype = ctypes.c_float
    return stream
