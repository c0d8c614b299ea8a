"""Derivatives: of a number that is traced, with respect to one that it is computed from, as autograd has them.

Errors go back from the result to its operands, in that order and with the same formulas: so a derivative is
undefined where PyTorch's is, and at a kink it is PyTorch's choice.
"""

import math
from collections.abc import Callable

from plasticity.engines.traced.functions import (
    add,
    div,
    eq,
    lt,
    mul,
    neg,
    power,
    sign,
    square,
    sub,
    where,
)  # fmt: skip
from plasticity.engines.traced.operations import ALL, DOUBLE, FLOAT, Node, needed
from plasticity.engines.traced.real import cos, exp, log, sin
from plasticity.engines.traced.shapes import total
from plasticity.engines.traced.symbol import Dims, Symbol, Tracing

BEFORE: dict[str, Callable[..., tuple[Symbol | None, ...]]] = {
    "add": lambda g, y, a, b: (g, g),
    "subtract": lambda g, y, a, b: (g, neg(g)),
    "multiply": lambda g, y, a, b: (mul(g, b), mul(g, a)),
    "divide": lambda g, y, a, b: (div(g, b), neg(mul(g, div(y, b)))),
    "negate": lambda g, y, a: (neg(g),),
    "absolute": lambda g, y, a: (mul(g, sign(a)),),
    "maximum": lambda g, y, a, b: (_share(g, a, b), _share(g, b, a)),
    "minimum": lambda g, y, a, b: (_share(g, b, a), _share(g, a, b)),
    "where": lambda g, y, c, a, b: (None, where(c, g, 0.0), where(c, 0.0, g)),
    "root": lambda g, y, a: (div(g, mul(y, 2)),),
    "exp": lambda g, y, a: (mul(g, y),),
    "expm1": lambda g, y, a: (mul(g, add(y, 1)),),
    "log": lambda g, y, a: (div(g, a),),
    "log1p": lambda g, y, a: (div(g, add(a, 1)),),
    "tanh": lambda g, y, a: (mul(g, sub(1, square(y))),),
    "sigmoid": lambda g, y, a: (mul(mul(g, sub(1, y)), y),),
    "erf": lambda g, y, a: (mul(mul(g, exp(neg(square(a)))), 2 / math.sqrt(math.pi)),),
    "sin": lambda g, y, a: (mul(g, cos(a)),),
    "cos": lambda g, y, a: (neg(mul(g, sin(a))),),
    "power": lambda g, y, a, b: (_of_base(g, a, b), _of_exponent(g, y, a, b)),
    "floor": lambda g, y, a: (mul(g, 0.0),),
    "ceil": lambda g, y, a: (mul(g, 0.0),),
    "trunc": lambda g, y, a: (mul(g, 0.0),),
    "round": lambda g, y, a: (mul(g, 0.0),),
}
"""For each operation, the errors of its operands from the error g of its result y; None for one without."""


def _share(g: Symbol, a: Symbol, b: Symbol) -> Symbol:
    """The error of the larger of two numbers, or half of it if they are equal."""
    return where(eq(a, b), div(g, 2), where(lt(a, b), 0.0, g))


def _of_base(g: Symbol, a: Symbol, b: Symbol) -> Symbol | None:
    if b.node.operation == "constant":
        exponent = float(b.node.value)
        return mul(g, mul(power(a, exponent - 1), exponent))
    return where(eq(b, 0.0), 0.0, mul(g, mul(b, power(a, sub(b, 1)))))


def _of_exponent(g: Symbol, y: Symbol, a: Symbol, b: Symbol) -> Symbol | None:
    if b.node.operation == "constant":
        return None
    return mul(g, mul(y, log(a)))


def derivative(tracing: Tracing, result: Symbol, given: Symbol) -> Symbol:
    """d result / d given, summed over what the result is over.

    Raises:
        Refused: an operation in between has no derivative here.
    """
    errors: dict[int, Symbol] = {result.node.number: tracing.number(1.0, result.node.dtype)}
    nodes = needed([result.node])
    depending = {given.node.number}
    for node in nodes:
        if any(operand.number in depending for operand in node.operands):
            depending.add(node.number)
    for node in reversed(nodes):
        error = errors.get(node.number)
        if error is None or node.dtype not in (FLOAT, DOUBLE) or node is given.node:
            continue
        for operand, share in zip(node.operands, _before(tracing, node, error, given.dims), strict=True):
            if share is not None and operand.number in depending:
                share = _summed(tracing, share, node, operand)
                known = errors.get(operand.number)
                errors[operand.number] = share if known is None else add(known, share)
    return errors.get(given.node.number, tracing.number(0.0, FLOAT))


def _before(tracing: Tracing, node: Node, error: Symbol, dims: Dims) -> tuple[Symbol | None, ...]:
    if node.operation in ("source", "constant"):
        return ()
    if node.operation == "detached":
        return (None,)
    y, *operands = (Symbol(tracing, one, dims if one.axes else ()) for one in (node, *node.operands))
    if node.operation == "cast":
        kind = node.operands[0].dtype
        real = kind in (FLOAT, DOUBLE)
        return (Symbol(tracing, tracing.graph.cast(error.node, kind), error.dims) if real else None,)
    if node.operation in ("max", "min") and node.value == ALL:
        hit = eq(operands[0], y)
        return (where(hit, div(error, total(hit)), 0.0),)
    if node.operation == "sum" and node.value == ALL:
        return (error,)
    if node.operation not in BEFORE:
        raise tracing.refuse(f"the derivative of {node.operation}")
    return BEFORE[node.operation](error, y, *operands)


def _summed(tracing: Tracing, share: Symbol, node: Node, operand: Node) -> Symbol:
    """The error of a single number, from those of the units that it was combined with."""
    if operand.axes or not node.axes:
        return share
    if share.node.axes:
        return Symbol(tracing, tracing.graph.reduce("sum", share.node, ALL), ())
    return mul(share, float(math.prod(tracing.sizes[axis] for axis in node.axes)))
