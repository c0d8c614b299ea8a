"""Continual Permuted MNIST: every task shows the same digits under a new permutation of the pixels."""

from dataclasses import dataclass

import numpy as np

from plasticity.datasets.image_sets import MOST_IMAGES
from plasticity.datasets.images import MOST_TASKS, ImageDataset, ImageStream
from plasticity.part import integer
from plasticity.streams import Purpose, sample


@dataclass(frozen=True, kw_only=True)
class PermutedMnist(ImageDataset, name="permuted_mnist"):
    """A task is a random permutation of the pixels and the first images of a random order."""

    tasks: int = integer(1_100, at_least=1, at_most=MOST_TASKS)
    examples_per_task: int = integer(10_000, at_least=1, at_most=MOST_IMAGES)

    permutes = True

    def open(self, seed: int, root: str | None) -> "PermutedDigits":
        return PermutedDigits(self, seed, *self.rows(root))


class PermutedDigits(ImageStream):
    """The tasks of one seed."""

    def permutation(self, number: int) -> np.ndarray:
        inputs = self.dataset.inputs
        return sample(inputs, inputs, self.seed, Purpose.PERMUTATION, (number,))
