"""The command: `python launch.py`, or `plasticity` where the package is installed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from plasticity.composition.arguments import check, respelt
from plasticity.composition.compose import CONFIG
from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import use
from plasticity.composition.mistakes import HYDRA_ERRORS, explain, raised_by_hydra
from plasticity.composition.quicker import quicker
from plasticity.composition.reading import check_directories, of_the_launch, read
from plasticity.errors import UserError

WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"


@hydra.main(version_base="1.3", config_path=str(conf_directory()), config_name=CONFIG)
def task(composed: DictConfig) -> float | None:
    """Computes one run: Hydra calls this without --multirun, and launchers that are not ours call it for each run.

    Returns:
        its score; None if the run is declared absent, or nothing was to be computed
    """
    from plasticity.launch.sweep import compute_one

    hydra_config = HydraConfig.get()
    with_hydra = OmegaConf.create({"hydra": hydra_config})
    if hydra_config.mode == RunMode.RUN and _is_ours(hydra_config.launcher._target_):
        with mistakes_as_sentences():
            notes: dict[str, None] = {}
            run, settings = read(composed, notes)
            for note in notes:
                print(note)
            settings = of_the_launch(settings, with_hydra)
            sys.exit(instantiate(hydra_config.launcher).compute([run], settings).exit_code)
    run, settings = read(composed)
    return compute_one(run, of_the_launch(settings, with_hydra))


def _is_ours(launcher: str) -> bool:
    """Whether a launcher is one of ours, which compute lists of runs."""
    return hasattr(get_class(launcher), "compute")


class Directories(Callback):
    """Refuses Hydra directories that our launchers would not use, before Hydra creates them."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if _is_ours(config.hydra.launcher._target_):
            with mistakes_as_sentences():
                check_directories(config)


@contextmanager
def mistakes_as_sentences() -> Iterator[None]:
    """Makes a user's mistake end the command with a sentence; with HYDRA_FULL_ERROR=1, with a traceback."""
    try:
        yield
    except (UserError, *HYDRA_ERRORS) as error:
        if WANTS_TRACEBACK:
            raise
        sys.exit(str(explain(error)))
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        if WANTS_TRACEBACK or not raised_by_hydra(error):
            raise
        sys.exit(str(explain(error)))


def main(config_dir: Path | None = None) -> None:
    """Runs the command.

    Args:
        config_dir: a further directory of configs, as given with --config-dir.
    """
    from plasticity.launch.sweep import Unfinished

    if config_dir:
        use(config_dir)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra passes its errors on to `explain`
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where users keep the modules of their own parts
    with quicker(), mistakes_as_sentences():
        sys.argv[1:] = [respelt(argument) for argument in sys.argv[1:]]
        check(sys.argv[1:])
        try:
            task()
        except Unfinished as error:
            sys.exit(error.exit_code)
