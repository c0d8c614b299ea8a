"""What a linear classifier can read out of a layer."""

import numpy as np

from plasticity.streams import Purpose, uniform


@np.errstate(over="ignore", invalid="ignore")  # huge activations: the best until then counts
def probing_accuracy(
    activations: np.ndarray,
    targets: np.ndarray,
    seed: int,
    position: tuple[int, ...] = (0,),
    classes: int = 10,
    step_size: float = 0.1,
    epochs: int = 50,
    patience: int = 15,
) -> float:
    """Best accuracy of a linear classifier with bias that is trained on a layer's activations.

    logits = W h + b, mean cross-entropy over all examples at once, Adam (β 0.9 and 0.999, ε 1e-8), one step
    per epoch. An epoch's accuracy is taken before its step, on the same examples; an example is right if no class
    has a larger logit than its own. Training ends after `epochs`, or after `patience` epochs without a new best.
    Weights and biases start from U(−1/√units, 1/√units), as in PyTorch's Linear, but drawn from the project's own
    stream: the same seed and position give the same classifier. These are the linear probes of Alain and Bengio
    (2017, "Understanding intermediate layers using linear classifier probes").

    The sums, and so the last digit, depend on the linear algebra library that NumPy uses and its number of threads.

    Args:
        activations: h of one layer, or the inputs themselves, [examples, units].
        targets: classes from 0, integers, [examples].
        seed: the run's seed.
        position: up to three numbers that tell this probe from others of the seed, such as (task, layer).
        classes: number of classes.
        step_size: Adam's step size.
        epochs: the most epochs to train for.
        patience: epochs without a new best before training ends.

    Returns:
        0 to 1; NaN if an activation is not finite
    """
    if not np.isfinite(activations).all():
        return float("nan")
    units = activations.shape[1]
    # A row of ones carries the bias. One example per column: the softmax runs along the examples.
    inputs = np.vstack([activations.T, np.ones(len(targets))]).astype(np.float32)
    start = uniform(units**-0.5, seed, Purpose.PROBE, position, classes * (units + 1))
    weights = np.column_stack([start[: classes * units].reshape(classes, units), start[classes * units :]])
    # The positions of the right classes' logits in the flattened array of all logits.
    wanted = targets.astype(np.int64) * len(targets) + np.arange(len(targets))
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    best, best_epoch = -1, 0
    for epoch in range(epochs):
        logits = weights @ inputs
        largest = logits.max(axis=0)
        right = int((logits.ravel()[wanted] >= largest).sum())
        if right > best:
            best, best_epoch = right, epoch
        elif epoch - best_epoch >= patience:
            break
        gradient = _errors(logits, largest, wanted) @ inputs.T / np.float32(len(targets))
        first += 0.1 * (gradient - first)
        second += 0.001 * (np.square(gradient) - second)
        corrected = np.sqrt(second / (1 - 0.999 ** (epoch + 1))) + 1e-8
        weights -= step_size * first / (1 - 0.9 ** (epoch + 1)) / corrected
    return best / len(targets)


def _errors(logits: np.ndarray, largest: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Softmax of each column, minus 1 at the right class; computed in place."""
    logits -= largest
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    logits.ravel()[wanted] -= 1
    return logits
