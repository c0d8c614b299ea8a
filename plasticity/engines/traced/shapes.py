"""Sums over units, inputs and examples; types, copies, and numbers like another."""

import math
from typing import Any

from plasticity.engines.traced.functions import (
    FUNCTIONS,
    Operand,
    as_type_of,
    cast,
    div,
    full_like,
    function,
    gt,
    logical_not,
    maximum,
    minimum,
    not_truth,
    truth,
)  # fmt: skip
from plasticity.engines.traced.operations import ALL, DOUBLE, FLOAT, PLACE, TRUTH, WHOLE
from plasticity.engines.traced.symbol import DTYPES, Symbol, as_symbol


def _axes(input: Symbol, dim: Any) -> tuple[list[int], Any]:
    chosen = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    return [one % input.ndim for one in chosen] if input.ndim else [], input.dims


def _reduced(operation: str, input: Symbol, dim: Any, keepdim: bool) -> Symbol:
    """The sum, max or min over dimensions; over the examples first."""
    graph, sizes, node = input.tracing.graph, input.tracing.sizes, input.node
    positions, dims = _axes(input, dim)
    axes = {axis for one in positions if (axis := dims[one])}
    if PLACE in axes & node.axes:
        node = graph.reduce(operation, node, PLACE)
    here = axes & node.axes - {PLACE}
    if here and here != node.axes:
        raise NotImplementedError  # over some of its dimensions
    if here:
        node = graph.reduce(operation, node, ALL)
    for axis in axes - input.node.axes:
        if operation == "sum":  # the same number for all
            node = graph.apply("multiply", node, graph.constant(sizes[axis], node.dtype))
    left = tuple(
        None if place in positions else axis
        for place, axis in enumerate(dims)
        if keepdim or place not in positions
    )
    return Symbol(input.tracing, node, left)


@function("sum")
def total(input: Symbol, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Symbol:
    value = cast(input, DTYPES[str(dtype)]) if dtype is not None else input
    return _reduced("sum", cast(value, WHOLE) if value.node.dtype == TRUTH else value, dim, keepdim)


@function("mean")
def mean(input: Symbol, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Symbol:
    value = cast(input, DTYPES[str(dtype)]) if dtype is not None else input
    if value.node.dtype not in (FLOAT, DOUBLE):
        raise NotImplementedError
    positions, dims = _axes(value, dim)
    size = math.prod(value.tracing.sizes[dims[one]] for one in positions if dims[one])
    return div(_reduced("sum", value, dim, keepdim), size)


@function("amax")
def amax(input: Symbol, dim: Any = (), keepdim: bool = False) -> Symbol:
    return _reduced("max", not_truth(input), None if dim == () else dim, keepdim)


@function("amin")
def amin(input: Symbol, dim: Any = (), keepdim: bool = False) -> Symbol:
    return _reduced("min", not_truth(input), None if dim == () else dim, keepdim)


@function("max")
def largest(input: Symbol, other: Any = None) -> Symbol:
    if isinstance(other, int):  # along a dimension it also returns indices
        raise NotImplementedError
    return amax(input) if other is None else maximum(input, other)


@function("min")
def least(input: Symbol, other: Any = None) -> Symbol:
    if isinstance(other, int):
        raise NotImplementedError
    return amin(input) if other is None else minimum(input, other)


@function("any")
def any_(input: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    return gt(total(cast(truth(input), WHOLE), dim, keepdim), 0)


@function("all")
def all_(input: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    return logical_not(any_(logical_not(input), dim, keepdim))


@function("count_nonzero")
def count_nonzero(input: Symbol, dim: Any = None) -> Symbol:
    return total(truth(input), dim)


# --- Types, copies and numbers like another ---------------------------------------------------------------


for _name, _dtype in {"float": FLOAT, "double": DOUBLE, "bool": TRUTH, "long": WHOLE}.items():
    FUNCTIONS[_name] = lambda input, _dtype=_dtype: cast(input, _dtype)


@function("to", "type")
def to(input: Symbol, dtype: Any) -> Symbol:
    return as_type_of(input, dtype) if isinstance(dtype, Symbol) else cast(input, DTYPES[str(dtype)])


@function()
def type_as(input: Symbol, other: Symbol) -> Symbol:
    return as_type_of(input, other)


@function("contiguous", "cpu", "requires_grad_")
def itself(input: Symbol) -> Symbol:
    return input


@function()
def detach(input: Symbol) -> Symbol:
    if not input.tracing.differentiates:
        return input
    return Symbol(input.tracing, input.tracing.graph.apply("detached", input.node), input.dims)


@function("clone")
def clone(input: Symbol) -> Symbol:
    return Symbol(input.tracing, input.node, input.dims)


@function("zeros_like")
def zeros_like(input: Symbol, *, dtype: Any = None) -> Symbol:
    return full_like(input, 0, dtype=dtype)


@function("ones_like")
def ones_like(input: Symbol, *, dtype: Any = None) -> Symbol:
    return full_like(input, 1, dtype=dtype)


def _new(input: Symbol, size: Any, value: float, dtype: Any) -> Symbol:
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)
    if shape not in ((), input.shape):
        raise NotImplementedError
    like = input if shape else Symbol(input.tracing, input.node, ())
    return full_like(like, value, dtype=dtype)


@function("new_zeros")
def new_zeros(input: Symbol, *size: Any, dtype: Any = None) -> Symbol:
    return _new(input, size, 0, dtype)


@function("new_ones")
def new_ones(input: Symbol, *size: Any, dtype: Any = None) -> Symbol:
    return _new(input, size, 1, dtype)


@function("copy", "fill")
def copy(input: Symbol, src: Operand) -> Symbol:
    source = as_symbol(input.tracing, src)
    return Symbol(input.tracing, input.tracing.graph.cast(source.node, input.node.dtype), source.dims)


@function("zero")
def zero(input: Symbol) -> Symbol:
    return zeros_like(input)


@function("numel")
def numel(input: Symbol) -> int:
    return math.prod(input.shape)


@function("dim")
def dim(input: Symbol) -> int:
    return input.ndim


@function("size")
def size(input: Symbol, dim: int | None = None) -> Any:
    return input.shape if dim is None else input.shape[dim]
