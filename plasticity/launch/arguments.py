"""The command line before Hydra reads it: respells arguments for Hydra, and refuses some that it would crash on."""

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException

from plasticity.errors import ConfigError, UserError
from plasticity.launch.combinations import first
from plasticity.launch.groups import is_group, options
from plasticity.part import one_of

OPTIONAL_GROUPS = ("experiment", "tuned", "replacement/utility")
"""Groups without a default choice, for which Hydra's users write `+experiment=…`: here, both spellings work."""

LISTS = ("diagnostics",)
"""Groups from which several may be chosen, as in diagnostics=[basic,curvature_rank]."""

PATHS = ("runs_dir", "dataset.root")
OPEN = "hydra.launcher.additional_parameters"
"""A key that accepts any keys below it, for which Hydra requires a `+`."""

NEEDS_QUOTES = re.compile(r"(?=.*(=|[^\x00-\x7f]))[^'\"\\,{}\[\]()$]+")
"""A path that Hydra reads only in quotes, and that cannot be meant as anything but a path."""


def respelt(argument: str) -> str:
    """An argument, spelt as Hydra requires."""
    key, equals, value = argument.partition("=")
    if key.lstrip("+") in OPTIONAL_GROUPS:
        return argument.lstrip("+")
    if key == OPEN or key.startswith(f"{OPEN}."):
        return f"++{argument}"
    if key in PATHS and NEEDS_QUOTES.fullmatch(value):
        return f"{key}{equals}'{value}'"
    return argument


def check(arguments: Sequence[str]) -> None:
    """Refuses choices that are not names: some of them make Hydra end with a traceback.

    Raises:
        UserError: naming the first.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        if argument.startswith("-"):
            continue
        try:
            override = parser.parse_override(argument)
        except HydraException:
            continue  # Hydra itself reports it
        if is_group(override.get_key_element().lstrip("+~").partition("@")[0]):
            _check_choice(override, argument)


def _check_choice(override: Override, argument: str) -> None:
    group = override.get_key_element().lstrip("+~")
    chosen = override.value()
    values = first(override, override.sweep_iterator) if isinstance(chosen, Sweep) else [chosen]
    if group == "experiment" and len(values) > 1:
        raise UserError(f"{argument} is refused: an experiment is a whole launch; launch each on its own.")
    for value in values:
        if override.is_delete() and value in (None, ""):
            continue
        if group in LISTS and isinstance(value, list) and all(isinstance(name, str) for name in value):
            continue
        if not isinstance(value, str):
            shown = argument.partition("=")[2] if len(values) == 1 else value
            valid = one_of(options(group))
            if group == "replacement" and type(value) is int and value > 0:
                valid = f"layer_{value} (did you mean that?), or {valid}"
            raise ConfigError(group, shown, valid)
