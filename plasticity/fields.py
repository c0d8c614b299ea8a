"""Fields of parts and settings: each says what is valid, holds the only default, and checks what it is given."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, field
from typing import Any

from plasticity.errors import ConfigError

Check = Callable[[str, Any], Any]
"""Takes a key and a value, returns the value as its type, raises ConfigError."""


def checked(check: Check, default: Any = MISSING) -> Any:
    """A field with a given check; without a default, it must be given a value."""
    return field(default=default, metadata={"check": check})


def integer(
    default: Any = MISSING, *, at_least: int, at_most: int | None = None, optional: bool = False
) -> Any:
    """A field that holds a whole number below 2⁶³ (or null, if optional)."""
    upper = "" if at_most is None else f" and at most {at_most}"
    valid = f"a whole number of at least {at_least}{upper}" + (", or null" if optional else "")
    most = 2**63 - 1 if at_most is None else at_most

    def check(key: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= most:
            whole_but_large = type(value) is int and value > most and at_most is None
            raise ConfigError(key, value, f"{valid} and below 2^63" if whole_but_large else valid)
        return int(value)

    return checked(check, default)


def number(
    default: Any = MISSING, *, at_least: float | None = None, above: float | None = None,
    at_most: float | None = None, below: float | None = None,
) -> Any:  # fmt: skip
    """A field that holds a finite number between bounds."""
    bounds = {"at least": at_least, "above": above, "at most": at_most, "below": below}
    limits = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
    valid = f"a number {'of ' * limits.startswith('at')}{limits}".rstrip()

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
        return float(value) + 0.0  # turns −0 into 0

    return checked(check, default)


def choice(default: Any = MISSING, *, options: tuple[str, ...]) -> Any:
    """A field that holds one of the given words."""

    def check(key: str, value: Any) -> str:
        if value not in options:
            raise ConfigError(key, value, one_of(options))
        return str(value)

    return checked(check, default)


def flag(default: Any = MISSING) -> Any:
    """A field that holds true or false."""

    def check(key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(key, value, "true or false")
        return value

    return checked(check, default)


def text(default: Any = MISSING, *, optional: bool = False) -> Any:
    """A field that holds a string (or null, if optional)."""

    def check(key: str, value: Any) -> str | None:
        if value is None and optional:
            return None
        if not isinstance(value, str) or not value:
            raise ConfigError(key, value, "a string" + (", or null" if optional else ""))
        return value

    return checked(check, default)


def one_of(options: Sequence[str]) -> str:
    """A list of options, as the end of a sentence."""
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
