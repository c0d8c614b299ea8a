"""Pairs of classes: every task tells two classes of a set of images apart, and is tested on images of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import Any, Self

import numpy as np

from plasticity.datasets.image_sets import IMAGE_SETS, MOST_IMAGES, LabelledImages
from plasticity.datasets.images import MOST_TASKS, ImageDataset, labelled, shown
from plasticity.datasets.task import Task
from plasticity.errors import ConfigError
from plasticity.part import choice, flag, integer
from plasticity.streams import Purpose, sample


@dataclass(frozen=True, kw_only=True)
class ClassPairs(ImageDataset, name="class_pairs"):
    """A task is a pair of classes, shown for several epochs in batches; no pair recurs before all have been shown.

    The form of Continual ImageNet (Dohare et al. 2024, github.com/shibhansh/loss-of-plasticity, lop/imagenet).
    Images per class, epochs and the size of batches are theirs. They take two classes at a time from an order of
    1,000, which starts over after 500 tasks, and run 2,000 tasks or 5,000; they learn from the first 600 images of
    a class; they test on 100 images of each class, not on all; and their output layer starts each task at 0.

    Attributes:
        images_per_class: number of images of a class that the seed chooses for all tasks.
        epochs: how often each image is shown in a task, in a different order each time.
        repeat: whether there may be more tasks than pairs: once all have been shown, they recur in another order.
    """

    outputs = 2

    images: str = choice("emnist_balanced", options=tuple(IMAGE_SETS))
    tasks: int = integer(1_000, at_least=1, at_most=MOST_TASKS)
    images_per_class: int = integer(600, at_least=1, at_most=MOST_IMAGES)
    epochs: int = integer(250, at_least=1, at_most=1_000_000)
    batch_size: int = integer(100, at_least=1)
    repeat: bool = flag(False)

    @property
    def examples_per_task(self) -> int:
        """Number of examples of a task, over all epochs."""
        return self.shown_at_a_time * self.epochs

    @property
    def shown_at_a_time(self) -> int:
        """Number of different images that a task shows."""
        return 2 * self.images_per_class

    def prepare(self, root: str | None) -> None:
        super().prepare(root)
        labelled(self.images, root, test=True)

    def open(self, seed: int, root: str | None) -> "PairsOfClasses":
        return PairsOfClasses(self, seed, labelled(self.images, root), labelled(self.images, root, test=True))

    def canonical(self, run: Any) -> Self:
        chosen = IMAGE_SETS[self.images]
        pairs = comb(chosen.classes, 2)
        if self.tasks > pairs and not self.repeat:
            valid = (
                f"at most {pairs}, the number of pairs of classes with dataset.images={self.images}, unless "
                "dataset.repeat=true"
            )
            raise ConfigError("dataset.tasks", self.tasks, valid)
        if self.images_per_class > chosen.images_per_class:
            valid = f"at most {chosen.images_per_class} with dataset.images={self.images}"
            raise ConfigError("dataset.images_per_class", self.images_per_class, valid)
        self = super().canonical(run)
        return self if self.tasks > pairs else replace(self, repeat=False)


class PairsOfClasses:
    """The tasks of one seed.

    Args:
        dataset: the data set, which describes the tasks.
        seed: the run's seed.
        training: the images to learn from.
        test: the images to test on.
    """

    def __init__(self, dataset: ClassPairs, seed: int, training: LabelledImages, test: LabelledImages):
        self.dataset, self.seed, self.training, self.test = dataset, seed, training, test
        self.pairs = np.array(list(combinations(range(IMAGE_SETS[dataset.images].classes), 2)))

    def task(self, number: int) -> Task:
        """Task `number`, from 0. Its rows are the images of its two classes."""
        pair = self.pair(number)
        training = self._of(number, self.training, [self.chosen(label) for label in pair])
        test = self._of(number, self.test, [np.flatnonzero(self.test.labels == label) for label in pair])
        return replace(training, order=self.order(number), test=test)

    def order(self, number: int) -> np.ndarray:
        """The order in which a task shows its rows, epoch after epoch: int32, [examples]."""
        rows = self.dataset.shown_at_a_time
        orders = [
            sample(rows, rows, self.seed, Purpose.EXAMPLE_ORDER, (number, epoch))
            for epoch in range(self.dataset.epochs)
        ]
        return np.concatenate(orders)

    def pair(self, number: int) -> tuple[int, int]:
        """The two classes of a task, class 0 of the task first."""
        number_of_pairs = len(self.pairs)
        turn, place = divmod(number, number_of_pairs)
        order = sample(number_of_pairs, number_of_pairs, self.seed, Purpose.CLASS_PAIRS, (0, turn))
        first, second = sample(2, 2, self.seed, Purpose.CLASS_PAIRS, (1, number))
        pair = self.pairs[order[place]]
        return int(pair[first]), int(pair[second])

    def chosen(self, label: int) -> np.ndarray:
        """Which images for training are shown of a class: int64, [images_per_class]."""
        found, size = np.flatnonzero(self.training.labels == label), self.dataset.images_per_class
        chosen: np.ndarray = found[sample(len(found), size, self.seed, Purpose.CHOSEN_IMAGES, (label,))]
        return chosen

    def _of(self, number: int, source: LabelledImages, places: Sequence[np.ndarray]) -> Task:
        """A task of images at given places of their source, one class after the other."""
        rows = np.concatenate(places)
        return Task(
            number=number,
            first_step=number * self.dataset.steps_per_task,
            rows=shown(source.images[rows], self.dataset.pixels),
            targets=np.repeat(np.arange(2, dtype=np.int32), [len(each) for each in places]),
            order=np.arange(len(rows), dtype=np.int32),
        )
