"""Turns errors of Hydra and OmegaConf into sentences: the key, its value and, where known, what is valid."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from difflib import get_close_matches

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from plasticity.composition.arguments import quoted
from plasticity.composition.cluster import Cluster
from plasticity.composition.groups import options
from plasticity.composition.settings import SECTIONS, Settings
from plasticity.errors import ConfigError, UserError
from plasticity.part import one_of, unknown_key
from plasticity.run import LEFT_OUT, Run

HYDRA_ERRORS = (HydraException, OmegaConfBaseException)
"""What Hydra raises for a command line or a config file that is wrong."""

RECIPES = ("method", "tuned", "experiment")
"""The groups whose files set keys of other groups."""

EARLIER_TUNED = (
    "be without /tuned_method among its defaults, hold its values as tuned: {methods: {cbp: {optimiser.step_size: "
    "0.001, replacement.rate: 0.001}}}, and apply each where it belongs, as in optimiser: {step_size: "
    "'${tuned:optimiser.step_size}'}; see conf/tuned/width_20.yaml."
)
"""What to write in place of a file of `tuned/` in the older format, in which values did not stand by method under a
run's keys."""


def explain(error: BaseException, overrides: Sequence[str] | None = None) -> UserError:
    """The error as a `UserError`, which ends the command with its text.

    Args:
        error: what Hydra raised.
        overrides: what it was about; None for the arguments of this command.
    """
    overrides = sys.argv[1:] if overrides is None else overrides
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, UserError):
            return cause
    if isinstance(error, MissingConfigException):
        if error.missing_cfg_file == "tuned_method":
            where = re.search("In '(.+?)'", str(error))
            return UserError(f"{where[1] if where else 'tuned'} is refused: it must {EARLIER_TUNED}")
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if known := error.options or options(group):  # Hydra gives none for a list of choices
            return ConfigError(
                group, name, replacement_sets(known) if group == "replacement" else one_of(known)
            )
    if isinstance(error, OverrideParseException):
        said = f"{error.override} is refused: it must be an override such as key=value."
        if _is_torn(error.override or ""):
            return UserError(f"{said} A space ends an argument: write lists without any, as in seed=0,1.")
        return UserError(f"{said}{_quoting(error.override)}\n{error}")
    for cause in causes:
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
            if cause.full_key.startswith("hydra.launcher."):
                return _of_the_launcher(cause.full_key, overrides)
            return _unknown(cause.full_key, overrides)
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return UserError(f"{cause.full_key} is refused: {cause}")
    if plugin := re.match("(?:Unknown plugin class :|Invalid plugin) '(.+)'", str(error)):
        return ConfigError(
            plugin[1], ..., "a class in a folder called hydra_plugins, in this directory or on PYTHONPATH"
        )
    return UserError(str(error).strip() or type(error).__name__)


def _quoting(override: str | None) -> str:
    """How to write an override whose value is a text that Hydra cannot read."""
    key, _, value = (override or "").partition("=")
    return f" A text with special characters goes in quotes: {quoted(key, value)}" if value else ""


def _is_torn(override: str) -> bool:
    """Whether an override ends within a list, as it does where the shell found a space."""
    opened = sum(override.count(one) for one in "[({")
    return override.endswith(",") or opened > sum(override.count(one) for one in "])}")


def raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra's own code raised an error, which is then about the command line: Hydra reads nothing else."""
    module = ""
    trace = error.__traceback__
    while trace is not None:
        module, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return module.partition(".")[0] in ("hydra", "omegaconf")


def replacement_sets(files: Sequence[str]) -> str:
    """What a replacement set may be: a file, or a layer of the network.

    Args:
        files: the choices in `replacement/`, a few layers among them.
    """
    named = ", ".join(name for name in files if not re.fullmatch("layer_[0-9]+", name))
    depth = LEFT_OUT["model"]["depth"]
    return (
        f"one of {named}, layer_1, layer_2, … up to the network's last hidden layer (layer_{depth} of {depth} "
        "by default), or a list of layers, such as [1,3]"
    )


def _given(key: str, overrides: Sequence[str]) -> tuple[str, object]:
    """The key of the override that a key is from, and its value; the key itself where there is none."""
    given = [(one.partition("=")[0].lstrip("+~"), one.partition("=")[2]) for one in overrides]
    same = [each for each in given if each[0] == key]
    below = [each for each in given if each[0].startswith((f"{key}.", f"{key}/"))]
    return [(key, ...), *below, *same][-1]


def _unknown(key: str, overrides: Sequence[str]) -> UserError:
    """The error for a key that does not exist: what was given, and with which key it would have been right."""
    given, value = _given(key, overrides)
    rest, known = given.removeprefix(key), _known_keys(key)
    close = get_close_matches(key, known, n=1, cutoff=0.5) if rest else []
    if close:
        return ConfigError(given, value, f"{close[0]}{rest} (did you mean that?)")
    return unknown_key(key, ... if rest else value, known)


def _of_the_launcher(key: str, overrides: Sequence[str]) -> UserError:
    """The error for a key of the launcher: usually one of the cluster's, though the local launcher was chosen."""
    known = [f"hydra.launcher.{entry.name}" for entry in fields(Cluster)]
    value = _given(key, overrides)[1]
    if key in known:
        return UserError(
            f"{key}={value} is refused: it is for a cluster, and also needs hydra/launcher=slurm (or "
            "your cluster's launcher)."
        )
    return unknown_key(key, value, known)


def _known_keys(key: str) -> list[str]:
    """The config keys in the same group as a key, or every group if that group does not exist."""
    group = key.rpartition(".")[0]
    if group in SECTIONS:
        return [f"{group}.{entry.name}" for entry in fields(SECTIONS[group])]
    hidden = ("data_root", "logging")
    top = [entry.name for entry in fields(Run)] + [entry.name for entry in fields(Settings)]
    return [*(name for name in top if name not in hidden), *RECIPES]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
