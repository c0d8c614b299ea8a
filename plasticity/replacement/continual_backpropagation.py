"""Continual backpropagation (Dohare et al. 2024), layer by layer, in PyTorch: the definition.

After every step of gradient descent each hidden layer ages its units, updates what it remembers of them, and may
choose the least useful mature ones; then the chosen units of all layers are replaced, first layer first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from plasticity.errors import ConfigError
from plasticity.part import choice, flag, integer, number, part
from plasticity.replacement.replacement import Memory, Replacement, Step, mean_over_samples
from plasticity.utilities import Contribution, Measures, Utility

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.networks.layer import Layer


@dataclass(frozen=True, kw_only=True)
class ContinualBackpropagation(Replacement, name="cbp"):
    """Continually replaces a few of the least useful mature units.

    Attributes:
        rate: replacement rate, the share of a layer's mature units that is replaced per step.
        maturity_threshold: a unit is never replaced unless it is older than this many steps.
        decay_rate: η of the running utility and the running mean activation.
        utility: what a unit is worth.
        bias_compensation: add f̂ · w_out of a replaced unit to the biases of the next layer, as the algorithm is
            described; in the code behind the published numbers this term was always 0.
        observed: what a layer's utility and running mean are computed from: its own activations (hidden); or the
            entry at its position in the list z₁, h₁, z₂, h₂, …, so that layers 1, 2, 3, … observe z₁, h₁, z₂, …
            (misaligned).
        accrual: what happens if the rate times the number of mature units is not a whole number: the rest is owed
            until it makes up a unit (debt); or it is forgotten, and a product below 1 is the probability that one
            unit is replaced (chance).

    With a maturity threshold of 10, misaligned and chance are what the code behind the published comparison on
    Bit-Flipping does: the list z₁, h₁, z₂, h₂, … that misaligned reads is that of `lop/nets/ffnn.py` in
    github.com/augustinasjucas/loss-of-plasticity; chance and the threshold are in `lop/algos/gnt.py` there and in
    github.com/shibhansh/loss-of-plasticity.
    """

    rate: float = number(1e-4, at_least=0, at_most=1)
    maturity_threshold: int = integer(100, at_least=0)
    decay_rate: float = number(0.99, at_least=0, below=1)
    utility: Utility = part(Utility, Contribution())
    bias_compensation: bool = flag(False)
    observed: str = choice("hidden", options=("hidden", "misaligned"))
    accrual: str = choice("debt", options=("debt", "chance"))

    def canonical(self, run: Any) -> Self:
        resolved = super().canonical(run)
        if self.observed == "misaligned" and len(set(run.hidden_units)) > 1:
            raise ConfigError("replacement.observed", self.observed, "hidden where layers differ in width")
        hidden = run.layers[:-1]
        if self.observed == "misaligned" and any(
            layer.columns > 1 or layer.positions > 1 for layer in hidden
        ):
            valid = "hidden where a unit has several columns or positions"
            raise ConfigError("replacement.observed", self.observed, valid)
        if self.bias_compensation and any(layer.leads_out for layer in hidden):
            valid = "false where units lead to other weights than those of the next layer"
            raise ConfigError("replacement.bias_compensation", True, valid)
        if resolved.layers and resolved.rate > 0:
            return resolved
        # Nothing is ever replaced: what would be replaced, how often and how makes no difference.
        return replace(
            resolved, layers=(), rate=0.0, maturity_threshold=100, bias_compensation=False, observed="hidden",
            accrual="debt",
        )  # fmt: skip

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """Ages, running utility u and running mean activation f of the units; the debt of the layer."""
        return {
            "age": np.zeros(units, np.int64),
            "utility": np.zeros(units, np.float32),
            "mean_activation": np.zeros(units, np.float32),
            "debt": np.zeros((), np.float64),
        }

    def memory_of(self, layer: "Layer") -> dict[str, np.ndarray]:
        memory = self.initial_memory(layer.units)
        if layer.columns > 1:
            memory["mean_activation"] = np.zeros((layer.columns, layer.units), np.float32)
        return memory

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        """Updates ages, running mean activations, running utilities and debts after a step.

        Returns:
            for each hidden layer, how many units are due; with accrual by chance, a number below 1 is the
            probability that one is: float64, []
        """
        return [self._update(memory, step, layer) for layer in range(len(step.activations))]

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        return [self._choose(memory, step, layer, units) for layer, units in enumerate(due)]

    def _update(self, memory: Memory, step: Step, layer: int) -> "Tensor":
        """Updates the ages, running means and running utilities of a layer's units. Returns how many are due."""
        eta, observed = self.decay_rate, self._observed(step, layer)
        memory["age"][layer] += 1
        for mean, activation in zip(_by_column(memory["mean_activation"][layer]), observed, strict=True):
            mean.mul_(eta).add_(mean_over_samples(activation), alpha=1 - eta)
        corrected = _by_column(self._corrected(memory, "mean_activation", layer))
        incoming, outgoing = step.incoming(layer), step.outgoing(layer)
        first, *others = (
            mean_over_samples(self.utility(Measures(activation, mean, leading_out, incoming)))
            for activation, mean, leading_out in zip(observed, corrected, outgoing, strict=True)
        )
        memory["utility"][layer].mul_(eta).add_(sum(others, first), alpha=1 - eta)
        return self._due(memory, layer)

    def _observed(self, step: Step, layer: int) -> list["Tensor"]:
        """What is taken for the activations of a layer, by column."""
        if self.observed == "hidden":
            return step.columns[layer]
        return [(step.activations if layer % 2 else step.pre_activations)[layer // 2]]

    def _corrected(self, memory: Memory, name: str, layer: int) -> "Tensor":
        """A running mean divided by 1 − η^age, which removes the bias of its start at 0."""
        corrected: Tensor = memory[name][layer] / (1 - self.decay_rate ** memory["age"][layer].double())
        return corrected.float()

    def _due(self, memory: Memory, layer: int) -> "Tensor":
        """How many units of a layer are due: its rate times its mature units, or the whole units of its debt."""
        debt: Tensor = memory["debt"][layer]
        if layer + 1 not in self.layers:
            return debt.new_zeros(())
        mean = self.rate * self._mature(memory, layer).sum().double()
        return debt.add_(mean).floor() if self.accrual == "debt" else mean

    def _mature(self, memory: Memory, layer: int) -> "Tensor":
        """Which units of a layer may be replaced."""
        mature: Tensor = memory["age"][layer] > self.maturity_threshold
        return mature

    def _choose(self, memory: Memory, step: Step, layer: int, due: float) -> list[int]:
        """The units of a layer to replace: the least useful mature ones, as many as are due."""
        number = floor(due)
        if self.accrual == "debt":
            if number:
                memory["debt"][layer].sub_(number)
        elif 0 < due < 1:
            number = int(step.chance(layer) < due)
        if number == 0:
            return []
        eligible = self._mature(memory, layer).nonzero().flatten()
        utility = self._corrected(memory, "utility", layer)
        ranking = self.utility.ranking(utility, lambda: step.draw(layer))
        least_first = ranking[eligible].argsort(stable=True)
        return [int(unit) for unit in eligible[least_first[:number]]]

    def before_replacement(self, memory: Memory, step: Step, layer: int, unit: int) -> None:
        if self.bias_compensation:
            following = step.linear[layer + 1]
            weights = step.layers[layer].outgoing(following.weight)[:, :, unit].sum(dim=-1)
            means = _by_column(self._corrected(memory, "mean_activation", layer))
            for mean, column in zip(means, weights.unbind(1), strict=True):
                following.bias.add_(mean[unit] * column)


def _by_column(values: "Tensor") -> Sequence["Tensor"]:
    """What is remembered of units, by column: [units], or [columns, units] where there are several."""
    return values.unbind(0) if values.ndim > 1 else [values]


def no_replacement(run: Any) -> ContinualBackpropagation:
    """The form, in a run, of every method whose set has no layer."""
    return ContinualBackpropagation(layers=()).canonical(run)
