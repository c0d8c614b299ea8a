"""Gradients of the loss, as the two factors of every example's gradient.

For a Linear layer z = W a + b, the gradient of one example's loss is δ aᵀ with respect to W and δ with respect to
b, where the error δ is the gradient of that loss with respect to z. The errors Δ, [examples, units], and the
layer's inputs A, [examples, inputs], thus determine every example's gradient, without any of them being formed
(Goodfellow 2015, "Efficient per-example gradient computations").
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from plasticity.activations import Activation
from plasticity.diagnostics.finite import finite
from plasticity.networks.dense import Dense
from plasticity.networks.layer import Layer, Parameter, of_layer

Factors = tuple[np.ndarray, np.ndarray]
"""The errors Δ, [examples, units], and the inputs A, [examples, inputs], of a layer."""


def gradient_factors(
    layers: Sequence[Layer],
    parameters: Mapping[str, np.ndarray],
    examples: np.ndarray,
    targets: np.ndarray,
    loss: Callable[[Any, Any], Any],
) -> list[Factors | None]:
    """The back-propagated errors Δ and the inputs A of every layer of a network, by autograd.

    Args:
        layers: the network's layers, the output layer last.
        parameters: by the names of their arrays.
        examples: the network's inputs, [examples, inputs].
        targets: classes, [examples], or outputs, [examples, outputs].
        loss: the mean loss over a batch, on PyTorch tensors, as a function of outputs, [examples, outputs], and
            targets, such as `torch.nn.functional.cross_entropy`. Integer targets are passed as int64.

    Returns:
        for each layer: Δ, gradients of each example's own loss, not of the mean; and A: that of layer 2 are hidden
        layer 1's activations, and so on. None for a layer that is not `factored`, such as a convolution
    """
    import torch

    target = torch.from_numpy(np.asarray(targets, np.int64 if targets.dtype.kind in "iu" else targets.dtype))
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def recording(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        z = torch.nn.functional.linear(inputs, weight, bias)
        # The parameters are constants: only the path from the first z to the loss is followed.
        calls.append((inputs, z if z.requires_grad else z.requires_grad_()))
        return calls[-1][1]

    tensors = {name: torch.from_numpy(array) for name, array in parameters.items()}
    outputs, places = torch.from_numpy(examples), list[int | None]()
    for number, layer in enumerate(layers):
        places.append(len(calls) if layer.factored else None)
        outputs = layer.forward(of_layer(layers, number, tensors), outputs, recording).outputs
    total = loss(outputs, target) * len(examples)
    errors = torch.autograd.grad(total, [z for _, z in calls])
    return [
        None if place is None else (errors[place].numpy(), calls[place][0].detach().numpy())
        for place in places
    ]


def errors_and_inputs(
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    examples: np.ndarray,
    targets: np.ndarray,
    activation: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same for a multi-layer perceptron, given as its weights and biases.

    Args:
        weights: [units, inputs] for each layer, the output layer last.
        biases: [units] for each layer.
        examples, targets, loss: as for `gradient_factors`.
        activation: h as a function of z, on PyTorch tensors; applied after every layer but the last.

    Returns:
        Δ of each layer, [examples, units], and A of each layer, [examples, inputs]
    """
    parameters, layers = dict[str, np.ndarray](), list[Layer]()
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        parameters |= {f"weights.{number}": weight, f"biases.{number}": bias}
        shapes = {"weights": Parameter(weight.shape), "biases": Parameter(bias.shape)}
        own = cast(Activation, activation) if number + 1 < len(weights) else None
        layers.append(Dense(units=len(bias), activation=own, parameters=shapes))
    found = gradient_factors(layers, parameters, examples, targets, loss)
    known = [factors for factors in found if factors is not None]
    return [errors for errors, _ in known], [inputs for _, inputs in known]


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
