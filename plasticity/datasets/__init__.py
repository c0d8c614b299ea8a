"""Streams of tasks. One file per data set."""

from plasticity.datasets.bit_flipping import BitFlipping
from plasticity.datasets.dataset import Dataset, Stream
from plasticity.datasets.permuted_mnist import PermutedMnist
from plasticity.datasets.task import SparseRows, Task

__all__ = ["BitFlipping", "Dataset", "PermutedMnist", "SparseRows", "Stream", "Task"]
