"""The digits that networks are timed on."""

import os

import numpy as np

from plasticity.datasets.image_sets import IMAGE_SETS
from plasticity.datasets.permuted_mnist import PermutedDigits, PermutedMnist
from plasticity.datasets.task import SparseRows
from plasticity.errors import UserError


def digits() -> PermutedDigits:
    """MNIST, if it is on this machine; else as many made-up digits."""
    os.environ["PLASTICITY_OFFLINE"] = "1"
    try:
        return PermutedMnist().open(seed=0, root=None)
    except UserError:
        print("MNIST is not on this machine: made-up digits take its place.")
    return made_up(PermutedMnist(), IMAGE_SETS["mnist"].number)


def made_up(dataset: PermutedMnist, images: int) -> PermutedDigits:
    """Made-up digits with as many pixels as MNIST's, and as easy to tell apart."""
    draw, pixels = np.random.default_rng(0), dataset.inputs
    labels = draw.integers(0, 10, images).astype(np.int32)
    strokes = draw.random((10, pixels)) < 0.25
    made = strokes[labels] * (draw.random((images, pixels), np.float32) - 0.24).clip(0)
    return PermutedDigits(dataset, 0, SparseRows.of(made.astype(np.float32)), labels)
