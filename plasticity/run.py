"""A run: its parts and its seed, which determine all of its numbers, and the identity that follows from them.

How a run is computed, shown and stored (engine, tracker, folder) is in `plasticity.composition.settings`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

from plasticity.activations import Activation, ReLU
from plasticity.constraints import Constraint, NoConstraint
from plasticity.datasets import Dataset, PermutedMnist
from plasticity.errors import ConfigError, UserError
from plasticity.interventions import Intervention, NoIntervention
from plasticity.networks.cnn import Cnn as Cnn  # so that it is known by its name
from plasticity.networks.layer import Layer
from plasticity.networks.mlp import Mlp
from plasticity.networks.model import Model
from plasticity.optimisers import SGD, Optimiser
from plasticity.part import Part, integer, part, plain, unknown_key
from plasticity.perturbations import NoPerturbation, Perturbation
from plasticity.regularisers import NoRegulariser, Regulariser
from plasticity.replacement import ContinualBackpropagation, Replacement

LEFT_OUT: dict[str, Any] = {
    "model": {"name": "mlp", "width": 100, "depth": 5, "initial": "kaiming", "normalisation": "none"},
    "activation": {"name": "relu"},
    "replacement": {
        "name": "cbp",
        "rate": 1e-4,
        "maturity_threshold": 100,
        "decay_rate": 0.99,
        "utility": "contribution",
        "bias_compensation": False,
        "observed": "hidden",
        "accrual": "debt",
    },
    "regulariser": {"name": "none", "strength": 0.0},
    "dataset": {
        "name": "permuted_mnist",
        "images": "mnist",
        "pixels": "unit",
        "tasks": 1_100,
        "examples_per_task": 10_000,
        "batch_size": 1,
    },
    "optimiser": {"name": "sgd", "step_size": 0.005},
    "intervention": {"name": "none"},
    "perturbation": {"name": "none"},
    "constraint": {"name": "none"},
    "seed": 0,
}
"""What an identity leaves out: the values of the paper's base run. The names of existing run folders depend on
them, so they never change, even if the defaults do. A key that is added later is added here with the value that
runs had before; a field of `Run` that is missing here leaves out its default."""

LATER = ("intervention", "perturbation", "constraint")
"""The parts that stored runs may lack, since runs did not have them at first."""

LAYERS = "the network's layers, from plasticity.Layer"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, in canonical form: runs that compute the same numbers are equal and share an identity.

    Args:
        model: shape of the network.
        activation: activation of the hidden units.
        replacement: which units are replaced, and when.
        regulariser: what is added to the gradient.
        dataset: the stream of tasks.
        optimiser: how the gradient becomes a step.
        intervention: what is done to the network at the start of a task.
        perturbation: how its parameters are perturbed, then or after steps.
        constraint: the set within which parameters are kept.
        seed: the seed of every random draw, from 0 to 2⁶³ − 1.

    Raises:
        ConfigError: for parts that cannot work together.
    """

    model: Model = part(Model, Mlp())
    activation: Activation = part(Activation, ReLU())
    replacement: Replacement = part(Replacement, ContinualBackpropagation())
    regulariser: Regulariser = part(Regulariser, NoRegulariser())
    dataset: Dataset = part(Dataset, PermutedMnist())
    optimiser: Optimiser = part(Optimiser, SGD())
    intervention: Intervention = part(Intervention, NoIntervention())
    perturbation: Perturbation = part(Perturbation, NoPerturbation())
    constraint: Constraint = part(Constraint, NoConstraint())
    seed: int = integer(0, at_least=0, at_most=2**63 - 1)

    def __post_init__(self) -> None:
        for entry in fields(self):
            given = _with_class(entry.default, getattr(self, entry.name))
            value = entry.metadata["check"](entry.name, given)
            object.__setattr__(self, entry.name, value)
        for name, value in self.parts().items():
            object.__setattr__(self, name, value.canonical(self))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Run":
        """The run that a composed config describes.

        Args:
            values: nested plain values by part; what is left out takes its default.

        Raises:
            ConfigError: naming the first key that is unknown, or whose value cannot be run.
        """
        known = {entry.name: entry for entry in fields(cls)}
        for key, value in values.items():
            if key not in known:
                raise unknown_key(key, value, list(known))
        return cls(**values)

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> "Run":
        """The run that stored values describe; keys added later take their values from `LEFT_OUT`."""
        return cls.of(completed(values))

    def parts(self) -> dict[str, Part]:
        """The parts by config key."""
        return {
            entry.name: value
            for entry in fields(self)
            if isinstance(value := getattr(self, entry.name), Part)
        }

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the network, the output layer last: [depth + 1]."""
        return _layers(self.model, self.dataset.shape, self.dataset.outputs, self.activation)

    @property
    def hidden_units(self) -> list[int]:
        """Units of each hidden layer: [depth]."""
        return [layer.units for layer in self.layers[:-1]]

    @property
    def layer_sizes(self) -> list[int]:
        """Units per layer, inputs first and outputs last: [depth + 2]."""
        return [self.dataset.inputs, *self.hidden_units, self.dataset.outputs]

    @property
    def weights(self) -> int:
        """Number of weights, which take most of a run's memory."""
        return sum(layer.weights for layer in self.layers)

    @property
    def work(self) -> int:
        """Number of multiplications of a forward pass, which take most of a step's time."""
        return sum(layer.work for layer in self.layers)

    @property
    def steps(self) -> int:
        """Number of training steps."""
        return self.dataset.tasks * self.dataset.steps_per_task

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: where a run is unpickled, its identity is worked out by the code there."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @property
    def without_seed(self) -> tuple[Part, ...]:
        """Its parts: what runs that differ in the seed alone share."""
        return tuple(self.parts().values())

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits that are the same for the same numbers, whichever engine computed them.

        A hash of `values` without those that are `LEFT_OUT`; the replacement set is always in it.
        """
        defaults = {entry.name: plain(entry.default) for entry in fields(self)}
        named = {key: _named(value, (defaults | LEFT_OUT)[key]) for key, value in self.values().items()}
        text = json.dumps(
            {key: value for key, value in named.items() if value not in ({}, 0)}, sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def values(self) -> dict[str, Any]:
        """The run as nested plain values, as stored with its results."""
        return {name: value.values() for name, value in self.parts().items()} | {"seed": self.seed}


@lru_cache(maxsize=256)
def _layers(model: Model, inputs: tuple[int, ...], outputs: int, activation: Activation) -> tuple[Layer, ...]:
    """What a model builds, checked: a user's own may return or raise anything."""
    try:
        built = tuple(model.layers(inputs, outputs, activation))
    except UserError:
        raise
    except NotImplementedError as error:
        raise ConfigError(
            "model", model.name, f"a class that defines layers, which returns {LAYERS}"
        ) from error
    except Exception as error:
        why = f"but it raised {type(error).__name__}: {error}".rstrip(".: ")
        raise ConfigError("model", model.name, f"a class whose layers returns {LAYERS}, {why}") from error
    hidden = built[:-1]
    if (
        not all(isinstance(layer, Layer) for layer in built)
        or not hidden
        or any(layer.activation is None for layer in hidden)
        or built[-1].features != outputs
    ):
        valid = f"a class whose layers returns {LAYERS}: hidden ones with an activation, and one of {outputs} units"
        raise ConfigError("model", model.name, valid)
    return built


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values, completed with the keys that were added later."""
    whole: dict[str, Any] = {}
    for key, value in values.items():
        known = LEFT_OUT.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            same = value.get("name", known["name"]) == known["name"]
            shape = ("width", "depth") if "widths" in value else ()
            added = {name: known[name] for name in known if same and name not in shape}
            value = added | dict(value)
        whole[key] = value
    return {key: dict(LEFT_OUT[key]) for key in LATER} | whole


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key, as on the command line."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def number_text(value: float) -> str:
    """A number as people read it: no two numbers read the same."""
    short = f"{value:.10g}"
    return short if float(short) == value else repr(float(value))


def short_key(key: str) -> str:
    """A dotted key as people read it: without its group; or only the group, if the key is that of its name."""
    group, _, last = key.rpartition(".")
    return group if last == "name" else last


def _with_class(default: Any, value: Any) -> Any:
    """A part's values; if they do not say which part, it is the default one."""
    if isinstance(default, Part) and isinstance(value, Mapping) and not {"_target_", "name"} & set(value):
        return {"name": default.name} | dict(value)
    return value


def _named(value: Any, left_out: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    left_out = left_out if isinstance(left_out, Mapping) else {"name": left_out}
    return {key: own for key, own in value.items() if key not in left_out or left_out[key] != own}
