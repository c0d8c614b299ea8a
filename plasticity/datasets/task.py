"""A task: the examples that a run sees between two changes of the data."""

from dataclasses import dataclass

import numpy as np

BLOCK = 500
"""Number of rows that are processed together, small enough for intermediate results to stay in the cache."""


@dataclass(frozen=True)
class SparseRows:
    """Examples kept as their non-zero entries, row by row (compressed sparse rows).

    Attributes:
        start: int64, [rows + 1]. Row r's entries are at start[r] : start[r + 1].
        index: int32, [entries]. Column of each entry.
        value: float32, [entries].
        columns: number of inputs of an example.
    """

    start: np.ndarray
    index: np.ndarray
    value: np.ndarray
    columns: int

    @classmethod
    def of(cls, dense: np.ndarray) -> "SparseRows":
        """The non-zero entries of a matrix [rows, columns]."""
        rows, columns = dense.shape
        entries = np.count_nonzero(dense)
        start = np.zeros(rows + 1, np.int64)
        index, value = np.empty(entries, np.int32), np.empty(entries, np.float32)
        end = 0
        for first in range(0, rows, BLOCK):
            block = dense[first : first + BLOCK]
            position = np.flatnonzero(block != 0)  # on booleans, this takes a third of the time
            here = slice(end, end + len(position))
            index[here] = position % columns
            value[here] = block.ravel()[position]
            ends = np.searchsorted(position, columns * np.arange(1, len(block) + 1))
            start[first + 1 : first + 1 + len(block)] = end + ends
            end = here.stop
        return cls(start, index, value, columns)

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """The given rows, zeros included: float32, [len(rows), columns]."""
        length = self.start[rows + 1] - self.start[rows]
        end = np.cumsum(length)
        entries = np.arange(length.sum()) + np.repeat(self.start[rows] - (end - length), length)
        plain = np.zeros((len(rows), self.columns), np.float32)
        plain[np.repeat(np.arange(len(rows)), length), self.index[entries]] = self.value[entries]
        return plain


@dataclass(frozen=True)
class Task:
    """A sequence of examples, described without copying them.

    Attributes:
        number: the task's position in the run, from 0.
        first_step: number of steps before this task. A step's random draws are addressed by its number in the run.
        rows: the examples to draw from: sparse, or float32, [rows, inputs].
        targets: int32, [rows], classes; or float32, [rows, outputs], for a squared error.
        order: int32, [examples]. The row of each example, in the order in which they are shown.
        permutation: int32, [inputs]. Column i of a row is shown as input permutation[i]; None for no permutation.
        test: examples that are never learnt from, on which the network is scored after the task; None for no test.
    """

    number: int
    first_step: int
    rows: SparseRows | np.ndarray
    targets: np.ndarray
    order: np.ndarray
    permutation: np.ndarray | None = None
    test: "Task | None" = None

    @property
    def examples(self) -> int:
        """Number of examples."""
        return len(self.order)

    def inputs(self, examples: int) -> np.ndarray:
        """The inputs of the first examples, or all of a shorter task, permuted: float32, [examples, inputs]."""
        order = self.order[:examples]
        plain = self.rows.dense(order) if isinstance(self.rows, SparseRows) else self.rows[order]
        if self.permutation is None:
            return plain
        permuted = np.empty_like(plain)
        permuted[:, self.permutation] = plain
        return permuted

    def example(self, position: int) -> np.ndarray:
        """The input of the example at a position of this task, permuted: float32, [inputs]."""
        row = self.order[position]
        if isinstance(self.rows, SparseRows):
            entries = slice(self.rows.start[row], self.rows.start[row + 1])
            plain = np.zeros(self.rows.columns, np.float32)
            plain[self.rows.index[entries]] = self.rows.value[entries]
        else:
            plain = self.rows[row]
        if self.permutation is None:
            return plain
        permuted = np.empty_like(plain)
        permuted[self.permutation] = plain
        return permuted
