"""Rows, columns and sections, as a table declares them: keys of runs, and the values to show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plasticity.errors import ConfigError
from plasticity.part import build, checked, text

from ..selection import shown

Values = Mapping[str, str]
"""Labels by value; a value is spelt as on the command line."""


@dataclass(frozen=True)
class Axis:
    """What lies along a side of a table.

    Attributes:
        keys: config keys, each with the values to show, in order, and their labels; None for all that there are.
    """

    keys: Mapping[str, Values | None]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows under a title, which a declaration lists.

    Attributes:
        title: what stands above them.
        rows: the rows.
        remark: what tells them from rows of the same label elsewhere.
    """

    title: str = text()
    rows: Axis = checked(lambda key, value: axis(key, value))
    remark: str = text("", optional=True)


VALID = "a key, KEY=VALUE,VALUE, a list of these, or a group of keys with their values"


def axis(key: str, value: Any) -> Axis:
    """The axis that a declaration or an option describes.

    Args:
        key: where it stands, for messages.
        value: such as "method", "replacement=all,layer_1", ["activation", "method"] or {"model.width": [20, 50]};
            in place of a list of values, labels by value.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(value, Axis):
        return value
    if isinstance(value, Mapping) and value:
        return Axis({str(name): _values(f"{key}.{name}", own) for name, own in value.items()})
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and one for one in texts):
        raise ConfigError(key, value, VALID)
    keys: dict[str, Values | None] = {}
    for one in texts:
        name, equals, listed = one.partition("=")
        if not name or (equals and not listed) or name in keys:
            raise ConfigError(key, one, VALID)
        keys[name] = {own: own for own in re.split(r",(?![^\[]*\])", listed)} if equals else None
    return Axis(keys)


def _values(key: str, value: Any) -> Values | None:
    if value is None:
        return None
    if isinstance(value, Mapping) and value and all(isinstance(label, str) for label in value.values()):
        return {shown(one): label for one, label in value.items()}
    if isinstance(value, list) and value and not any(isinstance(one, Mapping | list) for one in value):
        return {shown(one): shown(one) for one in value}
    raise ConfigError(key, value, "a list of values, labels by value, or null for all values")


def sections(key: str, value: Any) -> Axis | dict[str, Group]:
    """The sections of a table: those of each value of a key, or groups of rows by name.

    Raises:
        ConfigError: for anything else.
    """
    grouped = isinstance(value, Mapping) and all(
        isinstance(one, Mapping) and {"title", "rows"} & set(one) for one in value.values()
    )
    if not grouped:
        return axis(key, value)
    return {str(name): build(Group, own, f"{key}.{name}.") for name, own in value.items()}
