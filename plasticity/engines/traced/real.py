"""Functions of a real number, and activations, in the operations that the kernel has."""

import math
from collections.abc import Callable

from plasticity.engines.traced.functions import (
    FUNCTIONS,
    absolute,
    add,
    as_real,
    clamp,
    div,
    function,
    ge,
    gt,
    le,
    lt,
    mul,
    neg,
    of,
    power,
    root,
    sub,
    where,
)  # fmt: skip
from plasticity.engines.traced.operations import DOUBLE, FLOAT
from plasticity.engines.traced.symbol import Symbol, as_symbol


def _real(name: str, operation: str) -> Callable[..., Symbol]:
    def real(input: Symbol) -> Symbol:
        return of(operation, as_real(input))

    FUNCTIONS[name] = real
    return real


exp, expm1, log, log1p, tanh, sigmoid, erf, sin, cos, floor, ceil, trunc, round_ = (
    _real(name, operation)
    for name, operation in {
        "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "tanh": "tanh",
        "sigmoid": "sigmoid", "erf": "erf", "sin": "sin", "cos": "cos", "floor": "floor", "ceil": "ceil",
        "trunc": "trunc", "round": "round",
    }.items()
)  # fmt: skip
FUNCTIONS |= {"special_expit": sigmoid, "special_erf": erf, "special_expm1": expm1, "special_log1p": log1p}


@function()
def reciprocal(input: Symbol) -> Symbol:
    return div(1, input)


@function()
def rsqrt(input: Symbol) -> Symbol:
    return div(1, root(input))


@function()
def exp2(input: Symbol) -> Symbol:
    return power(as_symbol(input.tracing, 2.0, as_real(input).node.dtype), input)


@function()
def log2(input: Symbol) -> Symbol:
    return mul(log(input), 1 / math.log(2))


@function()
def log10(input: Symbol) -> Symbol:
    return mul(log(input), 1 / math.log(10))


@function()
def frac(input: Symbol) -> Symbol:
    return sub(input, trunc(input))


# --- Activations -------------------------------------------------------------------------------------------------


@function()
def relu(input: Symbol) -> Symbol:
    return where(le(input, 0), 0.0 if input.node.dtype in (FLOAT, DOUBLE) else 0, input)


@function()
def leaky_relu(input: Symbol, negative_slope: float = 0.01) -> Symbol:
    return where(gt(input, 0), input, mul(input, negative_slope))


@function()
def elu(input: Symbol, alpha: float = 1.0) -> Symbol:
    return where(gt(input, 0), input, mul(expm1(clamp(input, max=0.0)), alpha))


@function()
def celu(input: Symbol, alpha: float = 1.0) -> Symbol:
    return where(gt(input, 0), input, mul(expm1(div(clamp(input, max=0.0), alpha)), alpha))


@function()
def selu(input: Symbol) -> Symbol:
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return where(gt(input, 0), mul(input, scale), mul(expm1(clamp(input, max=0.0)), scale * alpha))


@function()
def silu(input: Symbol) -> Symbol:
    return mul(input, sigmoid(input))


@function()
def gelu(input: Symbol, approximate: str = "none") -> Symbol:
    if approximate == "tanh":
        inner = mul(add(input, mul(mul(mul(input, input), input), 0.044715)), math.sqrt(2 / math.pi))
        return mul(mul(input, 0.5), add(tanh(inner), 1))
    return mul(input, add(mul(erf(mul(input, math.sqrt(0.5))), 0.5), 0.5))


@function()
def softplus(input: Symbol, beta: float = 1.0, threshold: float = 20.0) -> Symbol:
    scaled = mul(input, beta)
    return where(gt(scaled, threshold), input, div(log1p(exp(clamp(scaled, max=threshold))), beta))


@function()
def mish(input: Symbol) -> Symbol:
    return mul(input, tanh(softplus(input)))


@function("logsigmoid", "log_sigmoid")
def logsigmoid(input: Symbol) -> Symbol:
    negative = lt(input, 0)  # at 0 the slope is that of the side above, where |x| would have none
    return sub(where(negative, input, 0.0), log1p(exp(where(negative, input, neg(input)))))


@function()
def softsign(input: Symbol) -> Symbol:
    return div(input, add(absolute(input), 1))


@function()
def hardtanh(input: Symbol, min_val: float = -1.0, max_val: float = 1.0) -> Symbol:
    return where(le(input, min_val), min_val, where(ge(input, max_val), max_val, input))


@function()
def relu6(input: Symbol) -> Symbol:
    return hardtanh(input, 0.0, 6.0)


@function()
def hardsigmoid(input: Symbol) -> Symbol:
    return hardtanh(add(div(input, 6), 0.5), 0.0, 1.0)


@function()
def tanhshrink(input: Symbol) -> Symbol:
    return sub(input, tanh(input))


@function("softshrink")
def softshrink(input: Symbol, lambd: float = 0.5) -> Symbol:
    low = where(lt(input, -lambd), add(input, lambd), mul(input, 0.0))
    return where(gt(input, lambd), sub(input, lambd), low)


@function("threshold", "_threshold")
def threshold(input: Symbol, threshold: float, value: float) -> Symbol:
    return where(le(input, threshold), value, input)
