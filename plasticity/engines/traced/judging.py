"""The form of a user's own objective: programs of the loss, the score and the errors of one example.

The loss of a batch is the mean over its examples, so that one program after the other gives it.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.engines.traced.derivative import derivative
from plasticity.engines.traced.form import Traced, give
from plasticity.engines.traced.operations import DOUBLE, FLOAT, TRUTH, UNIT, WHOLE
from plasticity.engines.traced.outputs import CLASSES, FUNCTIONS_OF_OUTPUTS, NUMBERS
from plasticity.engines.traced.refusal import Refused, refused_by
from plasticity.engines.traced.source import Program, program
from plasticity.engines.traced.symbol import Tracing
from plasticity.engines.traced.trace import array, check, traced
from plasticity.objectives import Objective

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("class", "values")
"""What examples may be labelled with: the last words of the fields of `Layer` for the programs."""


class TracedObjective(Traced):
    """An objective: a program for each kind of target that it accepts."""

    def trace(self) -> list[Program]:
        outputs, batch = self.run.dataset.outputs, self.run.dataset.batch_size
        return [objective(self.part, outputs, kind) for kind in accepted(self.part, outputs, batch)]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        output = memory[-1]
        output.arrays |= {"label": aligned(1, np.int64), "target": aligned(padded(output.units))}
        output.arrays |= {"loss": aligned(1, np.float64), "score": aligned(1, np.float64)}
        asked = {one.name for program in self.programs() for one in program.arrays}
        for name in asked & {NUMBERS, CLASSES}:
            output.own[name] = aligned(padded(output.units), np.int64)
            output.own[name][:] = np.arange(padded(output.units))
        kinds = accepted(self.part, self.run.dataset.outputs, self.run.dataset.batch_size)
        for kind, one, address in zip(kinds, self.programs(), self.addresses(), strict=True):
            give(output, f"judge_{kind}", one, address)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.loss = len(binding.numbers("loss"))


def objective(part: Objective, outputs: int, kind: str) -> Program:
    """Loss, score and dloss/doutput of an example whose target is of a kind. Raises Refused."""
    tracing = Tracing({UNIT: outputs}, differentiates=True, functions=FUNCTIONS_OF_OUTPUTS)
    given = tracing.source("activation", dims=(UNIT,))
    target = tracing.source("label", WHOLE) if kind == "class" else tracing.source("target", dims=(UNIT,))
    loss = traced(tracing, part.loss, given, target)
    check(loss, [()], (FLOAT, DOUBLE))
    score = traced(tracing, part.score, given, target)
    check(score, [()], (TRUTH, WHOLE, FLOAT, DOUBLE))
    error = traced(tracing, derivative, tracing, loss, given)
    return program([
        (array("error", UNIT), tracing.graph.cast(error.node, FLOAT)),
        (array("loss", dtype=DOUBLE), tracing.graph.cast(loss.node, DOUBLE)),
        (array("score", dtype=DOUBLE), tracing.graph.cast(score.node, DOUBLE)),
    ])  # fmt: skip


def accepted(part: Objective, outputs: int, batch: int) -> list[str]:
    """The kinds of targets for which an objective gives a loss and a score.

    Raises:
        Refused: there is none, or a batch's loss is not the mean of those of its examples.
    """
    found, reasons = list[str](), list[Refused]()
    for kind in TARGETS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of shapes that are broadcast, where targets are of another kind
                _try(part, *_examples(outputs, batch, kind))
        except Refused:
            raise
        except Exception as error:
            reasons.append(refused_by(error))
        else:
            found.append(kind)
    if not found:
        raise reasons[0]
    return found


def _try(part: Objective, outputs: "Tensor", targets: "Tensor") -> None:
    """Computes losses and scores of examples, one by one and, where there are several, all at once."""
    import torch

    losses = torch.stack([part.loss(*one) for one in zip(outputs, targets, strict=True)])
    scores = torch.stack([part.score(*one) for one in zip(outputs, targets, strict=True)])
    if losses.ndim != 1 or scores.ndim != 1:
        raise ValueError(f"a loss of shape {list(losses.shape[1:])}, a score of {list(scores.shape[1:])}")
    if len(outputs) == 1:
        return
    loss, score = part.loss(outputs, targets), part.score(outputs, targets)
    if loss.shape != () or not torch.allclose(loss, losses.mean(), rtol=1e-3):
        raise Refused("the loss of a batch is not the mean of its examples'")
    if score.shape != scores.shape or not torch.allclose(score.double(), scores.double(), rtol=1e-3):
        raise Refused("the scores of a batch are not those of its examples")


def _examples(outputs: int, batch: int, kind: str) -> tuple["Tensor", "Tensor"]:
    """Outputs and targets as there may be."""
    import torch

    draw = np.random.default_rng(0)
    values = torch.from_numpy(draw.normal(size=(2, batch, outputs)).astype(np.float32))
    classes = torch.from_numpy(draw.integers(0, outputs, batch))
    return values[0], classes if kind == "class" else values[1]
