"""Regularisers: what each adds to the gradient of a parameter, weights and biases alike."""

from collections.abc import Callable
from typing import Any

Regulariser = Callable[[Any, float], Any]
"""Takes a parameter (a tensor) and a strength; returns the term that its gradient gains."""


def none(parameter: Any, strength: float) -> float:
    """Nothing: plain backpropagation."""
    return 0.0


def l2(parameter: Any, strength: float) -> Any:
    """The gradient of strength / 2 · ‖parameter‖²: weight decay as `torch.optim.SGD` has it."""
    return strength * parameter


REGULARISERS: dict[str, Regulariser] = {"none": none, "l2": l2}
"""Regulariser by name, as in `regulariser.name`."""
