"""A user of the package: modules of parts, and a directory of configs, in a folder that is not the package's."""

from pathlib import Path

PARTS = '''
"""Parts of my own."""

import logging
from dataclasses import dataclass

import numpy as np

from plasticity import (
    Activation, Dataset, Diagnostic, Optimiser, Regulariser, Replacement, Task, Utility, integer, number,
)
from plasticity.datasets.images import images_and_labels
from plasticity.objectives import CrossEntropy
from plasticity.streams import Purpose, sample

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Slope(Activation):
    """z for z > 0, slope · z below."""

    slope: float = number(0.1, at_least=0, at_most=1)

    def __call__(self, z):
        return z.where(z > 0, self.slope * z)


class Size(Utility):
    """|h|."""

    def __call__(self, measures):
        return measures.activation.abs()


@dataclass(frozen=True, kw_only=True)
class L2Init(Regulariser):
    """strength / 2 · ‖θ − θ₀‖²."""

    strength: float = number(0.1, at_least=0)

    def term(self, parameter, initial):
        return self.strength * (parameter - initial)


@dataclass(frozen=True, kw_only=True)
class PermutedLabels(Dataset):
    """MNIST, its labels permuted again in every task after the first."""

    inputs, outputs, objective = 784, 10, CrossEntropy()
    tasks: int = integer(3, at_least=1)
    examples_per_task: int = integer(60, at_least=1, at_most=60_000)

    def open(self, seed, root):
        log.info("opening the stream of seed %d", seed)
        log.debug("with %d tasks", self.tasks)
        return Stream(self, seed, *images_and_labels("mnist", "unit", root))


class Stream:
    def __init__(self, dataset, seed, rows, labels):
        self.dataset, self.seed, self.rows, self.labels = dataset, seed, rows, labels

    def task(self, number):
        permuted = np.random.default_rng((self.seed, number)).permutation(10) if number else np.arange(10)
        examples = self.dataset.examples_per_task
        return Task(
            number=number,
            first_step=number * self.dataset.steps_per_task,
            rows=self.rows,
            targets=permuted[self.labels].astype(np.int32),
            order=sample(60_000, examples, self.seed, Purpose.EXAMPLE_ORDER, (number,)),
        )


@dataclass(frozen=True, kw_only=True)
class MeanWeight(Diagnostic):
    """Mean |w| of the first layer."""

    def __call__(self, view):
        return {"mean_weight": float(np.abs(view.network.weights[0]).mean())}


@dataclass(frozen=True, kw_only=True)
class ReDo(Replacement):
    """Replaces the least active unit of each layer, where |h| is below a threshold."""

    threshold: float = number(0.1, at_least=0)

    def choose(self, memory, step, due):
        sizes = [h.abs() for h in step.activations]
        return [
            [int(h.argmin())] if layer in self.layers and float(h.min()) < self.threshold else []
            for layer, h in enumerate(sizes, start=1)
        ]


@dataclass(frozen=True, kw_only=True)
class Sign(Optimiser):
    """θ ← θ − step size · sign of the gradient."""

    step_size: float = number(0.001, above=0)

    def step(self, parameter, gradient, memory):
        parameter.sub_(gradient.sign(), alpha=self.step_size)


class Normed(Activation):
    """max(z, 0), unless the norm of all units is 0: what no kernel has."""

    def __call__(self, z):
        from torch import linalg

        return z.relu() * (linalg.norm(z.detach()) > 0)


class Weighed(Utility):
    """mean|w_out|, and the least where it is not a number."""

    def __call__(self, measures):
        return measures.outgoing.nan_to_num()


class Cumulated(Regulariser):
    """The weights of earlier inputs pull at those of later ones."""

    def term(self, parameter, initial):
        return 0.001 * parameter.cumsum(-1)
'''

NO_FORM = {
    "activation": ("my_parts.Normed", r"torch\.linalg\.norm"),
    "replacement.utility": ("my_parts.Weighed", r"Tensor\.nan_to_num"),
    "regulariser": ("my_parts.Cumulated", r"Tensor\.cumsum"),
}
"""Parts without a native form, by key, and what is in the way."""


def without_a_form(key: str) -> str:
    """A pattern of the reason why one of those has no native form."""
    part, what = NO_FORM[key]
    return rf"{key}={part} has no native form: {what} at my_parts\.py:\d+"


METHOD = """\
# @package _global_
# ReDo, decay towards the initial weights, and sign descent, as one recipe.
defaults:
  - override /replacement/method: redo
  - override /replacement: all
  - override /regulariser: l2_init
  - override /optimiser: my_parts.Sign
method:
  name: mine
  grid:
    optimiser.step_size: [0.002, 0.0005]
    replacement.threshold: [0.05, 0.2]
"""

CONFIGS = {
    "method/mine": METHOD,
    "replacement/method/redo": "_target_: my_parts.ReDo",
    "activation/slope": "_target_: my_parts.Slope",
    "replacement/utility/size": "_target_: my_parts.Size",
    "regulariser/l2_init": "_target_: my_parts.L2Init",
    "dataset/permuted_labels": "_target_: my_parts.PermutedLabels",
    "diagnostics/mean_weight": "mean_weight:\n  _target_: my_parts.MeanWeight",
}


def write(folder: Path) -> None:
    """Writes the module and, in `my_conf`, a file for each of its parts."""
    (folder / "my_parts.py").write_text(PARTS)
    for name, text in CONFIGS.items():
        path = folder / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def edit(folder: Path, old: str, new: str) -> None:
    """Replaces a text that occurs once in the module."""
    module = folder / "my_parts.py"
    text = module.read_text()
    assert text.count(old) == 1
    module.write_text(text.replace(old, new))
