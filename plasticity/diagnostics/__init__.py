"""Diagnostics: what can be measured inside a network, without changing a run's numbers.

Each measure is one function on NumPy arrays, which knows nothing of runs, tasks or engines; a `Diagnostic` is
the part that measures while a run is computed. A layer's activations are an array [examples, units], its
weights [units, inputs]. Every measure is a float; it is NaN if an array that it is computed from holds NaN or an
infinity: a network that diverges is a finding, not a reason to stop. Only gradients need PyTorch,
which is imported when they are asked for.

Papers use the same names for different measures: each docstring gives the formula and says whose naming it follows.
"""

from plasticity.diagnostics.curvature import curvature_rank, curvature_ranks, gradient_gram
from plasticity.diagnostics.diagnostic import Diagnostic, Measurement, differing, lacking
from plasticity.diagnostics.gradients import (
    errors_and_inputs,
    gradient_factors,
    gradient_norm,
    zero_gradients,
)
from plasticity.diagnostics.measures import (
    AbsoluteApproximateRank,
    ApproximateRank,
    Curvature,
    DeadUnits,
    Distance,
    DormantUnits,
    DuplicateUnits,
    EffectiveRank,
    GradientNorm,
    LinearisedUnits,
    Probing,
    Rank,
    StableRank,
    StepPlasticity,
    Utilities,
    ZeroGradients,
)
from plasticity.diagnostics.probing import probing_accuracy
from plasticity.diagnostics.ranks import (
    absolute_approximate_rank,
    approximate_rank,
    effective_rank,
    gram_matrix,
    rank,
    singular_values,
    stable_rank,
)
from plasticity.diagnostics.steps import step_plasticity
from plasticity.diagnostics.units import dead_units, dormant_units, duplicate_units, linearised_units
from plasticity.diagnostics.utilities import utility_summary
from plasticity.diagnostics.view import HiddenLayer, View, by_layer, by_layer_and_output
from plasticity.diagnostics.weights import distance_from_initialisation, weight_magnitude

__all__ = [
    "AbsoluteApproximateRank",
    "ApproximateRank",
    "Curvature",
    "DeadUnits",
    "Diagnostic",
    "Distance",
    "DormantUnits",
    "DuplicateUnits",
    "EffectiveRank",
    "GradientNorm",
    "HiddenLayer",
    "LinearisedUnits",
    "Measurement",
    "Probing",
    "Rank",
    "StableRank",
    "StepPlasticity",
    "Utilities",
    "View",
    "ZeroGradients",
    "absolute_approximate_rank",
    "approximate_rank",
    "by_layer",
    "by_layer_and_output",
    "curvature_rank",
    "curvature_ranks",
    "dead_units",
    "differing",
    "distance_from_initialisation",
    "dormant_units",
    "duplicate_units",
    "effective_rank",
    "errors_and_inputs",
    "gradient_factors",
    "gradient_gram",
    "gradient_norm",
    "gram_matrix",
    "lacking",
    "linearised_units",
    "probing_accuracy",
    "rank",
    "singular_values",
    "stable_rank",
    "step_plasticity",
    "utility_summary",
    "weight_magnitude",
    "zero_gradients",
]
