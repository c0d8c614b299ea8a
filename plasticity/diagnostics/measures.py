"""The measures as parts: what `conf/diagnostics/` chooses from.

Columns are named after the measure and the layer: `dead_units.layer_1`, `curvature_rank.output`; a measure of the
whole network has just the measure's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from plasticity.activations import ReLU
from plasticity.diagnostics.curvature import curvature_ranks
from plasticity.diagnostics.diagnostic import Diagnostic
from plasticity.diagnostics.gradients import gradient_norm, zero_gradients
from plasticity.diagnostics.probing import probing_accuracy
from plasticity.diagnostics.ranks import (
    absolute_approximate_rank,
    approximate_rank,
    effective_rank,
    rank,
    stable_rank,
)
from plasticity.diagnostics.steps import step_plasticity
from plasticity.diagnostics.units import dead_units, dormant_units, duplicate_units, linearised_units
from plasticity.diagnostics.utilities import utility_summary
from plasticity.diagnostics.view import HiddenLayer, View, by_layer, by_layer_and_output
from plasticity.diagnostics.weights import distance_from_initialisation
from plasticity.networks.layer import of_layer
from plasticity.part import integer, number

if TYPE_CHECKING:
    from plasticity.engines import TaskResult
    from plasticity.run import Run


@dataclass(frozen=True, kw_only=True)
class OfHiddenLayers(Diagnostic):
    """A measure of each hidden layer's activations on the task's first examples, before it is learnt.

    For a convolution, whose units are channels, a channel's activation is its mean over positions; dead and dormant
    units are those whose |h| is 0, or small, over all positions.

    Attributes:
        examples: number of the task's first examples to measure on.
    """

    examples: int = integer(1_000, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        return by_layer(self.name, [self.of(layer) for layer in view.hidden_layers(self.examples)])

    def of(self, layer: HiddenLayer) -> float:
        """The measure of one layer."""
        raise NotImplementedError


class DeadUnits(OfHiddenLayers, name="dead_units"):
    """Number of units that are 0 on every example: `dead_units`."""

    def of(self, layer: HiddenLayer) -> float:
        return _whole(dead_units(layer.magnitudes))


@dataclass(frozen=True, kw_only=True)
class DormantUnits(OfHiddenLayers, name="dormant_units"):
    """Share of units that are hardly active: `dormant_units`.

    Attributes:
        threshold: τ, the share of the layer's mean activity up to which a unit counts as dormant.
    """

    threshold: float = number(0.025, at_least=0)

    def of(self, layer: HiddenLayer) -> float:
        return dormant_units(layer.magnitudes, self.threshold)


@dataclass(frozen=True, kw_only=True)
class LinearisedUnits(OfHiddenLayers, name="linearised_units"):
    """Share of units that work on the linear side of ReLU: `linearised_units`.

    Attributes:
        share: the share of examples with z > 0 from which a unit counts as linearised.
    """

    share: float = number(0.9, at_least=0, at_most=1)

    def __call__(self, view: View) -> dict[str, float]:
        if type(view.run.activation) is ReLU:  # its h is above 0 exactly where z is
            z = [layer.activations for layer in view.hidden_layers(self.examples)]
        else:
            z = view.pre_activations(self.examples)
        return by_layer(self.name, [linearised_units(layer, self.share) for layer in z])


@dataclass(frozen=True, kw_only=True)
class DuplicateUnits(OfHiddenLayers, name="duplicate_units"):
    """Share of units that duplicate another: `duplicate_units`.

    Attributes:
        cosine: the cosine similarity above which two units count as the same.
    """

    cosine: float = number(0.95, at_least=-1, at_most=1)

    def of(self, layer: HiddenLayer) -> float:
        return duplicate_units(layer.activations, self.cosine, layer.gram)


class Rank(OfHiddenLayers, name="rank"):
    """Number of singular values above the rounding noise: `rank`."""

    def of(self, layer: HiddenLayer) -> float:
        return _whole(rank(layer.activations, layer.singular_values))


class EffectiveRank(OfHiddenLayers, name="effective_rank"):
    """The exponential of the entropy of the singular values: `effective_rank`."""

    def of(self, layer: HiddenLayer) -> float:
        return effective_rank(layer.activations, layer.singular_values)


class ApproximateRank(OfHiddenLayers, name="approximate_rank"):
    """Number of squared singular values that hold 99 % of their sum: `approximate_rank`."""

    def of(self, layer: HiddenLayer) -> float:
        return _whole(approximate_rank(layer.activations, layer.singular_values))


class AbsoluteApproximateRank(OfHiddenLayers, name="absolute_approximate_rank"):
    """Number of singular values that hold 99 % of their sum: `absolute_approximate_rank`."""

    def of(self, layer: HiddenLayer) -> float:
        return _whole(absolute_approximate_rank(layer.activations, layer.singular_values))


class StableRank(OfHiddenLayers, name="stable_rank"):
    """Sum of the squared singular values over the largest of them: `stable_rank`."""

    def of(self, layer: HiddenLayer) -> float:
        return stable_rank(layer.activations, layer.singular_values)


class Distance(Diagnostic, name="distance_from_initialisation"):
    """How far weights and biases have moved from their initial values, per layer and in total, after the task."""

    def after(self, view: View) -> dict[str, float]:
        layers = []
        for position in range(len(view.run.layers)):
            now, then = (
                list(of_layer(view.run.layers, position, network.parameters).values())
                for network in (view.network, view.initial)
            )
            layers.append(distance_from_initialisation(now, then))
        total = {self.name: sqrt(sum(distance**2 for distance in layers))}
        return by_layer_and_output(self.name, layers) | total


class Utilities(Diagnostic, name="utilities"):
    """Mean, median, smallest and largest running utility u of each hidden layer's units, at the task's end.

    The columns are `utility_mean.layer_1`, `utility_median.layer_1`, `utility_min.layer_1`, `utility_max.layer_1`
    and so on. They describe the utility of the run's replacement method as it is after the last step of the task,
    not averaged over its steps. A method that keeps no utility has no such columns.
    """

    def after(self, view: View) -> dict[str, float]:
        if "utility.0" not in view.network.memory:
            return {}
        layers = [utility_summary(utility) for utility in view.network.remembered("utility")]
        return {
            column: value
            for name in ("mean", "median", "min", "max")
            for column, value in by_layer(f"utility_{name}", [layer[name] for layer in layers]).items()
        }


@dataclass(frozen=True, kw_only=True)
class OfGradients(Diagnostic):
    """A measure of the loss's gradients on the task's first examples, before it is learnt.

    It is defined for fully connected layers. A network with others has no columns for these, nor for the whole.

    Attributes:
        examples: number of the task's first examples to measure on.
    """

    examples: int = integer(1_000, at_least=1)

    def undefined(self, run: "Run") -> list[int]:
        return [number for number, layer in enumerate(run.layers, start=1) if not layer.factored]

    def of_layers(self, view: View, measure: Callable[[np.ndarray, np.ndarray], float]) -> list[float | None]:
        """A measure of each layer's errors and inputs; None where they are not defined."""
        factors = view.gradient_factors(self.examples)
        return [None if each is None else measure(*each) for each in factors]


@dataclass(frozen=True, kw_only=True)
class GradientNorm(OfGradients, name="gradient_norm"):
    """Norm of the mean gradient with respect to each layer's weights and to all of them: `gradient_norm`."""

    every: int = integer(5, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        layers = self.of_layers(view, gradient_norm)
        known = [norm for norm in layers if norm is not None]
        total = {self.name: sqrt(sum(norm**2 for norm in known))} if len(known) == len(layers) else {}
        return by_layer_and_output(self.name, layers) | total


@dataclass(frozen=True, kw_only=True)
class ZeroGradients(OfGradients, name="zero_gradients"):
    """Share of exactly zero gradients among each layer's weights and among all: `zero_gradients`."""

    every: int = integer(5, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        layers = self.of_layers(view, zero_gradients)
        known = [share for share in layers if share is not None]
        weights = [layer.weights for layer in view.run.layers]
        whole = {self.name: float(np.average(known, weights=weights))} if len(known) == len(layers) else {}
        return by_layer_and_output(self.name, layers) | whole


@dataclass(frozen=True, kw_only=True)
class Curvature(OfGradients, name="curvature_rank"):
    """Rank of the loss's curvature in each layer's weights and in all of them: `curvature_rank`.

    With 2,000 examples, the base network takes 2 s.

    Attributes:
        share: the share of the sum of eigenvalues.
    """

    every: int = integer(5, at_least=1)
    examples: int = integer(2_000, at_least=1)
    share: float = number(0.99, above=0, at_most=1)

    def __call__(self, view: View) -> dict[str, float]:
        factors = view.gradient_factors(self.examples)
        known = [each for each in factors if each is not None]
        errors, inputs = ([each[side] for each in known] for side in (0, 1))
        layers, network = curvature_ranks(errors, inputs, self.share)
        ranks = iter(layers)
        of_layers = [None if each is None else _whole(next(ranks)) for each in factors]
        whole = {self.name: _whole(network)} if len(known) == len(factors) else {}
        return by_layer_and_output(self.name, of_layers) | whole


@dataclass(frozen=True, kw_only=True)
class Probing(Diagnostic, name="probing_accuracy"):
    """Accuracy of a linear classifier on each hidden layer, before and after the task: `probing_accuracy`.

    The columns are `probing_accuracy_before.layer_1`, `probing_accuracy_after.layer_1` and so on. For a
    regression, which has no classes, there are none.

    Attributes:
        examples: number of the task's first examples to train on.
        step_size: Adam's step size.
        epochs: the most epochs to train for.
        patience: epochs without a new best before training ends.
    """

    every: int = integer(25, at_least=1)
    examples: int = integer(10_000, at_least=1)
    step_size: float = number(0.1, above=0)
    epochs: int = integer(50, at_least=1)
    patience: int = integer(15, at_least=1)

    def __call__(self, view: View) -> dict[str, float]:
        return self._probed(view, "before")

    def after(self, view: View) -> dict[str, float]:
        return self._probed(view, "after")

    def _probed(self, view: View, when: str) -> dict[str, float]:
        targets = view.targets(self.examples)
        if targets.dtype.kind not in "iu":
            return {}
        probed = [
            probing_accuracy(
                layer.activations,
                targets,
                view.run.seed,
                (view.task.number, number, int(when == "after")),
                view.run.dataset.outputs,
                self.step_size,
                self.epochs,
                self.patience,
            )
            for number, layer in enumerate(view.hidden_layers(self.examples), start=1)
        ]
        return by_layer(f"{self.name}_{when}", probed)


class StepPlasticity(Diagnostic, name="step_plasticity"):
    """Share of the loss on a step's own examples that the step removes, averaged over steps: `step_plasticity`.

    Each step's examples are predicted once more, which takes a third to a half of the time of learning from them.
    """

    def during(self, result: "TaskResult") -> dict[str, float]:
        assert result.losses is not None  # the engine was asked for them
        return {self.name: step_plasticity(result.losses.before, result.losses.after)}


def _whole(count: float) -> float:
    """A whole number as an int; NaN unchanged."""
    return int(count) if count == count else count
