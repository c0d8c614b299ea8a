"""How large weights are, and how far they have moved from their initial values."""

from collections.abc import Sequence
from math import isfinite

import numpy as np


def weight_magnitude(weights: np.ndarray | Sequence[np.ndarray]) -> float:
    """Σ|w|, without biases, in double precision.

    Dohare et al. (2024) report its mean over a network's weights. NaN or infinite if a weight is.

    Args:
        weights: those of one layer, [units, inputs], or a list with those of several layers, which are added up.
    """
    return sum(float(np.abs(layer).sum(dtype=np.float64)) for layer in _layers(weights))


def distance_from_initialisation(
    parameters: np.ndarray | Sequence[np.ndarray], initial: np.ndarray | Sequence[np.ndarray]
) -> float:
    """‖θ − θ₀‖₂ over all entries, in double precision.

    The distance from initialisation of Nagarajan and Kolter (2019, "Generalization in deep networks: the role
    of distance from initialization"). NaN if an entry is not finite.

    Args:
        parameters: θ, one array or a list of arrays of any shapes, such as weights and biases.
        initial: θ₀, of the same shapes.

    Raises:
        ValueError: the shapes differ.
    """
    now, then = _layers(parameters), _layers(initial)
    if [np.shape(array) for array in now] != [np.shape(array) for array in then]:
        raise ValueError("parameters and initial differ in their shapes")
    with np.errstate(invalid="ignore", over="ignore"):
        differences = [np.subtract(a, b, dtype=np.float64).ravel() for a, b in zip(now, then, strict=True)]
        distance = float(np.sqrt(sum(difference @ difference for difference in differences)))
    return distance if isfinite(distance) else float("nan")


def _layers(arrays: np.ndarray | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    return [arrays] if isinstance(arrays, np.ndarray) else arrays
