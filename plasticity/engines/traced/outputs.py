"""PyTorch's functions of the outputs and the target of one example, on symbols.

Only objectives may call them. A class is a whole number; what is taken at it is found by comparing it with the
number of each output.
"""

from collections.abc import Callable
from typing import Any

from plasticity.engines.traced.functions import (
    FUNCTIONS,
    Operand,
    absolute,
    add,
    cast,
    div,
    eq,
    lt,
    mul,
    neg,
    square,
    sub,
    where,
)  # fmt: skip
from plasticity.engines.traced.operations import FLOAT, TRUTH, UNIT, WHOLE
from plasticity.engines.traced.real import exp, log, softplus
from plasticity.engines.traced.shapes import amax, amin, detach, mean, total
from plasticity.engines.traced.symbol import Symbol, as_symbol

NUMBERS, CLASSES = "number", "class_number"
"""The arrays that hold the number of each output; the second where it is a class that is compared with it."""

OF_OUTPUTS: dict[str, Callable[..., Any]] = {}
"""By the name in PyTorch; beside all other functions."""


def function(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function under these names, or under its own."""

    def enter(defined: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or (defined.__name__,):
            OF_OUTPUTS[name] = defined
        return defined

    return enter


def _numbers(input: Symbol, name: str) -> Symbol:
    return input.tracing.source(name, WHOLE, (UNIT,))


def _check(input: Symbol, dim: Any) -> None:
    """Refuses all but the outputs of one example, and the dimension that they have."""
    if input.dims != (UNIT,) or dim not in (0, -1):
        raise NotImplementedError


# --- A class ---------------------------------------------------------------------------------------------------


@function()
def take(input: Symbol, index: Operand) -> Symbol:
    _check(input, -1)
    at = as_symbol(input.tracing, index)
    if at.node.dtype != WHOLE or at.node.axes:
        raise NotImplementedError
    if isinstance(index, int):
        at = as_symbol(input.tracing, index % input.shape[0])
    numbers = _numbers(input, NUMBERS if isinstance(index, int) else CLASSES)
    value = cast(input, WHOLE) if input.node.dtype == TRUTH else input
    here = where(eq(numbers, Symbol(at.tracing, at.node, ())), value, zero(value))
    found = Symbol(input.tracing, total(here).node, at.dims)
    return cast(found, TRUTH) if input.node.dtype == TRUTH else found


def zero(like: Symbol) -> Symbol:
    """0, of the type of other numbers."""
    return like.tracing.number(0, like.node.dtype)


@function()
def gather(input: Symbol, dim: int, index: Symbol) -> Symbol:
    _check(input, dim)
    return take(input, index)


@function()
def one_hot(input: Symbol, num_classes: int = -1) -> Symbol:
    units = input.tracing.sizes[UNIT]
    if input.node.dtype != WHOLE or input.dims or num_classes != units:
        raise NotImplementedError
    return cast(eq(_numbers(input, CLASSES), input), WHOLE)


@function()
def argmax(input: Symbol, dim: int | None = None, keepdim: bool = False) -> Symbol:
    _check(input, -1 if dim is None else dim)
    numbers = _numbers(input, NUMBERS)
    return amin(where(eq(input, amax(input)), numbers, input.shape[0]), -1, keepdim)


@function()
def unsqueeze(input: Symbol, dim: int) -> Symbol:
    place = dim % (input.ndim + 1)
    return input.viewed((*input.dims[:place], None, *input.dims[place:]))


@function()
def squeeze(input: Symbol, dim: int | None = None) -> Symbol:
    places = range(input.ndim) if dim is None else [dim % input.ndim]
    kept = [one for place, one in enumerate(input.dims) if place not in places or one is not None]
    return input.viewed(tuple(kept))


# --- Softmax ---------------------------------------------------------------------------------------------------


@function()
def logsumexp(input: Symbol, dim: int, keepdim: bool = False) -> Symbol:
    _check(input, dim)
    most = detach(amax(input))
    return add(log(total(exp(sub(input, most)), -1, keepdim)), most)


@function("softmax", "special_softmax")
def softmax(input: Symbol, dim: int, dtype: Any = None) -> Symbol:
    _check(input, dim)
    powers = exp(sub(_as(input, dtype), detach(amax(input))))
    return div(powers, total(powers))


@function("log_softmax", "special_log_softmax")
def log_softmax(input: Symbol, dim: int, dtype: Any = None) -> Symbol:
    _check(input, dim)
    below = sub(_as(input, dtype), detach(amax(input)))
    return sub(below, log(total(exp(below))))


def _as(input: Symbol, dtype: Any) -> Symbol:
    if dtype is not None and str(dtype) != f"torch.{input.node.dtype}":
        raise NotImplementedError
    return input


# --- Losses ----------------------------------------------------------------------------------------------------


def _reduced(values: Symbol, reduction: str, others: dict[str, Any]) -> Symbol:
    if any(value is not None for value in others.values()):  # weights, and what is deprecated
        raise NotImplementedError
    return {"mean": mean, "sum": total, "none": lambda one: one}[reduction](values)


@function()
def nll_loss(
    input: Symbol, target: Symbol, *, ignore_index: int = -100, reduction: str = "mean", **others: Any
) -> Symbol:
    if ignore_index >= 0:
        raise NotImplementedError
    return _reduced(neg(take(input, target)), reduction, others)


@function()
def cross_entropy(
    input: Symbol,
    target: Symbol,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    **others: Any,
) -> Symbol:
    shares, outputs = log_softmax(input, -1), input.shape[0]
    if target.dims == (UNIT,):  # a probability of every class
        smoothed = add(mul(target, 1 - label_smoothing), label_smoothing / outputs)
        return _reduced(neg(total(mul(shares, smoothed))), reduction, others)
    loss = nll_loss(shares, target, ignore_index=ignore_index, reduction=reduction, **others)
    if not label_smoothing:
        return loss
    return sub(mul(loss, 1 - label_smoothing), mul(total(shares), label_smoothing / outputs))


@function()
def mse_loss(input: Symbol, target: Operand, *, reduction: str = "mean", **others: Any) -> Symbol:
    return _reduced(square(sub(input, target)), reduction, others)


@function()
def l1_loss(input: Symbol, target: Operand, *, reduction: str = "mean", **others: Any) -> Symbol:
    return _reduced(absolute(sub(input, target)), reduction, others)


@function()
def huber_loss(
    input: Symbol, target: Operand, *, reduction: str = "mean", delta: float = 1.0, **others: Any
) -> Symbol:
    far = absolute(sub(input, target))
    near = mul(square(far), 0.5)
    return _reduced(where(lt(far, delta), near, mul(sub(far, delta / 2), delta)), reduction, others)


@function()
def smooth_l1_loss(
    input: Symbol, target: Operand, *, reduction: str = "mean", beta: float = 1.0, **others: Any
) -> Symbol:
    if beta == 0:
        return l1_loss(input, target, reduction=reduction, **others)
    far = absolute(sub(input, target))
    near = div(mul(square(far), 0.5), beta)
    return _reduced(where(lt(far, beta), near, sub(far, beta / 2)), reduction, others)


@function()
def binary_cross_entropy_with_logits(
    input: Symbol, target: Symbol, *, reduction: str = "mean", **others: Any
) -> Symbol:
    if target.node.dtype != FLOAT or target.dims != input.dims:
        raise NotImplementedError
    return _reduced(add(mul(input, sub(1, target)), softplus(neg(input))), reduction, others)


FUNCTIONS_OF_OUTPUTS = FUNCTIONS | OF_OUTPUTS
"""All that an objective may call."""
