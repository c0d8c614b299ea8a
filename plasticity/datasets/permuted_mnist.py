"""Continual Permuted MNIST: every task shows the same digits under a new permutation of the pixels."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from plasticity.datasets import mnist
from plasticity.datasets.task import SparseRows, Task
from plasticity.schema import integer
from plasticity.streams import Purpose, sample

IMAGES = 60_000
PIXELS = 784


@dataclass(frozen=True, kw_only=True)
class PermutedMnistConfig:
    """`dataset=permuted_mnist`."""

    inputs: ClassVar[int] = PIXELS
    outputs: ClassVar[int] = 10
    loss: ClassVar[str] = "cross_entropy"

    name: str = "permuted_mnist"
    tasks: int = integer(1_100, at_least=1)
    examples_per_task: int = integer(10_000, at_least=1, at_most=IMAGES)

    def prepare(self, root: str | None) -> None:
        """Makes sure that the data is in the cache.

        Raises:
            UserError: when it cannot be had.
        """
        mnist.load(root)

    def open(self, seed: int, root: str | None) -> "PermutedMnist":
        """The stream of tasks of a seed; reads MNIST from `root` (None: the usual cache)."""
        return PermutedMnist(self, seed, *_digits(root))


class PermutedMnist:
    """The tasks of one seed. Task k is a permutation of the pixels and an order of the images, no data."""

    def __init__(self, config: PermutedMnistConfig, seed: int, rows: SparseRows, labels: np.ndarray):
        self.config, self.seed, self.rows, self.labels = config, seed, rows, labels

    def task(self, number: int) -> Task:
        """Task `number`, from 0: the first examples of a random order of the 60,000 images, each once."""
        return Task(
            number=number,
            first_step=number * self.config.examples_per_task,
            rows=self.rows,
            targets=self.labels,
            order=sample(IMAGES, self.config.examples_per_task, self.seed, Purpose.EXAMPLE_ORDER, (number,)),
            permutation=sample(PIXELS, PIXELS, self.seed, Purpose.PERMUTATION, (number,)),
        )


@lru_cache(maxsize=1)
def _digits(root: str | None) -> tuple[SparseRows, np.ndarray]:
    """The training images, pixels divided by 255, and their labels; once per process, shared by its runs."""
    digits = mnist.load(root)
    rows = SparseRows.of(digits.images)
    scaled = SparseRows(rows.start, rows.index, rows.value / np.float32(255), rows.columns)
    return scaled, digits.labels.astype(np.int32)
