"""Random functions of a tensor, made of what has a traced form."""

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[[Tensor], Tensor]

UNARY: list[Function] = [
    torch.relu, torch.tanh, torch.sigmoid, torch.exp, torch.expm1, torch.sin, torch.cos, torch.erf, torch.abs,
    torch.square, torch.neg, torch.sign, torch.floor, torch.ceil, torch.trunc, torch.round, torch.frac,
    F.silu, F.gelu, F.mish, F.softplus, F.elu, F.celu, F.selu, F.leaky_relu, F.softsign, F.logsigmoid, F.relu6,
    F.hardtanh, F.hardsigmoid, F.tanhshrink, F.softshrink,
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: torch.log(x.abs() + 0.1),
    lambda x: x.square().log1p(),
    lambda x: torch.sqrt(x.abs() + 0.05),
    lambda x: torch.rsqrt(x * x + 1),
    lambda x: (x.abs() + 0.5).reciprocal(),
    lambda x: (x.abs() + 0.1) ** 1.7,
    lambda x: 0.6**x,
    lambda x: x**3,
    lambda x: torch.exp2(x.clamp(-5, 5)),
    lambda x: x.clamp(min=-0.3, max=0.8),
    lambda x: x.clamp(max=0.2) * 0.3,
    lambda x: x.masked_fill(x > 1, 0.25),
    lambda x: F.threshold(x, 0.1, -0.4),
    lambda x: x.clone().mul_(0.7).add_(x, alpha=0.2),
    lambda x: x.double().square().type_as(x),
    lambda x: x * (x > 0.2),
    lambda x: x + (x < 0).type_as(x) * 0.1,
    lambda x: torch.where((x > -1) & ~(x > 0.5), x, 0.2 * x),
]  # fmt: skip

BINARY: list[Callable[[Tensor, Tensor], Tensor]] = [
    torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum,
    lambda a, b: a / (b.abs() + 0.7),
    lambda a, b: torch.where(a > b, a, 0.5 * b),
    lambda a, b: torch.lerp(a, b, 0.3),
    lambda a, b: torch.addcmul(a, b, b, value=0.2),
    lambda a, b: torch.addcdiv(a, b, b.square() + 1, value=0.4),
    lambda a, b: (a.abs() + 0.2) ** b.clamp(-2, 2),
]  # fmt: skip


def random_function(seed: int) -> Function:
    """A function of up to about a dozen operations."""
    draw = random.Random(seed)

    def made(depth: int) -> Function:
        if depth == 0 or draw.random() < 0.1:
            scale, offset = draw.uniform(0.5, 1.5), draw.uniform(-0.5, 0.5)
            return lambda x: x * scale + offset
        if draw.random() < 0.6:
            outer, inner = draw.choice(UNARY), made(depth - 1)
            return lambda x: outer(inner(x).clamp(-6, 6))
        both, left, right = draw.choice(BINARY), made(depth - 1), made(depth - 1)
        return lambda x: both(left(x), right(x))

    return made(draw.choice([2, 3, 3, 4]))
