"""Label-permuted MNIST: images stay as they are, and every task renames their classes."""

from dataclasses import dataclass

import numpy as np

from plasticity.datasets.image_sets import MOST_IMAGES
from plasticity.datasets.images import MOST_TASKS, ImageDataset, ImageStream
from plasticity.part import integer
from plasticity.streams import Purpose, sample


@dataclass(frozen=True, kw_only=True)
class LabelPermutedMnist(ImageDataset, name="label_permuted_mnist"):
    """A task is a random permutation of the classes (none in the first) and the first images of a random order.

    The MNIST form of the label-permuted EMNIST of Elsayed and Mahmood 2024 (github.com/mohmdelsayed/upgd).
    """

    tasks: int = integer(400, at_least=1, at_most=MOST_TASKS)
    examples_per_task: int = integer(2_500, at_least=1, at_most=MOST_IMAGES)

    def open(self, seed: int, root: str | None) -> "PermutedLabels":
        return PermutedLabels(self, seed, *self.rows(root))


class PermutedLabels(ImageStream):
    """The tasks of one seed."""

    def targets(self, number: int) -> np.ndarray:
        renamed: np.ndarray = self.names(number)[self.labels]
        return renamed

    def names(self, number: int) -> np.ndarray:
        """The new number of each class in a task: int32, [classes]."""
        classes = self.dataset.outputs
        if number == 0:
            return np.arange(classes, dtype=np.int32)
        return sample(classes, classes, self.seed, Purpose.LABELS, (number,))
