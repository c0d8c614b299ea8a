"""Parts written in JAX: those of the base network, and those that `own_parts` writes in PyTorch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.own_parts import Moments, Power, SlopedReLU, TowardsStart
from plasticity.activations import ReLU
from plasticity.networks.mlp import Mlp
from plasticity.optimisers import SGD
from plasticity.regularisers import NoRegulariser
from plasticity.replacement import ContinualBackpropagation
from plasticity.run import Run
from plasticity.utilities import Contribution

ACTIVATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ReLU: lambda part, z: jax.nn.relu(z),
    SlopedReLU: lambda part, z: jnp.where(z > 0, z, part.slope * z),
}
"""h, of the part and z."""

UTILITIES: dict[type, Callable[[Any, Any, Any], Any]] = {
    Contribution: lambda part, h, outgoing: jnp.abs(h) * outgoing,
    Power: lambda part, h, outgoing: h**2 * outgoing**part.power,
}
"""y, of the part, h and mean |w_out|."""

TERMS: dict[type, Callable[[Any, Any, Any], Any]] = {
    NoRegulariser: lambda part, parameter, initial: 0.0,
    TowardsStart: lambda part, parameter, initial: part.strength * (parameter - initial),
}
"""The gradient of the term, of the part, a parameter and its initial values."""


def _descended(part: Any, parameter: Any, gradient: Any, memory: Any, steps: Any) -> tuple[Any, Any]:
    """Plain gradient descent."""
    return parameter - part.step_size * gradient, memory


def _adapted(part: Any, parameter: Any, gradient: Any, memory: Any, steps: Any) -> tuple[Any, Any]:
    """Adam."""
    mean, square = memory
    mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    size = jnp.sqrt(square / (1 - 0.999**steps)) + 1e-8
    return parameter - part.step_size * mean / (1 - 0.9**steps) / size, (mean, square)


OPTIMISERS: dict[type, tuple[int, Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]]] = {
    SGD: (0, _descended),
    Moments: (2, _adapted),
}
"""How many arrays are remembered of a parameter; and what gives the parameter and these arrays after a step, whose
number, from 1, is its last argument."""


def supports(run: Run) -> bool:
    """Whether the parts of a run are written here."""
    method = run.replacement
    return (
        type(run.model) is Mlp
        and run.model.normalisation == "none"
        and type(method) is ContinualBackpropagation
        and (method.observed, method.accrual, method.bias_compensation) == ("hidden", "debt", False)
        and type(method.utility) in UTILITIES
        and type(run.activation) in ACTIVATIONS
        and type(run.regulariser) in TERMS
        and type(run.optimiser) in OPTIMISERS
        and (run.perturbation.name, run.constraint.name, run.dataset.batch_size) == ("none", "none", 1)
    )
