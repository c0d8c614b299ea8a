"""The form of L2 regularisation towards initial values: weights are kept as their distances from these."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plasticity.constraints import NoConstraint
from plasticity.engines.form import Form
from plasticity.engines.kernel.memory import LayerMemory, aligned
from plasticity.networks.network import Network, origin
from plasticity.optimisers import SGD
from plasticity.replacement import (
    ContinualBackpropagation,
    ContinualPartialResets,
    RandomReplacement,
    ReDo,
    ReGraMa,
    SelfNormalisedResets,
)
from plasticity.run import Run
from plasticity.utilities import Contribution, Random

BLIND = (ReDo, ReGraMa, SelfNormalisedResets, ContinualPartialResets, RandomReplacement)
"""Methods other than continual backpropagation that look at no weights."""


class Distances(Form):
    """L2 regularisation towards initial values, in the kernel's `distance.h`."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer in memory:
            for start, array in (("start_body", "body"), ("start_tail", "tail"), ("start_bias", "bias")):
                layer.arrays[start] = aligned(layer.arrays[array].shape)
            layer.rows |= {name: layer.arrays[name] for name in ("start_body", "start_tail")}
            layer.arrays["seen"] = aligned(layer.inputs, np.int64)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.kept = 1 - _pull(self.run)

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        start = origin(self.run, network)
        for number, layer in enumerate(memory):
            rows = layer.rows_of(start[f"weights.{number}"])
            layer.arrays["start_body"][: layer.inputs] = rows[:, : layer.body_length]
            layer.arrays["start_tail"][: layer.inputs] = rows[:, layer.body_length :][:, : layer.tail_length]
            layer["start_bias"][:] = start[f"biases.{number}"]


def can_be_distances(run: Run) -> bool:
    """Whether nothing in a step looks at weights whose inputs are 0, of which Σ|w| is not known.

    The contribution of a unit whose activation is 0 is 0, whatever Σ|w_out| is; other utilities look at that, or at
    weights of all inputs, and a constraint acts on all.
    """
    method = run.replacement
    if isinstance(method, ContinualBackpropagation):
        looks = type(method.utility) not in (Contribution, Random) or method.observed == "misaligned"
    else:
        looks = type(method) not in BLIND
    sgd, free = type(run.optimiser) is SGD, type(run.constraint) is NoConstraint
    return sgd and free and not looks and 0 < _pull(run) < 0.5


def _pull(run: Run) -> float:
    return float(run.optimiser.step_size * run.regulariser.strength)  # type: ignore[attr-defined]
