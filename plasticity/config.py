"""What a run is: the typed form of `conf/`, the checks that it must pass, and its identity.

A `RunConfig` holds everything that changes a run's numbers and nothing else. How it is computed, shown and
stored (engine, tracker, folder) is in `plasticity.settings`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from plasticity.activations import GAINS
from plasticity.datasets import DATASETS, DatasetConfig
from plasticity.errors import ConfigError, ImpossibleLayer
from plasticity.regulariser import REGULARISERS
from plasticity.schema import build, choice, flag, identity_values, integer, number, one_of, unknown_key

UTILITIES = (
    "contribution",
    "zero_contribution",
    "adaptable_contribution",
    "adaptation",
    "weight",
    "feature_by_input",
    "random",
)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A multi-layer perceptron: `depth` hidden layers of `width` units."""

    width: int = integer(100, at_least=1)
    depth: int = integer(5, at_least=1)


@dataclass(frozen=True, kw_only=True)
class ActivationConfig:
    """The activation of every hidden unit."""

    name: str = choice("relu", tuple(GAINS))


@dataclass(frozen=True, kw_only=True)
class ReplacementConfig:
    """Continual backpropagation: which layers' units are replaced, how often and by what utility.

    `layers` is resolved: the numbers of the hidden layers, from 1, in increasing order; empty for none.
    """

    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    rate: float = number(1e-4, at_least=0, at_most=1)
    maturity_threshold: int = integer(100, at_least=0)
    decay_rate: float = number(0.99, at_least=0, below=1)
    utility: str = choice("contribution", UTILITIES)
    bias_compensation: bool = flag(False)


@dataclass(frozen=True, kw_only=True)
class RegulariserConfig:
    """What is added to the gradient to keep the weights small."""

    name: str = choice("none", tuple(REGULARISERS))
    strength: float = number(0.0, at_least=0)


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """Plain stochastic gradient descent."""

    name: str = choice("sgd", ("sgd",))
    step_size: float = number(0.005, above=0)


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "activation": ActivationConfig,
    "replacement": ReplacementConfig,
    "regulariser": RegulariserConfig,
    "optimiser": OptimiserConfig,
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, resolved: two configs that compute the same numbers are equal and share an identity."""

    model: ModelConfig = field(default_factory=ModelConfig)
    activation: ActivationConfig = field(default_factory=ActivationConfig)
    replacement: ReplacementConfig = field(default_factory=ReplacementConfig)
    regulariser: RegulariserConfig = field(default_factory=RegulariserConfig)
    dataset: DatasetConfig = field(default_factory=DATASETS["permuted_mnist"])
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    seed: int = integer(0, at_least=0, at_most=2**63 - 1)

    @property
    def layer_sizes(self) -> list[int]:
        """Units per layer, inputs first and outputs last: [depth + 2]."""
        return [self.dataset.inputs, *[self.model.width] * self.model.depth, self.dataset.outputs]

    @property
    def steps(self) -> int:
        """Number of training steps, one example each."""
        return self.dataset.tasks * self.dataset.examples_per_task

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits that are the same for the same numbers, whatever computed them."""
        different = {entry.name: _identity(getattr(self, entry.name)) for entry in fields(self)}
        different["replacement"]["layers"] = list(self.replacement.layers)  # its default depends on the depth
        text = json.dumps({k: v for k, v in different.items() if v not in ({}, 0)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def values(self) -> dict[str, Any]:
        """The whole config as nested plain values, as stored beside the results."""
        plain = asdict(self)
        plain["replacement"]["layers"] = list(self.replacement.layers)
        for name in [e.name for e in fields(self.dataset) if not e.metadata.get("identity", True)]:
            del plain["dataset"][name]
        return plain


def _identity(value: Any) -> Any:
    return value if isinstance(value, int) else identity_values(value)


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """The run that a composed config describes.

    Args:
        values: nested plain values by group; what is left out takes its default.

    Raises:
        ConfigError: naming the first key that is unknown, or whose value cannot be run.
    """
    known = {entry.name: entry for entry in fields(RunConfig)}
    for key, value in values.items():
        if key not in known:
            raise unknown_key(key, value, list(known))
    parts: dict[str, Any] = {
        name: build(kind, values.get(name, {}), f"{name}.") for name, kind in SECTIONS.items()
    }
    seed = known["seed"].metadata["check"]("seed", values.get("seed", 0))
    config = RunConfig(**parts, dataset=_dataset(values.get("dataset", {})), seed=seed)
    layers = _layers(values.get("replacement", {}).get("layers", "all"), config.model.depth)
    return _canonical(replace(config, replacement=replace(config.replacement, layers=layers)))


def _dataset(values: Mapping[str, Any]) -> DatasetConfig:
    name = values.get("name", "permuted_mnist") if isinstance(values, Mapping) else values
    if not isinstance(name, str) or name not in DATASETS:
        raise ConfigError("dataset.name", name, one_of(tuple(DATASETS)))
    return build(DATASETS[name], values, "dataset.")


def _layers(value: Any, depth: int) -> tuple[int, ...]:
    """The numbers of the hidden layers that a replacement set names, in increasing order."""
    every = range(1, depth + 1)
    named = {"all": tuple(every), "none": (), "last": (depth,), "except_first": tuple(every[1:])}
    if isinstance(value, str) and value in named:
        return named[value]
    whole = isinstance(value, (list, tuple)) and all(type(layer) is int for layer in value)
    if not whole or any(layer not in every for layer in value):
        shown = str(list(value)).replace(" ", "") if isinstance(value, (list, tuple)) else value
        valid = f"{one_of(tuple(named))}, or a list of layers from 1 to {depth} (model.depth={depth})"
        beyond = whole and all(layer > 0 for layer in value)
        raise (ImpossibleLayer if beyond else ConfigError)("replacement.layers", shown, valid)
    return tuple(sorted(set(value)))


def _canonical(config: RunConfig) -> RunConfig:
    """The one form of configs that compute the same numbers."""
    replacement, regulariser = config.replacement, config.regulariser
    if regulariser.name == "none" and regulariser.strength > 0:
        raise ConfigError("regulariser.strength", regulariser.strength, "0 with regulariser=none")
    if regulariser.strength == 0:
        regulariser = RegulariserConfig()
    if not replacement.layers or replacement.rate == 0:
        # Nothing is ever replaced: what would be replaced, how often and how makes no difference.
        replacement = ReplacementConfig(
            layers=(), rate=0.0, decay_rate=replacement.decay_rate, utility=replacement.utility
        )
    return replace(config, replacement=replacement, regulariser=regulariser)
