"""The command line before Hydra reads it: respells arguments for Hydra, and refuses some that it would crash on."""

import os
import re
import shlex
from collections.abc import Sequence
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException

from plasticity.composition.cluster import OPTIONS
from plasticity.composition.combinations import first
from plasticity.composition.groups import is_group, options
from plasticity.errors import ConfigError, UserError
from plasticity.part import one_of

OPTIONAL_GROUPS = ("experiment", "tuned", "method", "replacement/utility")
"""Groups without a default choice, for which Hydra's users write `+experiment=…`: here, both spellings work.

`tuned=null` chooses none, which Hydra spells `~tuned`."""

LISTS = ("diagnostics",)
"""Groups from which several may be chosen, as in diagnostics=[basic,curvature_rank]."""

LONGEST = 200
"""The most bytes of a key or choice. Both are looked up as names of files, which may have 255."""

OPEN = "hydra.launcher.additional_parameters"
"""A key that accepts any keys below it, for which Hydra requires a `+`."""

PATHS = ("runs_dir", "dataset.root")
OF_SBATCH = tuple(f"hydra.launcher.{key}" for key in OPTIONS)
"""Keys whose values sbatch interprets: those of Hydra never sweep, so that a comma can only be sbatch's."""


@cache
def respelt(argument: str) -> str:
    """An argument, spelt as Hydra requires."""
    key, equals, value = argument.partition("=")
    bare = key.lstrip("+")
    if bare in OPTIONAL_GROUPS:
        return f"~{bare}" if value.lower() == "null" else f"{bare}{equals}{value}"
    of_sbatch = bare in OF_SBATCH or bare.startswith(f"{OPEN}.")
    if (of_sbatch or bare in PATHS) and _needs_quotes(f"{bare}{equals}{value}", of_sbatch):
        value = _in_quotes(value)
    if bare == OPEN or bare.startswith(f"{OPEN}."):
        key = f"++{bare}"
    return f"{key}{equals}{value}"


def quoted(key: str, value: str) -> str:
    """An override of a text, or of a list of texts in brackets, with the quotes that Hydra and the shell need."""
    if value.startswith("[") and value.endswith("]"):
        texts = ",".join(_in_quotes(text.strip(), Quote.double) for text in value[1:-1].split(","))
        return shlex.quote(f"{key}=[{texts}]")
    return shlex.quote(f"{key}={_in_quotes(value, Quote.double)}")


def _in_quotes(text: str, quote: Quote = Quote.single) -> str:
    """A text in quotes, in which Hydra takes it as it is."""
    return QuotedString(text=text, quote=quote).with_quotes()


def _needs_quotes(argument: str, of_sbatch: bool) -> bool:
    """Whether an argument's value, which must be a text, is one for Hydra only in quotes."""
    try:
        value = _parser().parse_override(argument).value()
    except HydraException:
        return not argument.partition("=")[2].startswith(("'", '"'))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number or (of_sbatch and isinstance(value, Sweep))


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def check(arguments: Sequence[str]) -> None:
    """Refuses keys and choices that cannot be names, some of which make Hydra end with a traceback, and sweeps over
    Hydra's own keys.

    Raises:
        UserError: naming the first.
    """
    for argument in arguments:
        if argument.startswith("-"):
            continue
        try:
            override = _parser().parse_override(argument)
        except HydraException:
            continue  # Hydra itself reports it
        if re.match("hydra[./]", override.key_or_group) and override.is_sweep_override():
            raise _swept(override, argument)
        key = override.get_key_element().lstrip("+~").partition("@")[0]
        if _is_too_long(key):
            raise UserError(f"{_shortened(argument)} is refused: no key is that long.")
        if is_group(key):
            _check_choice(override, argument)


def _swept(override: Override, argument: str) -> UserError:
    """The error for several values of a key of Hydra."""
    key, value = override.key_or_group, argument.partition("=")[2]
    said = f"{argument} is refused: a launch has a single value of {key}."
    if "/" not in key and any(isinstance(one, str) for one in first(override, override.sweep_iterator)):
        said += (
            f" A list goes in brackets: '{key}=[{value}]'; a text with commas in quotes: {quoted(key, value)}"
        )
    return UserError(said)


def _check_choice(override: Override, argument: str) -> None:
    group = override.get_key_element().lstrip("+~")
    chosen = override.value()
    values = first(override, override.sweep_iterator) if isinstance(chosen, Sweep) else [chosen]
    if group == "experiment" and len(values) > 1:
        raise UserError(f"{argument} is refused: an experiment is a whole launch; launch each on its own.")
    for value in values:
        if override.is_delete() and value in (None, ""):
            continue
        if group in OPTIONAL_GROUPS and value is None:
            continue
        names = value if group in LISTS and isinstance(value, list) else [value]
        if not all(isinstance(name, str) and not _is_too_long(name) for name in names):
            shown = _shortened(argument.partition("=")[2] if len(values) == 1 else str(value))
            valid = one_of(options(group))
            if group == "replacement" and type(value) is int and value > 0:
                valid = f"layer_{value} (did you mean that?), or {valid}"
            raise ConfigError(group, shown, valid)


def _is_too_long(name: str) -> bool:
    return len(os.fsencode(name)) > LONGEST


def _shortened(text: str) -> str:
    return f"{text[:60]}…" if len(text) > LONGEST else text
