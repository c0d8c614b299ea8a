"""Operations: what a part's code is traced to, a graph of numbers over units, inputs and examples."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

TRUTH, WHOLE, FLOAT, DOUBLE = "bool", "int64", "float32", "float64"
"""The types of numbers."""

UNIT, INPUT, PLACE = "unit", "input", "place"
"""What numbers may be over: the units of a layer ("unit.0", where there are several), its inputs, the examples of a
batch."""

ALL = "all"
"""The axis of a sum, max or min over all units and inputs."""

MOST = 4_000
"""Number of operations that a part may take: more come from a loop over units."""


@dataclass(frozen=True, eq=False)
class Node:
    """A number, or an array of numbers, and what it is computed from.

    Attributes:
        number: its place among the nodes of a graph; operands come before what is computed from them.
        operation: "constant", "source", "sum", "max" or "min" over an axis, or an entry of the table in `source`.
        operands: what it is computed from.
        dtype: the type of its numbers.
        axes: what it is over; none for a single number.
        value: of a constant; the name of a source; the axis that is summed over.
    """

    number: int
    operation: str
    operands: tuple["Node", ...]
    dtype: str
    axes: frozenset[str]
    value: Any = None


class TooLong(Exception):
    """A part takes more operations than `MOST`."""


class Graph:
    """Nodes, each once: the same operation on the same operands is the same node."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[Any, ...], Node] = {}

    def constant(self, value: float, dtype: str) -> Node:
        """A number, rounded to its type; −0 differs from 0, and undefined ones are the same."""
        if dtype == WHOLE:
            return self._node("constant", (), dtype, (), int(value))
        with np.errstate(over="ignore"):
            rounded = float(np.float32(value)) if dtype == FLOAT else float(value)
        return self._node("constant", (), dtype, (), repr(rounded))

    def source(self, name: str, dtype: str, axes: Iterable[str] = ()) -> Node:
        """What is given when the operations are carried out."""
        return self._node("source", (), dtype, axes, name)

    def apply(self, operation: str, *operands: Node, dtype: str | None = None) -> Node:
        """An operation on each number; its type is that of the last operand unless it is given."""
        axes = frozenset[str]().union(*(operand.axes for operand in operands))
        return self._node(operation, operands, dtype or operands[-1].dtype, axes)

    def reduce(self, operation: str, operand: Node, axis: str) -> Node:
        """The sum, max or min over the examples (`PLACE`), or over everything else (`ALL`)."""
        axes = operand.axes - {PLACE} if axis == PLACE else ()
        return self._node(operation, (operand,), operand.dtype, axes, axis)

    def cast(self, operand: Node, dtype: str) -> Node:
        """The same numbers as another type."""
        if operand.dtype == dtype:
            return operand
        if operand.operation == "constant":
            value = float(operand.value)
            return self.constant(value != 0 if dtype == TRUTH else value, dtype)
        return self.apply("cast", operand, dtype=dtype)

    def _node(
        self, operation: str, operands: tuple[Node, ...], dtype: str, axes: Iterable[str], value: Any = None
    ) -> Node:
        key = (operation, tuple(operand.number for operand in operands), dtype, frozenset(axes), value)
        if key not in self.nodes:
            if len(self.nodes) >= MOST:
                raise TooLong
            self.nodes[key] = Node(len(self.nodes), operation, operands, dtype, frozenset(axes), value)
        return self.nodes[key]


def needed(ends: Iterable[Node]) -> list[Node]:
    """Nodes and all that they are computed from, operands first."""
    found: dict[int, Node] = {}
    left = list(ends)
    while left:
        node = left.pop()
        if node.number not in found:
            found[node.number] = node
            left.extend(node.operands)
    return [found[number] for number in sorted(found)]


def copy(ends: Iterable[Node], named: Callable[[str], str]) -> list[Node]:
    """Nodes in a graph of their own, numbered anew, with other names for their sources, and one for all units."""
    graph, found, ends = Graph(), dict[int, Node](), list(ends)
    for node in needed(ends):
        operands = tuple(found[one.number] for one in node.operands)
        value = named(node.value) if node.operation == "source" else node.value
        axes = {axis.partition(".")[0] for axis in node.axes}
        found[node.number] = graph._node(node.operation, operands, node.dtype, axes, value)
    return [found[node.number] for node in ends]


# --- The type of a result, as in PyTorch ---------------------------------------------------------------------

ORDER = (TRUTH, WHOLE, FLOAT, DOUBLE)


def promoted(arrays: Iterable[str], numbers: Iterable[str], scalars: Iterable[float]) -> str:
    """The type of what is computed from arrays, from tensors of a single number, and from Python's numbers.

    Later ones of these three only count where their kind is higher: truth, whole or real numbers.
    """
    of_scalars = [
        TRUTH if isinstance(one, bool) else WHOLE if isinstance(one, int) else FLOAT for one in scalars
    ]
    result = ""
    for group in (arrays, numbers, of_scalars):
        highest = max(group, key=ORDER.index, default="")
        if not result or (highest and kind_of(highest) > kind_of(result)):
            result = highest
    return result


def kind_of(dtype: str) -> int:
    """0 for truth, 1 for whole numbers, 2 for real ones."""
    return min(ORDER.index(dtype), 2)
