"""The Bit-Flipping problem (Dohare et al. 2024): a regression with changing inputs, generated from the seed.

Most inputs are bits that stay fixed for a whole task; between two tasks one of them flips, or all are redrawn. The
others are redrawn for every example. The target is the output of a fixed network of threshold units, larger than
the one that learns.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from plasticity.datasets.dataset import Dataset
from plasticity.datasets.task import SparseRows, Task
from plasticity.errors import ConfigError
from plasticity.objectives import SquaredError
from plasticity.part import choice, integer, number
from plasticity.streams import Purpose, words

MOST = 10**12
"""A bound that only a typo would exceed."""

MOST_RANDOM_BITS = 63
"""The random bits of an example come from a single random word."""


@dataclass(frozen=True, kw_only=True)
class BitFlipping(Dataset, name="bit_flipping"):
    """A task is a state of the flipping bits.

    Attributes:
        flip: what happens between two tasks: one flipping bit, chosen at random, flips, or all are redrawn.
        flip_after: number of examples before a flip.
        examples: number of examples of a run.
        record_every: number of examples that a row of the results covers.
        inputs: number of bits of an example: the flipping bits, then the random ones.
        flipping_bits: number of flipping bits.
        target_units: number of threshold units of the target network.
        beta: share of a threshold unit's weights that must agree with an example for the unit to be on.
    """

    outputs = 1
    objective = SquaredError()

    flip: str = choice("all", options=("one", "all"))
    flip_after: int = integer(2_500, at_least=1, at_most=MOST)
    examples: int = integer(3_000_000, at_least=1, at_most=MOST)
    record_every: int = integer(40_000, at_least=1, at_most=MOST)
    inputs: int = integer(20, at_least=1, at_most=100_000)
    flipping_bits: int = integer(15, at_least=1)
    target_units: int = integer(500, at_least=1, at_most=100_000)
    beta: float = number(0.7, at_least=0, at_most=1)

    @property
    def tasks(self) -> int:
        """Number of states of the flipping bits."""
        return self.examples // self.flip_after

    @property
    def examples_per_task(self) -> int:
        """Number of examples before a flip."""
        return self.flip_after

    @property
    def tasks_per_record(self) -> int:
        """Number of tasks that make up the examples of a row."""
        return self.record_every // self.flip_after

    def open(self, seed: int, root: str | None) -> "FlippingBits":
        return FlippingBits(self, seed)

    def canonical(self, run: Any) -> Self:
        for key, other in (
            ("record_every", "flip_after"),
            ("examples", "record_every"),
            ("flip_after", "batch_size"),
        ):
            if getattr(self, key) % getattr(self, other):
                valid = f"a multiple of dataset.{other}={getattr(self, other)}"
                raise ConfigError(f"dataset.{key}", getattr(self, key), valid)
        least = max(1, self.inputs - MOST_RANDOM_BITS)
        if not least <= self.flipping_bits <= self.inputs:
            valid = f"a number from {least} to {self.inputs} with dataset.inputs={self.inputs}"
            raise ConfigError("dataset.flipping_bits", self.flipping_bits, valid)
        return self


class Target:
    """The target network of linear threshold units; all its weights and biases are 1 or −1.

    Attributes:
        weights: [units, inputs].
        biases: [units].
        outgoing: [units].
        bias: the output's bias, [1].
        beta: as in `BitFlipping`.
    """

    def __init__(self, dataset: BitFlipping, seed: int):
        units, inputs = dataset.target_units, dataset.inputs
        self.weights = signs(seed, 0, units * inputs).reshape(units, inputs)
        self.biases, self.outgoing, self.bias = (
            signs(seed, 1, units),
            signs(seed, 2, units),
            signs(seed, 3, 1),
        )
        self.beta = dataset.beta

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The outputs for examples [rows, inputs]: float32, [rows, 1].

        A unit is 1 where w·x + b > β · (inputs + 1) − S with S = (inputs − Σw + b) / 2, else 0.
        """
        inputs = self.weights.shape[1]
        negative = (inputs - self.weights.sum(axis=1) + self.biases) / 2
        on = rows @ self.weights.T + self.biases > self.beta * (inputs + 1) - negative
        outputs: np.ndarray = (on @ self.outgoing + self.bias).astype(np.float32)[:, None]
        return outputs


def signs(seed: int, position: int, count: int) -> np.ndarray:
    """Draws from {−1, 1}: float64, [count]."""
    return np.where(words(seed, Purpose.TARGET_NETWORK, (position,), count) & np.uint64(1), 1.0, -1.0)


class FlippingBits:
    """The tasks of one seed."""

    def __init__(self, dataset: BitFlipping, seed: int):
        self.dataset, self.seed, self.target = dataset, seed, Target(dataset, seed)
        self.known = 0, self._drawn(0)

    def task(self, number: int) -> Task:
        """Task `number`, from 0. Its rows are the distinct examples that occur in it."""
        dataset, random_bits = self.dataset, self.dataset.inputs - self.dataset.flipping_bits
        draws = words(self.seed, Purpose.RANDOM_BITS, (number,), dataset.flip_after)
        codes, order = np.unique(draws & np.uint64(2**random_bits - 1), return_inverse=True)
        places = np.arange(random_bits, dtype=np.uint64)
        rows = np.empty((len(codes), dataset.inputs))
        rows[:, : dataset.flipping_bits] = self.bits(number)
        rows[:, dataset.flipping_bits :] = codes[:, None] >> places & np.uint64(1)
        return Task(
            number=number,
            first_step=number * dataset.steps_per_task,
            rows=SparseRows.of(rows),
            targets=self.target(rows),
            order=order.astype(np.int32),
        )

    def bits(self, number: int) -> np.ndarray:
        """The flipping bits in a task, 0 or 1: uint8, [flipping_bits]."""
        if self.dataset.flip == "all":
            return self._drawn(number)
        task, bits = self.known if self.known[0] <= number else (0, self._drawn(0))
        bits = bits.copy()
        for following in range(task + 1, number + 1):
            bits[self._flipped(following)] ^= 1
        self.known = number, bits
        return bits

    def _drawn(self, number: int) -> np.ndarray:
        """Random values for all flipping bits."""
        draws = words(self.seed, Purpose.FLIPPING_BITS, (number,), self.dataset.flipping_bits)
        return (draws & np.uint64(1)).astype(np.uint8)

    def _flipped(self, number: int) -> int:
        """The bit that flips before a task."""
        return int(words(self.seed, Purpose.FLIPPING_BITS, (number,), 1)[0] % self.dataset.flipping_bits)
