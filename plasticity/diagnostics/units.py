"""Units that contribute nothing, or nothing of their own, to what a layer computes."""

import numpy as np

from plasticity.diagnostics.finite import finite
from plasticity.diagnostics.ranks import gram_matrix


def dead_units(activations: np.ndarray) -> float:
    """Number of units whose activation is exactly 0 on every example.

    The dead units of Dohare et al. (2024, "Loss of plasticity in deep continual learning"), who take the
    examples of the next task. This is useful for activations that reach 0, such as ReLU; for others see
    `dormant_units`.

    Args:
        activations: h of one hidden layer, [examples, units].

    Returns:
        0 to units; NaN if an activation is not finite
    """
    if not finite(activations):
        return float("nan")
    return float((~activations.any(axis=0)).sum())


def dormant_units(activations: np.ndarray, threshold: float = 0.025) -> float:
    """Share of units whose mean absolute activation is at most `threshold` times their layer's mean of it.

    Unit i is dormant where s_i = mean|h_i| / mean_j mean|h_j| ≤ τ: the τ-dormant neurons of Sokar et al.
    (2023, "The dormant neuron phenomenon in deep reinforcement learning"). In a layer that is all zero every
    unit is dormant.

    Args:
        activations: h of one hidden layer, [examples, units].
        threshold: τ. Sokar et al. use 0, 0.025 and 0.1.

    Returns:
        0 to 1; NaN if an activation is not finite
    """
    if not finite(activations):
        return float("nan")
    activity = np.abs(activations).mean(axis=0, dtype=np.float64)
    return float((activity <= threshold * activity.mean()).mean())


def linearised_units(pre_activations: np.ndarray, share: float = 0.9) -> float:
    """Share of units that work on the linear side of ReLU: z > 0 on at least `share` of the examples.

    The linearised units of github.com/LucMc/continual-learning. A unit that is linear on every example adds
    nothing that the layer before it could not pass on.

    Args:
        pre_activations: z of one hidden layer, [examples, units].
        share: the share of examples from which a unit counts.

    Returns:
        0 to 1; NaN if a pre-activation is not finite
    """
    if not finite(pre_activations):
        return float("nan")
    return float(((pre_activations > 0).mean(axis=0) >= share).mean())


def duplicate_units(activations: np.ndarray, cosine: float = 0.95, gram: np.ndarray | None = None) -> float:
    """Share of units that duplicate a later unit of their layer.

    Unit i is a duplicate where h_i · h_j / (‖h_i‖ ‖h_j‖) > `cosine` for some j > i, h_i being its activations
    over all examples: one of a pair counts, and two of three alike. The duplicate neurons of Joudaki et al.
    (2025, "Barriers for learning in an evolving world"), as github.com/ajoudaki/loss-of-plasticity counts
    them. A unit that is always 0 has no direction: it is dead, not a duplicate.

    Args:
        activations: h of one hidden layer, [examples, units].
        cosine: the similarity above which two units are the same.
        gram: their `gram_matrix`, if it is known.

    Returns:
        0 to 1; NaN if an activation is not finite
    """
    products = gram_matrix(activations) if gram is None else gram
    lengths = np.sqrt(products.diagonal())
    if not np.isfinite(lengths).all():
        return float("nan")
    later = np.triu(products > cosine * np.outer(lengths, lengths), k=1)
    return float(later.any(axis=1).mean())
