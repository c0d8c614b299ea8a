"""The form of L2 regularisation towards initial values: rows that are not in use wait to be pulled."""

from collections.abc import Sequence
from math import log, log1p
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


LEFT = 0.99
"""The share of the distance from initial values that is left when a row has waited for as long as it may."""

LONGEST = 4096
"""The most steps that a row waits."""


class Pulled(Form):
    """L2 regularisation towards initial values, in the kernel's `pull.h`."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer in memory:
            for start, array in (("start_body", "body"), ("start_tail", "tail"), ("start_bias", "bias")):
                layer.arrays[start] = aligned(layer.arrays[array].shape)
            layer.rows |= {name: layer.arrays[name] for name in ("start_body", "start_tail")}
            layer.arrays["seen"] = aligned(layer.inputs + 1, np.int64)
            layer.arrays["waiting"] = aligned(layer.inputs + 9, np.int32)
            steps = np.arange(self._patience() + 1)
            layer.arrays["due_after"] = (-np.expm1(steps * log1p(-_pull(self.run)))).astype(np.float32)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.kept, learner.patience = 1, self._patience()

    def _patience(self) -> int:
        """How many steps a row may wait."""
        return min(max(int(log(LEFT) / log1p(-_pull(self.run))), 1), LONGEST)

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        start = origin(self.run, network)
        for number, layer in enumerate(memory):
            rows = layer.rows_of(start[f"weights.{number}"])
            layer.arrays["start_body"][: layer.inputs] = rows[:, : layer.body_length]
            layer.arrays["start_tail"][: layer.inputs] = rows[:, layer.body_length :][:, : layer.tail_length]
            layer["start_bias"][:] = start[f"biases.{number}"]


def can_wait(run: Run) -> bool:
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
