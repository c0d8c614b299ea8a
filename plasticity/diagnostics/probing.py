"""What a linear classifier can read out of a layer."""

import numpy as np

from plasticity.streams import Purpose, uniform


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
    an epoch. An epoch's accuracy is taken before its step, on the same examples; training ends after
    `epochs`, or after `patience` epochs without a new best. Weights and biases start from U(−1/√units,
    1/√units), as PyTorch's Linear does, but from the project's own stream: the same seed and position give
    the same classifier. The linear probes of Alain and Bengio (2017, "Understanding intermediate layers using
    linear classifier probes").

    Importing PyTorch takes its time at the first call. Its sums, and so the last digit, depend on its number
    of threads.

    Args:
        activations: h of one layer, or the inputs themselves, [examples, units].
        targets: classes from 0, integers, [examples].
        seed: the run's seed.
        position: up to three numbers that tell this probe from others of the seed, such as (task, layer).
        classes: number of classes.
        step_size: Adam's.
        epochs: at most so many.
        patience: epochs without a new best before training ends.

    Returns:
        0 to 1; NaN if an activation is not finite
    """
    if not np.isfinite(activations).all():
        return float("nan")
    import torch

    # One example per column: the softmax then runs along the examples, which takes half the time.
    h = torch.from_numpy(np.ascontiguousarray(activations.T, np.float32))
    target = torch.from_numpy(targets.astype(np.int64))
    units = len(h)
    start = torch.from_numpy(uniform(units**-0.5, seed, Purpose.PROBE, position, (units + 1) * classes))
    weight = start[: units * classes].reshape(classes, units).clone().requires_grad_()
    bias = start[units * classes :].clone().requires_grad_()
    adam = torch.optim.Adam([weight, bias], lr=step_size)
    best, best_epoch = -1, 0
    for epoch in range(epochs):
        logits = torch.addmm(bias[:, None], weight, h)
        right = int((logits.max(dim=0).indices == target).sum())
        if right > best:
            best, best_epoch = right, epoch
        elif epoch - best_epoch >= patience:
            break
        weight.grad = bias.grad = None
        torch.nn.functional.cross_entropy(logits[None], target[None]).backward()
        adam.step()
    return best / len(target)
