"""Replacement sets: the hidden layers whose units are replaced, by name or by number from 1."""

import re
from collections.abc import Iterable
from typing import Any

from plasticity.errors import ConfigError, ImpossibleLayer
from plasticity.part import checked

NAMES = ("all", "none", "last", "except_first")
"""Sets that are defined for every depth; in addition, layer_N names a single layer."""

NAME = re.compile(rf"({'|'.join(NAMES)}|layer_[1-9][0-9]*)")
"""Matches the name of a set."""

VALID = f"one of {', '.join(NAMES)}, layer_1, layer_2, …, or a list of layers, such as [1,3]"


def layers(default: Any = "all") -> Any:
    """A field that holds a replacement set, not yet resolved against a network's depth."""
    return checked(check, default)


def check(key: str, value: Any) -> Any:
    """A replacement set as given, if it can be one. Raises ConfigError if not."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    if isinstance(value, (list, tuple)) and all(type(layer) is int and layer > 0 for layer in value):
        return tuple(value)
    raise ConfigError(key, _shown(value), VALID)


def resolve(value: str | Iterable[int], depth: int) -> tuple[int, ...]:
    """The numbers of the hidden layers that a replacement set names, in increasing order.

    Raises:
        ImpossibleLayer: for a layer that the network does not have.
    """
    every = range(1, depth + 1)
    named = {"all": tuple(every), "none": (), "last": (depth,), "except_first": tuple(every[1:])}
    if isinstance(value, str):
        numbers = named[value] if value in named else (int(value.removeprefix("layer_")),)
    else:
        numbers = tuple(sorted(set(value)))
    if any(layer not in every for layer in numbers):
        valid = f"a set of layers from 1 to {depth} (model.depth={depth})"
        raise ImpossibleLayer("replacement.layers", _shown(value), valid)
    return numbers


def _shown(value: Any) -> Any:
    return str(list(value)).replace(" ", "") if isinstance(value, (list, tuple)) else value
