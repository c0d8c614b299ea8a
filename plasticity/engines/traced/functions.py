"""PyTorch's functions of tensors, on symbols: each in the operations that the kernel has, as PyTorch defines it.

Arguments are named as in PyTorch. What is not here has no traced form.
"""

import math
from collections.abc import Callable
from typing import Any

from plasticity.engines.traced.language import is_written
from plasticity.engines.traced.operations import DOUBLE, FLOAT, TRUTH, WHOLE, Node
from plasticity.engines.traced.symbol import DTYPES, Symbol, as_symbol, common

Operand = Any
"""A symbol, or a number."""

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""By the name in PyTorch, of functions and methods alike."""


def function(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function under these names, or under its own."""

    def enter(defined: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or (defined.__name__,):
            FUNCTIONS[name] = defined
        return defined

    return enter


def of(operation: str, *values: Operand, dtype: str | None = None, result: str | None = None) -> Symbol:
    """An operation on each number of its operands, after they are made one type."""
    tracing, nodes, dims = common(*values, dtype=dtype)
    if not is_written(operation, nodes[0].dtype):
        raise NotImplementedError
    return Symbol(tracing, tracing.graph.apply(operation, *nodes, dtype=result), dims)


def cast(input: Symbol, dtype: str) -> Symbol:
    """The same numbers as another type; itself if they are of that type, as in PyTorch."""
    if input.node.dtype == dtype:
        return input
    return Symbol(input.tracing, input.tracing.graph.cast(input.node, dtype), input.dims)


@function("full_like")
def full_like(input: Symbol, fill_value: float, *, dtype: Any = None) -> Symbol:
    kind = DTYPES[str(dtype)] if dtype is not None else input.node.dtype
    return Symbol(input.tracing, input.tracing.graph.constant(fill_value, kind), input.dims)


# --- Arithmetic ----------------------------------------------------------------------------------------------


@function()
def add(input: Operand, other: Operand, *, alpha: float = 1) -> Symbol:
    return _numeric("add", input, other if alpha == 1 else mul(other, alpha))


@function("sub", "subtract")
def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Symbol:
    return _numeric("subtract", input, other if alpha == 1 else mul(other, alpha))


@function("rsub")
def rsub(input: Operand, other: Operand, *, alpha: float = 1) -> Symbol:
    return sub(other, input, alpha=alpha)


@function("mul", "multiply")
def mul(input: Operand, other: Operand) -> Symbol:
    return _numeric("multiply", input, other)


def _numeric(operation: str, a: Operand, b: Operand) -> Symbol:
    tracing, nodes, _ = common(a, b)
    if nodes[0].dtype == TRUTH:
        if operation != "multiply":
            raise NotImplementedError
        return of("both", a, b)
    one = tracing.graph.constant(1, nodes[0].dtype)
    if operation == "multiply" and one in nodes:  # exact
        keep = nodes[0] if nodes[1] is one else nodes[1]
        return Symbol(tracing, keep, common(a, b)[2])
    return of(operation, a, b)


@function("div", "divide", "true_divide")
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Symbol:
    kind = common(input, other)[1][0].dtype
    if rounding_mode is not None:
        raise NotImplementedError
    return of("divide", input, other, dtype=kind if kind in (FLOAT, DOUBLE) else FLOAT)


def _by_whole(operation: str, a: Operand, b: Operand) -> Symbol:
    """A division with a remainder, by a constant: by 0 it would end the process."""
    kind = common(a, b)[1][0].dtype
    if kind != WHOLE or not isinstance(b, int) or b < 1:
        raise NotImplementedError
    return of(operation, a, b)


@function("floor_divide")
def floor_divide(input: Operand, other: Operand) -> Symbol:
    return _by_whole("floor_divide", input, other)


@function("remainder")
def remainder(input: Operand, other: Operand) -> Symbol:
    return _by_whole("remainder", input, other)


@function("neg", "negative")
def neg(input: Symbol) -> Symbol:
    return of("negate", not_truth(input))


@function("abs", "absolute")
def absolute(input: Symbol) -> Symbol:
    return of("absolute", not_truth(input))


@function("sign", "sgn")
def sign(input: Symbol) -> Symbol:
    return sub(as_type_of(lt(0, input), input), as_type_of(lt(input, 0), input))


def as_type_of(value: Symbol, like: Symbol) -> Symbol:
    """The same numbers as those of another type."""
    return cast(value, like.node.dtype)


def not_truth(value: Symbol) -> Symbol:
    """Refuses truth, on which PyTorch does no arithmetic."""
    if value.node.dtype == TRUTH:
        raise NotImplementedError
    return value


@function()
def square(input: Symbol) -> Symbol:
    return mul(input, input)


@function("sqrt")
def root(input: Symbol) -> Symbol:
    return of("root", as_real(input))


def as_real(value: Symbol) -> Symbol:
    """Whole numbers and truth as floats."""
    return value if value.node.dtype in (FLOAT, DOUBLE) else cast(value, FLOAT)


@function("pow")
def power(input: Operand, exponent: Operand) -> Symbol:
    if isinstance(exponent, (bool, int, float)):
        kind = common(input, exponent)[1][0].dtype
        whole: dict[Any, Callable[[Any], Any]] = {
            0: lambda x: full_like(x, 1),
            1: lambda x: x,
            2: square,
            3: lambda x: mul(mul(x, x), x),
        }
        real: dict[Any, Callable[[Any], Any]] = {
            0.5: root,
            -0.5: lambda x: div(1, root(x)),
            -1: lambda x: div(1, x),
            -2: lambda x: div(1, square(x)),
        }
        if exponent in whole:
            return whole[exponent](cast(input, kind))
        if exponent in real and kind in (FLOAT, DOUBLE):
            return real[exponent](cast(input, kind))
    kind = common(input, exponent)[1][0].dtype
    if kind not in (FLOAT, DOUBLE):
        raise NotImplementedError
    return of("power", input, exponent)


@function()
def lerp(input: Symbol, end: Operand, weight: Operand) -> Symbol:
    step = sub(end, input)
    near = add(input, mul(weight, step))
    if isinstance(weight, (int, float)):
        return near if abs(weight) < 0.5 else sub(end, mul(step, 1 - weight))
    return where(lt(absolute(weight), 0.5), near, sub(end, mul(step, sub(1, weight))))


@function()
def addcmul(input: Symbol, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Symbol:
    return add(input, mul(mul(tensor1, value), tensor2))


@function()
def addcdiv(input: Symbol, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Symbol:
    return add(input, mul(div(tensor1, tensor2), value))


@function("clamp", "clip")
def clamp(input: Symbol, min: Operand = None, max: Operand = None) -> Symbol:
    if min is None and max is None:
        raise NotImplementedError
    low = input if min is None else where(lt(input, min), min, input)
    return low if max is None else where(gt(low, max), max, low)


@function("clamp_min")
def clamp_min(input: Symbol, min: Operand) -> Symbol:
    return clamp(input, min=min)


@function("clamp_max")
def clamp_max(input: Symbol, max: Operand) -> Symbol:
    return clamp(input, max=max)


@function()
def maximum(input: Symbol, other: Operand) -> Symbol:
    return of("maximum", input, other)


@function()
def minimum(input: Symbol, other: Operand) -> Symbol:
    return of("minimum", input, other)


# --- Comparisons and truth -------------------------------------------------------------------------------------


def _compare(operation: str, a: Operand, b: Operand) -> Symbol:
    if common(a, b)[1][0].dtype == TRUTH:
        a, b = (cast(one, WHOLE) if isinstance(one, Symbol) else int(one) for one in (a, b))
    return of(operation, a, b, result=TRUTH)


@function("lt", "less")
def lt(input: Operand, other: Operand) -> Symbol:
    return _compare("less", input, other)


@function("le", "less_equal")
def le(input: Operand, other: Operand) -> Symbol:
    return _compare("at_most", input, other)


@function("gt", "greater")
def gt(input: Operand, other: Operand) -> Symbol:
    return _compare("less", other, input)


@function("ge", "greater_equal")
def ge(input: Operand, other: Operand) -> Symbol:
    return _compare("at_most", other, input)


@function("eq")
def eq(input: Operand, other: Operand) -> Symbol:
    return _compare("equal", input, other)


@function("ne", "not_equal")
def ne(input: Operand, other: Operand) -> Symbol:
    return logical_not(eq(input, other))


@function("isnan")
def isnan(input: Symbol) -> Symbol:
    return ne(input, input)


@function("isfinite")
def isfinite(input: Symbol) -> Symbol:
    return lt(absolute(input), math.inf)


@function("isinf")
def isinf(input: Symbol) -> Symbol:
    return eq(absolute(input), math.inf)


def truth(value: Operand) -> Operand:
    """Whether numbers are not 0."""
    return ne(value, 0) if isinstance(value, Symbol) and value.node.dtype != TRUTH else value


def _logical(operation: str, strict: bool) -> Callable[..., Symbol]:
    def logical(input: Operand, other: Operand) -> Symbol:
        if strict and common(input, other)[1][0].dtype != TRUTH:
            raise NotImplementedError
        return of(operation, truth(input), truth(other))

    return logical


for _name, _operation in (("and", "both"), ("or", "either"), ("xor", "differs")):
    FUNCTIONS[f"logical_{_name}"] = _logical(_operation, strict=False)
    FUNCTIONS[f"bitwise_{_name}"] = _logical(_operation, strict=True)


@function("logical_not")
def logical_not(input: Symbol) -> Symbol:
    return of("not", truth(input))


@function("bitwise_not")
def bitwise_not(input: Symbol) -> Symbol:
    if input.node.dtype != TRUTH:
        raise NotImplementedError
    return of("not", input)


@function()
def where(condition: Symbol, input: Operand, other: Operand) -> Symbol:
    if not isinstance(condition, Symbol):  # called as a method: x.where(condition, other)
        raise NotImplementedError
    tracing, (a, b), dims = _pair(condition, input, other)
    _, _, all_dims = common(condition, *(one for one in (input, other) if isinstance(one, Symbol)))
    node = a if a is b else tracing.graph.apply("where", condition.node, a, b)
    return Symbol(tracing, node, all_dims)


def _pair(condition: Symbol, a: Operand, b: Operand) -> tuple[Any, list[Node], Any]:
    if isinstance(a, Symbol) or isinstance(b, Symbol):
        return common(a, b)
    kind = FLOAT if isinstance(a, float) or isinstance(b, float) else WHOLE
    kind = TRUTH if isinstance(a, bool) and isinstance(b, bool) else kind
    return condition.tracing, [as_symbol(condition.tracing, one, kind).node for one in (a, b)], ()


@function()
def masked_fill(input: Symbol, mask: Symbol, value: Operand) -> Symbol:
    return as_type_of(where(mask, value, input), input)


@function()
def heaviside(input: Symbol, values: Operand) -> Symbol:
    return where(eq(input, 0), values, as_type_of(lt(0, input), input))
