"""Streams of tasks. One file per data set."""

from plasticity.datasets.bit_flipping import BitFlipping
from plasticity.datasets.class_pairs import ClassPairs
from plasticity.datasets.dataset import Dataset, Stream, prepare_data
from plasticity.datasets.images import ImageDataset
from plasticity.datasets.label_permuted_mnist import LabelPermutedMnist
from plasticity.datasets.permuted_mnist import PermutedMnist
from plasticity.datasets.random_label_mnist import RandomLabelMnist
from plasticity.datasets.task import SparseRows, Task

__all__ = [
    "BitFlipping",
    "ClassPairs",
    "Dataset",
    "ImageDataset",
    "LabelPermutedMnist",
    "PermutedMnist",
    "RandomLabelMnist",
    "SparseRows",
    "Stream",
    "Task",
    "prepare_data",
]
