"""Turns errors of Hydra and OmegaConf into sentences: the key, its value and, where known, what is valid."""

import re
import sys
from collections.abc import Iterator
from dataclasses import fields

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from plasticity.composition.arguments import quoted
from plasticity.composition.cluster import Cluster
from plasticity.composition.groups import options
from plasticity.composition.settings import SECTIONS, Settings
from plasticity.errors import ConfigError, UserError
from plasticity.part import one_of, unknown_key
from plasticity.run import Run

HYDRA_ERRORS = (HydraException, OmegaConfBaseException)
"""What Hydra raises for a command line or a config file that is wrong."""

EARLIER_TUNED = (
    "be without /tuned_method among its defaults, hold its values as tuned: {methods: {cbp: {optimiser.step_size: "
    "0.001, replacement.rate: 0.001}}}, and apply each where it belongs, as in optimiser: {step_size: "
    "'${tuned:optimiser.step_size}'}; see conf/tuned/width_20.yaml."
)
"""What to write in place of a file of `tuned/` from before values stood by method under the keys of a run."""


def explain(error: BaseException) -> UserError:
    """The error as a `UserError`, which ends the command with its text."""
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
            return ConfigError(group, name, one_of(known))
    if isinstance(error, OverrideParseException):
        said = f"{error.override} is refused: it must be an override such as key=value."
        return UserError(f"{said}{_quoting(error.override)}\n{error}")
    for cause in causes:
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
            if cause.full_key.startswith("hydra.launcher."):
                return _of_the_launcher(cause.full_key)
            return unknown_key(cause.full_key, _given(cause.full_key), _known_keys(cause.full_key))
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return UserError(f"{cause.full_key} is refused: {cause}")
    return UserError(str(error).strip() or type(error).__name__)


def _quoting(override: str | None) -> str:
    """How to write an override whose value is a text that Hydra cannot read."""
    key, _, value = (override or "").partition("=")
    return f" A text with special characters goes in quotes: {quoted(key, value)}" if value else ""


def raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra's own code raised an error, which is then about the command line: Hydra reads nothing else."""
    module = ""
    trace = error.__traceback__
    while trace is not None:
        module, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return module.partition(".")[0] in ("hydra", "omegaconf")


def _given(key: str) -> str:
    """The value that the command line gives a key."""
    values = [a.partition("=")[2] for a in sys.argv[1:] if a.partition("=")[0].lstrip("+~") == key]
    return values[-1] if values else "?"


def _of_the_launcher(key: str) -> UserError:
    """The error for a key of the launcher: usually one of the cluster's, though the local launcher was chosen."""
    known = [f"hydra.launcher.{entry.name}" for entry in fields(Cluster)]
    if key in known:
        return UserError(
            f"{key}={_given(key)} is refused: it is for a cluster, and also needs hydra/launcher=slurm (or "
            "that of your cluster)."
        )
    return unknown_key(key, _given(key), known)


def _known_keys(key: str) -> list[str]:
    """The config keys in the same group as a key, or every group if that group does not exist."""
    group = key.rpartition(".")[0]
    if group in SECTIONS:
        return [f"{group}.{entry.name}" for entry in fields(SECTIONS[group])]
    hidden = ("data_root", "logging")
    top = [entry.name for entry in fields(Run)] + [entry.name for entry in fields(Settings)]
    return [name for name in top if name not in hidden]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
