"""The utilities of a layer's units, summarised in four numbers."""

import numpy as np

from plasticity.diagnostics.finite import finite


def utility_summary(utility: np.ndarray) -> dict[str, float]:
    """Mean, median, smallest and largest utility of a layer's units.

    For the running utility u that continual backpropagation keeps (Dohare et al. 2024), or for any other number
    per unit. With an even number of units, the median is the mean of the two in the middle.

    Args:
        utility: u of one hidden layer, [units].

    Returns:
        the values by the names mean, median, min and max; all NaN if a utility is not finite
    """
    if not finite(utility):
        return dict.fromkeys(("mean", "median", "min", "max"), float("nan"))
    values = utility.astype(np.float64)
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }
