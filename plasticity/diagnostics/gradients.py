"""Gradients of the loss, as the two factors of every example's gradient.

For a Linear layer z = W a + b, the gradient of one example's loss is δ aᵀ with respect to W and δ with respect to
b, where the error δ is the gradient of that loss with respect to z. The errors Δ, [examples, units], and the
layer's inputs A, [examples, inputs], thus determine every example's gradient, without any of them being formed
(Goodfellow 2015, "Efficient per-example gradient computations").
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plasticity.diagnostics.finite import finite


def errors_and_inputs(
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    examples: np.ndarray,
    targets: np.ndarray,
    activation: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The back-propagated errors Δ and the inputs A of every layer of a multi-layer perceptron, by autograd.

    Args:
        weights: [units, inputs] for each layer, the output layer last.
        biases: [units] for each layer.
        examples: the network's inputs, [examples, inputs].
        targets: classes, [examples], or outputs, [examples, outputs].
        activation: h as a function of z, on PyTorch tensors; applied after every layer but the last.
        loss: the mean loss over a batch, on PyTorch tensors, as a function of outputs, [examples, outputs], and
            targets, such as `torch.nn.functional.cross_entropy`. Integer targets are passed as int64.

    Returns:
        Δ of each layer, [examples, units]: gradients of each example's own loss, not of the mean;
        A of each layer, [examples, inputs]: those of layer 2 are hidden layer 1's activations, and so on
    """
    import torch

    target = torch.from_numpy(np.asarray(targets, np.int64 if targets.dtype.kind in "iu" else targets.dtype))
    inputs, pre_activations = [torch.from_numpy(examples)], list[torch.Tensor]()
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if layer > 0:
            inputs.append(activation(pre_activations[-1]))
        z = torch.nn.functional.linear(inputs[-1], torch.from_numpy(weight), torch.from_numpy(bias))
        # The parameters are constants: only the path from the first layer's z to the loss is followed.
        pre_activations.append(z if z.requires_grad else z.requires_grad_())
    total = loss(pre_activations[-1], target) * len(examples)
    errors = torch.autograd.grad(total, pre_activations)
    return [error.numpy() for error in errors], [array.detach().numpy() for array in inputs]


def gradient_norm(errors: np.ndarray, inputs: np.ndarray) -> float:
    """‖ΔᵀA‖_F / examples: the norm of a layer's mean gradient over examples, weights without biases.

    The norm for a network is the root of the sum of its layers' squared norms. With a single example, it is the
    norm of that example's gradient.

    Args:
        errors: Δ of one layer, [examples, units].
        inputs: A of the same layer, [examples, inputs].

    Returns:
        NaN if an error or input is not finite
    """
    if not finite(errors, inputs):
        return float("nan")
    mean = errors.astype(np.float64).T @ inputs.astype(np.float64) / len(errors)
    return float(np.linalg.norm(mean))


def zero_gradients(errors: np.ndarray, inputs: np.ndarray) -> float:
    """Share of exactly zero gradients among all examples and all weights of a layer, without biases.

    The gradient δ_i a_j is 0 where one of its factors is: 1 − mean over examples of (share of δ ≠ 0) · (share
    of a ≠ 0). With one example per step, it is the share of weights that a step of plain gradient descent leaves
    unchanged. A product too small for float32 counts as not zero.

    Args:
        errors: Δ of one layer, [examples, units].
        inputs: A of the same layer, [examples, inputs].

    Returns:
        0 to 1; NaN if an error or input is not finite
    """
    if not finite(errors, inputs):
        return float("nan")
    nonzero = (errors != 0).mean(axis=1) * (inputs != 0).mean(axis=1)
    return float(1 - nonzero.mean())
