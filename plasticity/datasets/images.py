"""What streams of images have in common: which images they show, and how pixels become inputs."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Self

import numpy as np

from plasticity.datasets import image_sets
from plasticity.datasets.dataset import Dataset
from plasticity.datasets.image_sets import IMAGE_SETS, LabelledImages
from plasticity.datasets.task import SparseRows, Task
from plasticity.errors import ConfigError
from plasticity.objectives import CrossEntropy
from plasticity.part import choice
from plasticity.streams import Purpose, sample

MOST_TASKS = 10**9


@dataclass(frozen=True, kw_only=True)
class ImageDataset(Dataset):
    """Images to be classified.

    Attributes:
        images: the name of the set of images.
        pixels: how a pixel p from 0 to 255 is shown: as p / 255 (unit), or as 2 p / 255 − 1 (signed).
    """

    objective = CrossEntropy()

    images: str = choice("mnist", options=tuple(IMAGE_SETS))
    pixels: str = choice("unit", options=("unit", "signed"))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return IMAGE_SETS[self.images].image_shape

    @property
    def inputs(self) -> int:
        """Number of values of an image."""
        return prod(self.shape)

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return IMAGE_SETS[self.images].classes

    @property
    def shown_at_a_time(self) -> int:
        """Number of different images that a task shows."""
        return self.examples_per_task

    def prepare(self, root: str | None) -> None:
        labelled(self.images, root)

    def rows(self, root: str | None) -> tuple["SparseRows | np.ndarray", np.ndarray]:
        """The images as they are shown, and their labels; see `images_and_labels`."""
        return images_and_labels(self.images, self.pixels, root)

    def canonical(self, run: Any) -> Self:
        if self.shown_at_a_time > IMAGE_SETS[self.images].number:
            key = next(key for key in ("images_per_task", "examples_per_task") if hasattr(self, key))
            valid = f"a whole number of at least 1 and at most {IMAGE_SETS[self.images].number}"
            raise ConfigError(f"dataset.{key}", self.shown_at_a_time, valid)
        return super().canonical(run)


class ImageStream:
    """The tasks of one seed. Each shows the first images of a random order of all images.

    Args:
        dataset: the data set, which describes the tasks.
        seed: the run's seed.
        rows: the images, as from `images_and_labels`.
        labels: their classes.
    """

    def __init__(self, dataset: Dataset, seed: int, rows: "SparseRows | np.ndarray", labels: np.ndarray):
        self.dataset, self.seed, self.rows, self.labels = dataset, seed, rows, labels

    def task(self, number: int) -> Task:
        """Task `number`, from 0: every image at most once."""
        return Task(
            number=number,
            first_step=number * self.dataset.steps_per_task,
            rows=self.rows,
            targets=self.targets(number),
            order=self.order(number),
            permutation=self.permutation(number),
        )

    def order(self, number: int) -> np.ndarray:
        """The images of a task, in the order in which they come: int32, [examples]."""
        examples = self.dataset.examples_per_task
        return sample(len(self.labels), examples, self.seed, Purpose.EXAMPLE_ORDER, (number,))

    def targets(self, number: int) -> np.ndarray:
        """The class of each image in a task: int32, [images]."""
        return self.labels

    def permutation(self, number: int) -> np.ndarray | None:
        """The permutation of a task's pixels, as in `Task`."""
        return None


@lru_cache(maxsize=2)
def labelled(images: str, root: str | None, test: bool = False) -> LabelledImages:
    """A set of images, cached so that a launch that prepares and then uses it reads and checks its files once.

    Arguments as in `image_sets.load`.
    """
    return image_sets.load(images, root, test)


@lru_cache(maxsize=1)
def images_and_labels(
    images: str, pixels: str, root: str | None
) -> tuple["SparseRows | np.ndarray", np.ndarray]:
    """A set of images and their labels, loaded once per process and shared by its runs.

    Args:
        images: the name of the set, as in `IMAGE_SETS`.
        pixels: as in `ImageDataset`.
        root: where data sets are kept; None for the usual place.

    Returns:
        the rows, [images, values], as from `shown`; and the labels, int32, [images]

    Raises:
        UserError: when they cannot be obtained.
    """
    loaded = labelled(images, root)
    labelled.cache_clear()  # from now on, the rows are cached instead
    return shown(loaded.images, pixels), loaded.labels.astype(np.int32)


def shown(images: np.ndarray, pixels: str) -> "SparseRows | np.ndarray":
    """Images as they are shown: float32, [images, values]; sparse if at least a quarter of the values are 0.

    Args:
        images: pixels from 0 to 255, uint8 [images, values].
        pixels: as in `ImageDataset`.
    """
    if pixels == "signed":
        return images / np.float32(255) * np.float32(2) - np.float32(1)
    if np.count_nonzero(images) > 0.75 * images.size:
        return images / np.float32(255)
    rows = SparseRows.of(images)
    np.divide(rows.value, np.float32(255), out=rows.value)
    return rows
