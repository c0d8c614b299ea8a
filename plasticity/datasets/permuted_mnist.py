"""Continual Permuted MNIST: every task shows the same digits under a new permutation of the pixels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from plasticity.datasets import mnist
from plasticity.datasets.dataset import Dataset
from plasticity.datasets.task import SparseRows, Task
from plasticity.objectives import CrossEntropy
from plasticity.part import integer
from plasticity.streams import Purpose, sample

IMAGES = 60_000
PIXELS = 784
MOST_TASKS = 10**9


@dataclass(frozen=True, kw_only=True)
class PermutedMnist(Dataset, name="permuted_mnist"):
    """A task is a random permutation of the pixels, and the first images of a random order."""

    inputs = PIXELS
    outputs = 10
    objective = CrossEntropy()

    tasks: int = integer(1_100, at_least=1, at_most=MOST_TASKS)
    examples_per_task: int = integer(10_000, at_least=1, at_most=IMAGES)

    def prepare(self, root: str | None) -> None:
        mnist.load(root)

    def open(self, seed: int, root: str | None) -> "PermutedDigits":
        return PermutedDigits(self, seed, *digits(root))


class PermutedDigits:
    """The tasks of one seed."""

    def __init__(self, dataset: PermutedMnist, seed: int, rows: SparseRows, labels: np.ndarray):
        self.dataset, self.seed, self.rows, self.labels = dataset, seed, rows, labels

    def task(self, number: int) -> Task:
        """Task `number`, from 0: the first examples of a random order of the 60,000 images, each once."""
        examples = self.dataset.examples_per_task
        return Task(
            number=number,
            first_step=number * self.dataset.steps_per_task,
            rows=self.rows,
            targets=self.labels,
            order=sample(IMAGES, examples, self.seed, Purpose.EXAMPLE_ORDER, (number,)),
            permutation=sample(PIXELS, PIXELS, self.seed, Purpose.PERMUTATION, (number,)),
        )


@lru_cache(maxsize=1)
def digits(root: str | None) -> tuple[SparseRows, np.ndarray]:
    """The training images, pixels divided by 255, and their labels; once per process, shared by its runs.

    Args:
        root: where data sets are kept; None for the usual place.

    Returns:
        sparse rows of [60000, 784], and int32 [60000]

    Raises:
        UserError: when MNIST cannot be obtained.
    """
    images = mnist.load(root)
    rows = SparseRows.of(images.images)
    scaled = SparseRows(rows.start, rows.index, rows.value / np.float32(255), rows.columns)
    return scaled, images.labels.astype(np.int32)
