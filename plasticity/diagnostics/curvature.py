"""Curvature of the loss: the number of directions in weight space in which it bends."""

from collections.abc import Iterator, Sequence

import numpy as np

Arrays = np.ndarray | Sequence[np.ndarray]

NEGLIGIBLE = 1e-5
"""Share of the eigenvalues' sum that a factorisation of a matrix of low rank may leave out."""


def gradient_gram(errors: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Inner products of the examples' gradients with respect to one layer's weights: (ΔΔᵀ) ∘ (AAᵀ).

    Example e's gradient is δ_e a_eᵀ, so the inner product of two gradients is (δ_e · δ_f)(a_e · a_f). This gives
    K = GᵀG, where G has one column per example's gradient, without forming G (Goodfellow 2015, "Efficient
    per-example gradient computations").

    Args:
        errors: Δ, [examples, units].
        inputs: A, [examples, inputs].

    Returns:
        [examples, examples], in the arrays' precision
    """
    gram: np.ndarray = errors @ errors.T
    gram *= inputs @ inputs.T
    return gram


def curvature_rank(errors: Arrays, inputs: Arrays, share: float = 0.99) -> float:
    """Rank of the outer-product approximation of the Hessian, of one layer or of several together.

    The smallest k such that the k largest eigenvalues of GᵀG hold a `share` of their sum, G having one column
    per example's gradient in the weights (biases left out). GGᵀ / examples is the outer-product approximation
    of the Hessian of the mean loss (Bishop 2006, "Pattern recognition and machine learning", section 5.4.2)
    and has the same eigenvalues up to a factor and zeros. Lewandowski et al. (2023, "Directions of
    curvature as an explanation for loss of plasticity") measure curvature by such a rank of the Hessian,
    which they call its effective rank. If all gradients are 0, the rank is 1.

    A few matrices [examples, examples] are held in memory. Float32 is enough: its rounding moves the eigenvalues
    by less than 1e-6 of the largest one, below what moves k by one in networks of this kind.

    Args:
        errors: Δ of a layer, [examples, units], or a list with that of several layers (see `errors_and_inputs`).
        inputs: A of the same layer or layers, [examples, inputs].
        share: the share of the sum of eigenvalues.

    Returns:
        1 to examples; NaN if an error or input is not finite
    """
    total, bound = np.zeros((), np.float32), 0
    for gram, live, weight in _grams(errors, inputs):
        total, bound = total + weight * gram, bound + live
    return _rank(total, bound, share)


def curvature_ranks(
    errors: Sequence[np.ndarray], inputs: Sequence[np.ndarray], share: float = 0.99
) -> tuple[list[float], float]:
    """The `curvature_rank` of each layer, and that of all layers together, with each Gram matrix formed once.

    Args:
        errors: Δ of each layer, [examples, units].
        inputs: A of each layer, [examples, inputs].
        share: the share of the sum of eigenvalues.
    """
    ranks: list[float] = []
    total, bound = np.zeros((), np.float32), 0
    for gram, live, weight in _grams(errors, inputs):
        ranks.append(_rank(gram, live, share))
        total, bound = total + weight * gram, bound + live
    return ranks, _rank(total, bound, share)


def _grams(errors: Arrays, inputs: Arrays) -> Iterator[tuple[np.ndarray, int, np.floating]]:
    """For each layer: the Gram matrix, scaled to entries around 1; a bound on its rank; its weight in the sum.

    Its rank is at most the number of weights that have a gradient at all: errors that are not all 0 times
    inputs that are not. Entries that are not finite make its diagonal NaN.
    """
    if isinstance(errors, np.ndarray):
        errors, inputs = [errors], [np.asarray(inputs)]
    layers = list(zip(errors, inputs, strict=True))
    with np.errstate(invalid="ignore"):
        sizes = [(_largest(error), _largest(entries)) for error, entries in layers]
        greatest = np.max([a * b for a, b in sizes]) or 1.0
        weights = [(a * b / greatest) ** 2 for a, b in sizes]
        scaled = [(_divided(e, a), _divided(i, b)) for (e, i), (a, b) in zip(layers, sizes, strict=True)]
    for (error, entries), weight in zip(scaled, weights, strict=True):
        live = int(error.any(axis=0).sum()) * int(entries.any(axis=0).sum())
        gram = gradient_gram(error, entries)
        yield gram, live, gram.dtype.type(weight)


def _rank(gram: np.ndarray, bound: int, share: float) -> float:
    """How many of the largest eigenvalues hold a share of their sum, for a matrix of rank ≤ bound."""
    if not np.isfinite(np.trace(gram)):
        return float("nan")
    held = np.cumsum(_eigenvalues(gram, bound)[::-1], dtype=np.float64)
    return float(np.argmax(held >= share * held[-1]) + 1)


def _eigenvalues(gram: np.ndarray, bound: int) -> np.ndarray:
    """The eigenvalues of a positive semidefinite matrix K, in increasing order, without those that must be 0.

    If its rank is well below its size, a Cholesky factorisation with pivots, K ≈ RᵀR, stops at as many rows as
    are needed, and RRᵀ has the same eigenvalues: this takes a quarter of the time or less.
    """
    from scipy.linalg import eigvalsh, get_lapack_funcs  # takes a tenth of a second, so only here

    if 0 < bound < len(gram):
        (factorise,) = get_lapack_funcs(("pstrf",), (gram,))
        factor, _, rows, _ = factorise(gram, tol=NEGLIGIBLE * np.trace(gram) / len(gram))
        upper = np.triu(factor[:rows])
        gram = upper @ upper.T
    # With OpenBLAS, the upper triangle takes a sixth less time than the lower one.
    values: np.ndarray = eigvalsh(gram, lower=False, check_finite=False)
    return values


def _largest(array: np.ndarray) -> np.float64:
    """The largest absolute entry."""
    return np.float64(np.abs(array).max())


def _divided(array: np.ndarray, size: np.float64) -> np.ndarray:
    """The array, scaled so that its largest absolute entry is 1; unchanged if all are 0."""
    divided: np.ndarray = array / array.dtype.type(size or 1.0)
    return divided
