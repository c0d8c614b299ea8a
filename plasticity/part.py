"""Parts: the building blocks of a run, each a typed class that holds its config and its definition.

A part is a frozen dataclass. Its fields are its config keys: they come from `number`, `integer`, `choice`, `flag`
and `text`, which say what is valid and hold the only default. To define your own part, subclass one of the
kinds (`Activation`, `Utility`, …) in any module that Python can import:

    @dataclass(frozen=True, kw_only=True)
    class Slope(Activation):
        slope: float = number(0.1, at_least=0)
        ...

and name it in a file of a config directory, such as `activation/slope.yaml` with `_target_: my_parts.Slope`.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar, Self, TypeVar

from plasticity.errors import ConfigError
from plasticity.fields import checked as checked  # what a part is written with is imported from here, too
from plasticity.fields import choice as choice
from plasticity.fields import flag as flag
from plasticity.fields import integer as integer
from plasticity.fields import number as number
from plasticity.fields import one_of as one_of
from plasticity.fields import text as text

PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A building block of a run.

    Attributes:
        name: the short name of a part of this package, such as "relu"; the import path of any other.
    """

    name: ClassVar[str] = ""

    def __init_subclass__(cls, name: str | None = None, **options: Any):
        super().__init_subclass__(**options)
        if "name" in vars(cls).get("__annotations__", {}):
            raise TypeError(f"{cls.__qualname__}.name: a field of a part needs another name")
        own = name is not None and cls.__module__.partition(".")[0] == PACKAGE
        cls.name = str(name) if own else f"{cls.__module__}.{cls.__qualname__}"

    def __post_init__(self) -> None:
        for key, entry in checked_fields(type(self)).items():
            value = entry.metadata["check"](f"{type(self).__name__}.{key}", getattr(self, key))
            object.__setattr__(self, key, value)

    def values(self) -> dict[str, Any]:
        """The part as plain values: its name and its fields."""
        return {"name": self.name} | {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}

    def held(self) -> dict[str, "Part"]:
        """The parts that it holds, by key."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Part)}

    def remarks(self, run: Any) -> list[str]:
        """Sentences about what a user may not expect of the part in a run, said once before a launch."""
        return []

    def canonical(self, run: Any) -> Self:
        """The form shared by all parts of this kind that compute the same numbers in a run.

        Args:
            run: the `Run` that the part belongs to; its other parts may not all be canonical yet.

        Raises:
            ConfigError: when the part cannot work in this run.
        """
        return self


Some = TypeVar("Some", bound=Part)
Section = TypeVar("Section")


def nested(parts: Mapping[str, Part], prefix: str = "") -> dict[str, Part]:
    """Parts by config key, with the parts that they hold, such as "replacement.utility"."""
    found: dict[str, Part] = {}
    for key, part in parts.items():
        found |= {f"{prefix}{key}": part} | nested(part.held(), f"{prefix}{key}.")
    return found


def plain(value: Any) -> Any:
    """A field's value in plain types that YAML and JSON have."""
    if isinstance(value, Part):
        return value.values() if fields(value) else value.name
    return list(value) if isinstance(value, tuple) else value


def part(kind: type[Some], default: Some) -> Any:
    """A field that holds a part of some kind, given as a part, by its name, or by its plain values."""
    return checked(lambda key, value: to_part(kind, value, key), default)


# --- From values to parts --------------------------------------------------------------------------------


def to_part(kind: type[Some], value: Any, key: str) -> Some:
    """The part that a config value describes.

    Args:
        kind: the kind of part that it must be, such as `Activation`.
        value: a part; the name of one; or a mapping of its fields with its `_target_` (the import path of its
            class) or its `name`.
        key: the config key, for messages.

    Raises:
        ConfigError: naming the key that is unknown, or whose value is invalid.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        return build(find(kind, value, key), {}, f"{key}.")
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, f"{one_of(names(kind))}, or a group of keys")
    given = dict(value)
    target, name = given.pop("_target_", None), given.pop("name", None)
    if target is None and name is None:
        raise ConfigError(f"{key}.name", "nothing", one_of(names(kind)))
    chosen = find(kind, name, f"{key}.name") if target is None else find(kind, target, f"{key}._target_")
    if target is not None and name not in (None, chosen.name):
        raise ConfigError(
            f"{key}.name", name, f"chosen with {key}={name}, which also replaces its other keys"
        )
    return build(chosen, given, f"{key}.")


def find(kind: type[Some], name: Any, key: str) -> type[Some]:
    """The class of a part, by its name or its import path.

    Raises:
        ConfigError: when there is no such class of that kind.
    """
    matches = [one for one in subclasses(kind) if name in (one.name, f"{one.__module__}.{one.__qualname__}")]
    if matches:
        return next((one for one in matches if _is_current(one)), matches[-1])
    if not isinstance(name, str) or "." not in name:
        raise ConfigError(key, name, f"{one_of(names(kind))}, or an import path such as my_module.MyClass")
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise ConfigError(
            key, name, f"a class that can be imported ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(found, type) or not issubclass(found, kind):
        raise ConfigError(key, name, f"a subclass of {PACKAGE}.{kind.__name__}")
    return found


def _is_current(kind: type) -> bool:
    """Whether a class is the one in its module, not an earlier one, as when a notebook's cell is run again."""
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def subclasses(kind: type[Some]) -> Iterator[type[Some]]:
    """A class and every subclass of it that has been imported so far."""
    yield kind
    for subclass in kind.__subclasses__():
        yield from subclasses(subclass)


def names(kind: type[Part]) -> list[str]:
    """The names of this package's parts of a kind, in the order of their definition."""
    return [known.name for known in subclasses(kind) if "." not in known.name]


def build(section: type[Section], values: Mapping[str, Any], prefix: str = "") -> Section:
    """Builds a part, or another class of checked fields, after checking every key and value.

    Args:
        section: a dataclass whose fields come from this module's functions.
        values: the values by key; a key left out takes its default.
        prefix: the prefix of the keys in messages, such as "model.".

    Raises:
        ConfigError: for an unknown key, an invalid value, or a key without a default that is left out.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(prefix.rstrip("."), values, "a group of keys")
    known = checked_fields(section, prefix.rstrip(".") or "_target_")
    for key, value in values.items():
        if key not in known:
            raise unknown_key(f"{prefix}{key}", value, [f"{prefix}{name}" for name in known])
    for name, entry in known.items():
        if name not in values and entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigError(f"{prefix}{name}", "nothing", "given, since it has no default")
    return section(
        **{name: known[name].metadata["check"](f"{prefix}{name}", value) for name, value in values.items()}
    )


def checked_fields(section: type, key: str = "_target_") -> dict[str, Field[Any]]:
    """The fields of a class by name.

    Args:
        section: the class.
        key: the config key that chose it, for messages.

    Raises:
        ConfigError: for a class whose fields were not made by this module's functions.
    """
    known = {entry.name: entry for entry in fields(section)}
    own = [
        key for key, value in vars(section).get("__annotations__", {}).items() if "ClassVar" not in str(value)
    ]
    loose = [key for key in own if "check" not in getattr(known.get(key), "metadata", {})]
    if loose:
        path = f"{section.__module__}.{section.__qualname__}"
        raise ConfigError(
            key, path, "a @dataclass(frozen=True, kw_only=True) whose fields come from number, integer, "
            f"choice, flag or text; {one_of(loose)} does not"
        )  # fmt: skip
    return known


def unknown_key(key: str, value: object, known: list[str]) -> ConfigError:
    """The error for a key that does not exist, naming the one that was probably meant."""
    group = key.rpartition(".")[0]
    if not known:
        return ConfigError(key, value, f"left out: this {group} has no keys")
    short = {name.removeprefix(f"{group}."): name for name in known}
    close = [short[name] for name in get_close_matches(key.removeprefix(f"{group}."), short, n=1)]
    meant = f"{close[0]} (did you mean that?), or another of " if close else "a known key, one of "
    others = [name for name in known if name not in close]
    return ConfigError(
        key, value, meant + ", ".join(others) if others else f"{close[0]} (did you mean that?)"
    )
