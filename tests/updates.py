"""PyTorch's own updates as functions, since to make one of its optimisers imports its compiler, for seconds."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


def sgd_of_torch(
    parameters: Iterable[Tensor], step_size: float, weight_decay: float
) -> Callable[[Tensor], None]:
    """Takes a step of descent on a loss."""
    moved = list(parameters)

    @torch.no_grad()
    def step(loss: Tensor) -> None:
        sgd(
            moved, gradients(loss, moved), [None] * len(moved), foreach=False, weight_decay=weight_decay,
            momentum=0, lr=step_size, dampening=0, nesterov=False, maximize=False,
        )  # fmt: skip

    return step


def adam_of_torch(parameters: Iterable[Tensor], step_size: float) -> Callable[[Tensor], None]:
    """Takes a step of Adam, with its usual constants, on a loss."""
    moved = list(parameters)
    means, squares = ([torch.zeros_like(one) for one in moved] for _ in range(2))
    counts = [torch.zeros(()) for _ in moved]

    @torch.no_grad()
    def step(loss: Tensor) -> None:
        adam(
            moved, gradients(loss, moved), means, squares, [], counts, foreach=False, amsgrad=False, beta1=0.9,
            beta2=0.999, lr=step_size, weight_decay=0, eps=1e-8, maximize=False,
        )  # fmt: skip

    return step


def gradients(loss: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters))
