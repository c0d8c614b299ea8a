"""The kernel's memory: arrays aligned and padded as `learner.h` requires, and structures that point to them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plasticity.datasets.task import SparseRows, Task
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.binding import structure

LANES = 16
"""Floats in a vector; arrays are padded with zeros to whole vectors, and start at multiples of a vector's size."""


def aligned(shape: int | tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Zeros, aligned so that vectors can be loaded from their start."""
    length, step = int(np.prod(shape)) * np.dtype(dtype).itemsize, 4 * LANES
    memory = np.zeros(length + step, np.uint8)
    start = -memory.ctypes.data % step
    return memory[start : start + length].view(dtype).reshape(shape)


def padded(length: int) -> int:
    """A length rounded up to whole vectors."""
    return -(-length // LANES) * LANES


def body_and_tail(units: int) -> tuple[int, int]:
    """The lengths of the two parts of a row of weights: whole vectors, and a half or a quarter of one, if any."""
    for tail in (LANES // 4, LANES // 2):
        if 0 < units % LANES <= tail:
            return units // LANES * LANES, tail
    return padded(units), 0


class LayerMemory:
    """A linear layer and the units that it feeds.

    Args:
        parameters: weights, float32, [units, inputs], biases, [units], and with normalisation gains and offsets.
        batch: examples per step, each of which has a current step of its own.
    """

    def __init__(self, parameters: Mapping[str, np.ndarray], batch: int):
        units, inputs = parameters["weights"].shape
        self.inputs, self.units = inputs, units
        rows, stride = padded(inputs + 1), padded(units)  # one more row, of zeros
        self.body_length, self.tail_length = body_and_tail(units)
        self.arrays = {
            "body": aligned((rows, self.body_length)),
            "tail": aligned((rows, self.tail_length)),
            "place": np.arange(inputs, dtype=np.int32),
            "bias": aligned(stride),
            "row_magnitude": aligned(rows),
            "born": aligned(stride, np.int64),
            "utility": aligned(stride),
            "mean_activation": aligned(stride),
            "fading": aligned(stride, np.float64),
            "chosen": aligned(stride, np.int32),
            "scratch": aligned(stride),
        }
        self.current = {
            "row": aligned((batch, rows + LANES), np.int32),
            "value": aligned((batch, rows + LANES)),
            "activation": aligned((batch, stride)),
            "slope": aligned((batch, stride)),
            "error": aligned((batch, padded(units + 1))),
        }
        self.own: dict[str, np.ndarray] = {}  # what programs take that is not a field of `Layer` ...
        self.rows: dict[str, np.ndarray] = {}  # ... and what of that is laid out as the weights are
        self.programs: dict[str, tuple[int, Sequence[str]]] = {}
        self.tables: list[np.ndarray] = []
        self.current["z"] = self.current["activation"]  # h overwrites z, which is faster
        self.current["observed"] = self.current["activation"]
        if "gains" in parameters:
            for name in ("gain", "offset", "of_gain", "of_offset"):
                self.arrays[name] = aligned(stride)
            self.current["normal"] = aligned((batch, stride))
        self.put(parameters)

    def __getitem__(self, name: str) -> np.ndarray:
        """The units' part of an array, without its padding: [units]."""
        return self.arrays[name][: self.units]

    @property
    def weight(self) -> np.ndarray:
        """A copy: [units, inputs]."""
        weights = np.empty((self.units, self.inputs), np.float32)
        self._take_weights(weights)
        return weights

    def _take_weights(self, weights: np.ndarray) -> None:
        for rows, of_units in self._parts(weights):
            binding.columns_of_rows(rows, self.arrays["place"], of_units)

    def _parts(self, weights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The two parts of the rows of weights, each with the weights, [units, inputs], of its units."""
        body, tail = self.arrays["body"], self.arrays["tail"]
        return [(body, weights[: self.body_length]), (tail, weights[self.body_length :])]

    def arrange(self, order: np.ndarray | None) -> None:
        """Reorders the rows of weights: row i becomes that of input order[i]; of input i if `order` is None.

        Raises:
            ValueError: it is not a permutation of the inputs.
        """
        inputs = np.arange(self.inputs, dtype=np.int32)
        order = inputs if order is None else order
        if not np.array_equal(np.sort(order), inputs):
            raise ValueError(f"{len(order)} numbers are not an order of {self.inputs} inputs")
        moved = self.arrays["place"][order]
        for array in self.arrays["body"], self.arrays["tail"], *self.rows.values():
            array[: self.inputs] = array[moved]
        self.arrays["place"][order] = inputs

    def use_all_of(self, below: "LayerMemory") -> None:
        """Takes all units of the layer below as inputs in use; otherwise the kernel lists them in each step."""
        self.current["row"][:, : self.inputs] = np.arange(self.inputs)
        self.current["value"] = below.current["activation"]

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters, by the names that layers have for them."""
        return {"weights": self.weight} | {kind: self[name].copy() for kind, name in self._names().items()}

    def take(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Copies the parameters into arrays that `parameters` once returned."""
        self._take_weights(parameters["weights"])
        for kind, name in self._names().items():
            parameters[kind][:] = self[name]

    def _names(self) -> dict[str, str]:
        """The arrays of the parameters but the weights, by the names that layers have for those."""
        normalised = {"gains": "gain", "offsets": "offset"} if "gain" in self.arrays else {}
        return {"biases": "bias"} | normalised

    def parameter(self, kind: str) -> np.ndarray:
        """The array of a parameter, by the name that layers have for it; of weights, once rows are whole."""
        return self.arrays[({"weights": "body"} | self._names())[kind]]

    def put(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Sets the parameters; as `parameters`."""
        for rows, of_units in self._parts(np.ascontiguousarray(parameters["weights"], np.float32)):
            binding.rows_of_columns(of_units, self.arrays["place"], rows)
        for kind, name in self._names().items():
            self[name][:] = parameters[kind]

    def keep_pre_activations(self) -> None:
        """Keeps z in an array of its own, not in that of h."""
        self.current["z"] = aligned(self.current["activation"].shape)

    def observe(self, observed: np.ndarray) -> None:
        """Bases utilities and running means on an array of another layer, not on this layer's activations."""
        self.current["observed"] = observed

    def keep_whole_rows(self) -> None:
        """Keeps rows of weights in one piece, for programs that go through all of them."""
        if not self.tail_length:
            return
        rows = np.concatenate([self.arrays["body"], self.arrays["tail"]], axis=1)[:, : self.units]
        self.body_length, self.tail_length = padded(self.units), 0
        self.arrays |= {"body": aligned((len(rows), self.body_length)), "tail": aligned((len(rows), 0))}
        self.arrays["body"][:, : self.units] = rows

    def rows_of(self, weights: np.ndarray) -> np.ndarray:
        """Numbers of each weight, [units, inputs], laid out as the weights are."""
        rows = aligned((self.inputs, padded(self.units)), weights.dtype.type)
        rows[self.arrays["place"], : self.units] = weights.T
        return rows

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """The reverse of `rows_of`: a copy, [units, inputs]."""
        return np.ascontiguousarray(rows[self.arrays["place"], : self.units].T)

    def give(self, field: str, program: int, arrays: Sequence[str]) -> None:
        """Has a field of `Layer` hold a program.

        Args:
            field: such as "respond".
            program: the address of the function.
            arrays: the names of the arrays that it takes.
        """
        self.programs[field] = program, arrays

    def _table(self, names: Sequence[str], place: int) -> int:
        """The address of a table of a program's arrays."""
        kept = (
            self.own | self.rows | self.arrays | {name: array[place] for name, array in self.current.items()}
        )
        table = np.array([kept[name].ctypes.data for name in names], np.uint64)
        self.tables.append(table)
        return table.ctypes.data

    def structure(self, place: int) -> Any:
        """The layer as the kernel expects it, a `Layer`, for the example at a place in the batch."""
        arrays = self.arrays | {name: array[place] for name, array in self.current.items()}
        pointers = {name: array.ctypes.data for name, array in arrays.items()}
        for field, (program, names) in self.programs.items():
            pointers |= {field: program, f"{field}_on": self._table(names, place)}
        return structure("Layer")(
            inputs=self.inputs,
            units=self.units,
            stride=padded(self.units),
            body_length=self.body_length,
            tail_length=self.tail_length,
            used=self.inputs,
            **pointers,
        )


class ExampleMemory:
    """The examples of one task after another, checked because the kernel follows their indices blindly.

    Args:
        inputs: number of inputs of an example.
        outputs: number of outputs: classes, or values.
        batch: examples per step.

    Attributes:
        any_label: whether whole numbers as targets may be no classes.
    """

    any_label = False

    def __init__(self, inputs: int, outputs: int, batch: int):
        self.inputs, self.outputs, self.batch = inputs, outputs, batch
        self.rows: SparseRows | np.ndarray | None = None
        self.targets: np.ndarray | None = None

    def structure(self, task: Task) -> Any:
        """A task as the kernel expects it, `Examples`; its arrays stay valid until the next call.

        Raises:
            ValueError: an array does not fit the network, or an index is out of bounds.
        """
        if task.rows is not self.rows or task.targets is not self.targets:
            self.targets = None
            if task.rows is not self.rows:
                self._take_rows(task.rows)
            self._take_targets(task.targets)
        self.order = _indices(task.order, self.count)
        arrays = self.of_rows | self.of_targets | {"order": self.order}
        pointers = {name: array.ctypes.data for name, array in arrays.items()}
        return structure("Examples")(first_step=task.first_step, count=task.examples, **pointers)

    def _take_rows(self, rows: SparseRows | np.ndarray) -> None:
        """Takes the rows that tasks draw on; usually once in a run."""
        self.rows = None
        if isinstance(rows, SparseRows):
            self.columns, self.count = rows.columns, len(rows.start) - 1
            self.of_rows = {
                "start": _indices(rows.start, len(rows.value) + 1, np.int64),
                "index": _indices(rows.index, self.columns),
                "entry": np.ascontiguousarray(rows.value, np.float32),
            }
            lengths = np.diff(rows.start)
            if lengths.min(initial=0) < 0 or lengths.max(initial=0) > self.columns:
                raise ValueError(
                    f"rows of {lengths.min()} to {lengths.max()} entries in {self.columns} columns"
                )
            if len(rows.index) != len(rows.value):
                raise ValueError(f"{len(rows.index)} indices of {len(rows.value)} entries")
        else:
            self.count, self.columns = rows.shape
            self.of_rows = {
                "dense": np.ascontiguousarray(rows, np.float32),
                "index": np.zeros((self.batch, self.columns), np.int32),
                "entry": np.zeros((self.batch, self.columns), np.float32),
            }
        self.rows = rows

    def _take_targets(self, targets: np.ndarray) -> None:
        """Takes the targets of these rows, which often change with the task."""
        if targets.dtype.kind == "i" and self.any_label:
            self.of_targets = {"label": targets.astype(np.int32)}
        elif targets.dtype.kind == "i":
            self.of_targets = {"label": _indices(targets, self.outputs)}
        else:
            self.of_targets = {"target": np.ascontiguousarray(targets, np.float32)}
        width = targets[0].size if targets.dtype.kind != "i" and len(targets) else self.outputs
        if self.columns != self.inputs or len(targets) != self.count or width != self.outputs:
            raise ValueError(
                f"{self.count} rows of {self.columns} inputs and targets {targets.shape} for a network with "
                f"{self.inputs} inputs and {self.outputs} outputs"
            )
        self.targets = targets


def _indices(array: np.ndarray, end: int, dtype: type = np.int32) -> np.ndarray:
    """An array of indices from 0 to below `end`, as the kernel expects it."""
    if array.size and (array.min() < 0 or array.max() >= end):
        raise ValueError(f"indices from {array.min()} to {array.max()} into {end} items")
    return np.ascontiguousarray(array, dtype)
