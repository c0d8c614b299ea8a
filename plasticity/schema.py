"""Typed, checked config sections: dataclasses whose fields say what is valid, and one way to fill them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from plasticity.errors import ConfigError

Section = TypeVar("Section")
Check = Callable[[str, Any], Any]
"""Takes a key and a value, returns the value as its type, raises ConfigError."""


def _checked(default: Any, check: Check, identity: bool = True) -> Any:
    return field(default=default, metadata={"check": check, "identity": identity})


def integer(
    default: int | None,
    at_least: int,
    at_most: int | None = None,
    optional: bool = False,
    identity: bool = True,
) -> Any:
    """A field that holds a whole number (or null, if optional)."""
    upper = "" if at_most is None else f" and at most {at_most}"
    valid = f"a whole number of at least {at_least}{upper}" + (", or null" if optional else "")

    def check(key: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < at_least or (at_most is not None and value > at_most):
            raise ConfigError(key, value, valid)
        return int(value)

    return _checked(default, check, identity)


def number(
    default: float, at_least: float | None = None, above: float | None = None,
    at_most: float | None = None, below: float | None = None, identity: bool = True,
) -> Any:  # fmt: skip
    """A field that holds a finite number between bounds."""
    bounds = {"of at least": at_least, "above": above, "of at most": at_most, "below": below}
    valid = "a number " + " and ".join(
        f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None
    )

    def check(key: str, value: Any) -> float:
        real = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (
            not real
            or not abs(value) <= sys.float_info.max
            or (at_least is not None and value < at_least)
            or (above is not None and value <= above)
            or (at_most is not None and value > at_most)
            or (below is not None and value >= below)
        ):
            raise ConfigError(key, value, valid)
        return float(value) + 0.0  # −0 is 0

    return _checked(default, check, identity)


def choice(default: str, options: tuple[str, ...], identity: bool = True) -> Any:
    """A field that holds one of some words."""

    def check(key: str, value: Any) -> str:
        if value not in options:
            raise ConfigError(key, value, one_of(options))
        return str(value)

    return _checked(default, check, identity)


def flag(default: bool, identity: bool = True) -> Any:
    """A field that holds true or false."""

    def check(key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(key, value, "true or false")
        return value

    return _checked(default, check, identity)


def text(default: str | None, optional: bool = False, identity: bool = True) -> Any:
    """A field that holds a text (or null, if optional)."""

    def check(key: str, value: Any) -> str | None:
        if value is None and optional:
            return None
        if not isinstance(value, str) or not value:
            raise ConfigError(key, value, "a text" + (", or null" if optional else ""))
        return value

    return _checked(default, check, identity)


def one_of(options: Sequence[str]) -> str:
    """The end of a sentence that lists options."""
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"


def build(section: type[Section], values: Mapping[str, Any], prefix: str = "") -> Section:
    """An instance of a config section, every key known and every value checked.

    Args:
        section: a dataclass whose fields come from this module's functions.
        values: the values by key; a key left out takes its default.
        prefix: what stands before the keys in messages, such as "model.".

    Raises:
        ConfigError: for an unknown key or an invalid value.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(prefix.rstrip("."), values, "a group of keys")
    known: dict[str, Field[Any]] = {entry.name: entry for entry in fields(section)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in known:
            raise unknown_key(f"{prefix}{key}", value, [f"{prefix}{name}" for name in known])
    return section(
        **{
            name: entry.metadata["check"](f"{prefix}{name}", values[name])
            for name, entry in known.items()
            if name in values and "check" in entry.metadata
        }
    )


def unknown_key(key: str, value: object, known: list[str]) -> ConfigError:
    """The error for a key that does not exist, naming the one that was probably meant."""
    group = known[0].rpartition(".")[0]
    short = {name.removeprefix(f"{group}."): name for name in known}
    close = [short[name] for name in get_close_matches(key.removeprefix(f"{group}."), short, n=1, cutoff=0.5)]
    meant = f"{close[0]} (did you mean that?), or another of " if close else "a known key, one of "
    others = [name for name in known if name not in close]
    return ConfigError(key, value, meant + ", ".join(others) if others else close[0])


def identity_values(section: Any) -> dict[str, Any]:
    """The values of a section that change a run's numbers, those at their default left out.

    So a key that is added later, with the old behaviour as its default, changes no identity.
    """
    kept = (entry for entry in fields(section) if entry.metadata.get("identity", True))
    return {e.name: v for e in kept if (v := getattr(section, e.name)) != e.default or e.default is MISSING}
