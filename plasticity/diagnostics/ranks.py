"""Ranks of a layer: how many directions its activations span, by five definitions.

Each takes the activations of one hidden layer, [examples, units], and, to save computing them again, their
`singular_values`. Each is at least 1: in a layer that is all zero every rank is 1. Each is NaN if an
activation is not finite.
"""

import numpy as np

SINGLE_PRECISION = 2.0**-23
"""Distance from 1 to the next float32."""


def gram_matrix(activations: np.ndarray) -> np.ndarray:
    """HᵀH: inner products of a layer's units, each taken as its activations over all examples, in double precision.

    Products of float32 entries are exact there, and their sums nearly so.

    Args:
        activations: H of one hidden layer, [examples, units].

    Returns:
        float64, [units, units]
    """
    columns = activations.astype(np.float64)
    return columns.T @ columns


def singular_values(activations: np.ndarray, gram: np.ndarray | None = None) -> np.ndarray:
    """The singular values σ of a matrix, largest first.

    They are the roots of the eigenvalues of the Gram matrix of its shorter side, in double precision, without
    rows and columns that are 0. What is lost lies below 1e-7 · σ_max, as in a float32 decomposition of the
    matrix itself, which has the same precision but takes ten times as long.

    Args:
        activations: [examples, units].
        gram: their `gram_matrix`, if it is known.

    Returns:
        float64, [min(examples, units)]; all NaN if an entry is not finite
    """
    if gram is None:
        examples, units = activations.shape
        gram = gram_matrix(activations if units <= examples else activations.T)
    sigma = np.zeros(min(activations.shape))
    live = np.flatnonzero(gram.diagonal())
    if not np.isfinite(gram).all():
        sigma[:] = np.nan
    elif len(live):
        values = np.linalg.eigvalsh(gram[np.ix_(live, live)] if len(live) < len(gram) else gram)
        found = np.sqrt(np.maximum(values[::-1], 0.0))[: len(sigma)]
        sigma[: len(found)] = found
    return sigma


def rank(activations: np.ndarray, singular: np.ndarray | None = None) -> float:
    """Numerical rank in single precision: the number of σ > σ_max · max(examples, units) · 2⁻²³.

    The tolerance is that of `numpy.linalg.matrix_rank` for a float32 matrix. Others who report a rank count every
    σ ≠ 0, rounding noise included (Dohare et al. 2024).

    Args:
        activations: h of one hidden layer, [examples, units].
        singular: their singular values, if they are known.
    """
    sigma = _sigma(activations, singular)
    above = sigma > sigma[0] * max(activations.shape) * SINGLE_PRECISION
    return _at_least_one(float(above.sum()), sigma)


def effective_rank(activations: np.ndarray, singular: np.ndarray | None = None) -> float:
    """exp(−Σ p ln p) with p = σ / Σσ: the number of equal singular values that would have the same entropy.

    Roy and Vetterli (2007, "The effective rank"); the effective rank of Dohare et al. (2024). Kumar et al.
    (2021) give that name to `absolute_approximate_rank`.

    Args:
        activations: h of one hidden layer, [examples, units].
        singular: their singular values, if they are known.
    """
    sigma = _sigma(activations, singular)
    p = sigma[sigma > 0] / sigma.sum() if sigma[0] > 0 else sigma
    return _at_least_one(float(np.exp(-np.sum(p * np.log(p)))) if sigma[0] > 0 else 0.0, sigma)


def approximate_rank(activations: np.ndarray, singular: np.ndarray | None = None) -> float:
    """The smallest k for which the k largest σ² hold 99 % of Σσ².

    The approximate rank of Yang et al. (2020, "Harnessing structures for value-based planning and
    reinforcement learning") and of Dohare et al. (2024).

    Args:
        activations: h of one hidden layer, [examples, units].
        singular: their singular values, if they are known.
    """
    sigma = _sigma(activations, singular)
    return _smallest_share(np.square(sigma / sigma[0]) if sigma[0] > 0 else sigma)


def absolute_approximate_rank(activations: np.ndarray, singular: np.ndarray | None = None) -> float:
    """The smallest k for which the k largest σ hold 99 % of Σσ.

    Kumar et al. (2021, "Implicit under-parameterization inhibits data-efficient deep reinforcement learning")
    call it the effective rank, srank with δ = 0.01; others call it the stable rank, which here is a different
    measure.

    Args:
        activations: h of one hidden layer, [examples, units].
        singular: their singular values, if they are known.
    """
    return _smallest_share(_sigma(activations, singular))


def stable_rank(activations: np.ndarray, singular: np.ndarray | None = None) -> float:
    """Σσ² / σ_max²: the squared Frobenius norm over the squared spectral norm.

    The stable rank of the numerical literature (Rudelson and Vershynin 2007, "Sampling from large matrices").
    Under the same name others report `absolute_approximate_rank`, or (Σσ²)² / Σσ⁴ of centred activations.

    Args:
        activations: h of one hidden layer, [examples, units].
        singular: their singular values, if they are known.
    """
    sigma = _sigma(activations, singular)
    return _at_least_one(float(np.square(sigma / sigma[0]).sum()) if sigma[0] > 0 else 0.0, sigma)


def _sigma(activations: np.ndarray, singular: np.ndarray | None) -> np.ndarray:
    return singular_values(activations) if singular is None else np.asarray(singular, np.float64)


def _at_least_one(value: float, sigma: np.ndarray) -> float:
    return max(1.0, value) if np.isfinite(sigma).all() else float("nan")


def _smallest_share(values: np.ndarray, share: float = 0.99) -> float:
    """The smallest k for which the first k of decreasing values hold a share of their sum."""
    held = np.cumsum(values)
    return _at_least_one(float(np.argmax(held >= share * held[-1]) + 1), values)
