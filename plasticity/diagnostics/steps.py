"""What the steps of a task achieve."""

import numpy as np


def step_plasticity(before: np.ndarray, after: np.ndarray) -> float:
    """The share of the loss on its own examples that a step removes: mean of clip(1 − after / before, 0, 1).

    Elsayed and Mahmood (2024, "Addressing loss of plasticity and catastrophic forgetting in continual learning")
    call it plasticity. As in their code (github.com/mohmdelsayed/upgd), a loss before the step that is below
    1e-8 counts as 1e-8.

    Args:
        before: mean loss of each step's examples before the step, [steps].
        after: mean loss of the same examples after the step and its replacements, [steps].

    Returns:
        0 to 1; NaN if a loss is
    """
    removed = np.clip(1 - np.asarray(after) / np.maximum(before, 1e-8), 0, 1)
    return float(np.cumsum(removed)[-1] / len(removed))  # summed in the order of the steps
