"""Whether arrays hold only finite numbers."""

import numpy as np


def finite(*arrays: np.ndarray) -> bool:
    """Whether no array holds NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)
