"""From what Hydra composed to a run and its settings, and from Hydra's errors to a sentence."""

import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from plasticity.config import SECTIONS as RUN_SECTIONS
from plasticity.config import RunConfig, run_config
from plasticity.datasets import DATASETS
from plasticity.errors import ConfigError, ImpossibleLayer, UserError
from plasticity.launcher.cluster import Cluster
from plasticity.schema import one_of, unknown_key
from plasticity.settings import KEYS, Settings, settings
from plasticity.settings import SECTIONS as SETTINGS_SECTIONS

METHODS = ("cbp", "bp", "l2")
"""The methods that a file in `conf/tuned/` has hyperparameters for."""


def tuned_method(layers: Any, regulariser: str) -> str:
    """The method whose tuned hyperparameters a replacement set and a regulariser ask for."""
    if layers != "none" and layers != []:
        return "cbp"
    return "l2" if regulariser == "l2" else "bp"


OmegaConf.register_new_resolver("tuned_method", tuned_method, replace=True)


def read(composed: DictConfig) -> tuple[RunConfig | None, Settings]:
    """The run and the settings in a composed config; no run where it is declared absent.

    Raises:
        UserError: when either is invalid.
    """
    try:
        values: Any = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    values.pop("hydra", None)
    tuned = values.pop("tuned", None)
    if isinstance(values.get("dataset"), dict):
        values["data_root"] = values["dataset"].pop("root", None)
    chosen = settings({key: value for key, value in values.items() if key in KEYS})
    try:
        run = run_config({key: value for key, value in values.items() if key not in KEYS})
    except ImpossibleLayer:
        if chosen.launch.impossible == "absent":
            return None, chosen
        raise
    if tuned is not None:
        _check_method(tuned, run)
    return run, chosen


def _check_method(tuned: Mapping[str, Any], run: RunConfig) -> None:
    """A method's hyperparameters go with that method only."""
    method = tuned.get("method")
    if method not in METHODS:
        raise ConfigError("tuned.method", method, one_of(METHODS))
    if method != "cbp" and run.replacement.layers:
        raise ConfigError("tuned.method", method, "cbp where units are replaced")
    if method == "l2" and run.regulariser.name != "l2":
        raise ConfigError("tuned.method", method, "cbp or bp without regulariser=l2")


def explain(error: BaseException) -> UserError:
    """Hydra's and OmegaConf's errors as one sentence: key, value, and what is valid where they know it."""
    for cause in _causes(error):
        if isinstance(cause, UserError):
            return cause
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return ConfigError(group, name, one_of(error.options))
    if isinstance(error, OverrideParseException):
        return UserError(f"{error.override} is refused: it must be an override like key=value.")
    for cause in _causes(error):
        if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.full_key:
            return unknown_key(cause.full_key, _given(cause.full_key), _known_keys(cause.full_key))
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return UserError(f"{cause.full_key} is refused: {_first_line(cause)}")
    return UserError(_first_line(error))


def _given(key: str) -> str:
    """The value that the command line gives a key."""
    values = [a.partition("=")[2] for a in sys.argv[1:] if a.partition("=")[0].lstrip("+~") == key]
    return values[-1] if values else "?"


def _known_keys(key: str) -> list[str]:
    """The config keys that stand beside a key, or every group if its group does not exist."""
    group = key.rpartition(".")[0]
    sections = RUN_SECTIONS | SETTINGS_SECTIONS | {"dataset": DATASETS["permuted_mnist"]}
    if key.startswith("hydra.launcher."):
        return [f"hydra.launcher.{entry.name}" for entry in fields(Cluster)]
    if group in sections:
        return [f"{group}.{entry.name}" for entry in fields(sections[group])]
    plain = [entry.name for entry in fields(Settings) if entry.name not in (*sections, "data_root")]
    return [*sections, *plain, "seed"]


def _causes(error: BaseException | None) -> list[BaseException]:
    return [] if error is None else [error, *_causes(error.__cause__)]


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[0]).rstrip(".") + "." if lines else type(error).__name__


HYDRA_ERRORS = (HydraException, OmegaConfBaseException)
"""What Hydra raises for a command line or a config file that is wrong."""
