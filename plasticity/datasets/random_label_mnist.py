"""Random-label MNIST: in every task a few images are to be memorised, with labels unrelated to their content."""

from dataclasses import dataclass

import numpy as np

from plasticity.datasets.image_sets import MOST_IMAGES
from plasticity.datasets.images import MOST_TASKS, ImageDataset, ImageStream
from plasticity.datasets.task import SparseRows
from plasticity.part import integer
from plasticity.streams import Purpose, sample


@dataclass(frozen=True, kw_only=True)
class RandomLabelMnist(ImageDataset, name="random_label_mnist"):
    """A task reshuffles the labels of the same images, and shows the images for several epochs.

    The protocol of Kumar et al. 2023 (github.com/skumar9876/L2_Init), but including the last batch of an epoch,
    which their code drops.

    Attributes:
        images_per_task: number of images, which the seed chooses for all tasks.
        epochs: how often each image is shown in a task, in a different order each time.
    """

    tasks: int = integer(50, at_least=1, at_most=MOST_TASKS)
    images_per_task: int = integer(1_200, at_least=1, at_most=MOST_IMAGES)
    epochs: int = integer(400, at_least=1, at_most=1_000_000)
    batch_size: int = integer(16, at_least=1)

    @property
    def examples_per_task(self) -> int:
        """Number of examples of a task, over all epochs."""
        return self.images_per_task * self.epochs

    @property
    def shown_at_a_time(self) -> int:
        """Number of different images that a task shows."""
        return self.images_per_task

    def open(self, seed: int, root: str | None) -> "ShuffledLabels":
        return ShuffledLabels(self, seed, *self.rows(root))


class ShuffledLabels(ImageStream):
    """The tasks of one seed, each of the same images, epoch after epoch."""

    def __init__(
        self, dataset: RandomLabelMnist, seed: int, rows: SparseRows | np.ndarray, labels: np.ndarray
    ):
        super().__init__(dataset, seed, rows, labels)
        self.images, self.epochs = dataset.images_per_task, dataset.epochs
        self.chosen = sample(len(labels), self.images, seed, Purpose.CHOSEN_IMAGES, ())

    def order(self, number: int) -> np.ndarray:
        orders = [
            sample(self.images, self.images, self.seed, Purpose.EXAMPLE_ORDER, (number, epoch))
            for epoch in range(self.epochs)
        ]
        order: np.ndarray = self.chosen[np.concatenate(orders)]
        return order

    def targets(self, number: int) -> np.ndarray:
        shuffled = sample(self.images, self.images, self.seed, Purpose.LABELS, (number,))
        targets = self.labels.copy()
        targets[self.chosen] = self.labels[self.chosen[shuffled]]
        return targets
