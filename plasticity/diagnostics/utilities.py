"""The utilities of a layer's units in four numbers."""

import numpy as np

from plasticity.diagnostics.finite import finite


def utility_summary(utility: np.ndarray) -> dict[str, float]:
    """Mean, median, smallest and largest utility of a layer's units.

    Of the running utility u as continual backpropagation keeps it (Dohare et al. 2024), or of any other
    number that each unit has. Of an even number of units the median is the mean of the two in the middle.

    Args:
        utility: u of one hidden layer, [units].

    Returns:
        by the names mean, median, min and max; all NaN if a utility is not finite
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
