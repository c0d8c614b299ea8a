"""Composes runs without the command: from overrides, or from an experiment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.types import RunMode
from omegaconf import DictConfig

from plasticity.composition.arguments import check, respelt
from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import use
from plasticity.composition.mistakes import HYDRA_ERRORS, explain
from plasticity.composition.quicker import quicker
from plasticity.composition.reading import Reader, read
from plasticity.composition.settings import Settings
from plasticity.errors import UserError
from plasticity.run import Run

if TYPE_CHECKING:
    from plasticity.composition.composer import Composer

CONFIG = "config"
"""The primary config, `conf/config.yaml`."""


def compose(*overrides: str, config_dir: str | Path | None = None) -> Run:
    """The run that overrides describe, as on the command line: `compose("activation=tanh", "seed=1")`.

    Args:
        overrides: as after `python launch.py`.
        config_dir: a further directory of configs, as with --config-dir.

    Raises:
        UserError: when they describe none.
    """
    (run,) = compose_all([overrides], config_dir)
    if run is None:
        raise UserError(f"{' '.join(overrides)} describes no run: its network has no such layer.")
    return run


def compose_all(
    combinations: Sequence[Sequence[str]], config_dir: str | Path | None = None
) -> list[Run | None]:
    """The runs that several lists of overrides describe; None for one that is declared absent."""
    return [run for run, _ in _read_each(combinations, config_dir)]


def compose_settings(overrides: Sequence[str], config_dir: str | Path | None = None) -> Settings:
    """The settings that overrides describe.

    Raises:
        UserError: when they describe none.
    """
    ((_, settings),) = _read_each([overrides], config_dir)
    return settings


def _read_each(
    combinations: Sequence[Sequence[str]], config_dir: str | Path | None
) -> list[tuple[Run | None, Settings]]:
    given = [override for each in combinations for override in each]
    with _composing(config_dir, given) as composer:
        return [read(composer(_of_one_run(each, composer))) for each in combinations]


def _of_one_run(given: Sequence[str], composer: "Composer") -> list[str]:
    """Overrides, spelt as Hydra requires.

    Raises:
        UserError: when they describe a sweep.
    """
    overrides = [respelt(override) for override in given]
    check(overrides)
    for override in composer.parser.parse_overrides(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} is refused: a run has a single value of each key.")
        if override.key_or_group != "experiment":
            continue
        if composer.through_hydra(overrides).hydra.mode == RunMode.MULTIRUN:
            raise UserError(
                f"{override.input_line} is refused: an experiment is a list of runs, which "
                f"plasticity.composition.compose.experiment({override.value()!r}) returns."
            )
    return overrides


@contextmanager
def _composing(config_dir: str | Path | None, given: Sequence[str]) -> Iterator["Composer"]:
    """What composes lists of overrides, without Hydra's command. Explains errors about those that are given."""
    if config_dir and not Path(config_dir).is_dir():
        raise UserError(f"--config-dir {config_dir} is refused: there is no such directory.")
    if config_dir:
        use(Path(config_dir))
    try:
        with quicker():
            yield _composer(Path(config_dir).absolute()) if config_dir else _of_the_package()
    except HYDRA_ERRORS as error:
        raise explain(error, given) from error


@cache
def _of_the_package() -> "Composer":
    """Kept, since the package's own files do not change meanwhile."""
    return _composer()


def _composer(config_dir: Path | None = None) -> "Composer":
    from hydra import version
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import setup_globals

    from plasticity.composition.composer import Composer

    setup_globals()
    version.setbase("1.3")
    search = create_config_search_path(str(conf_directory()))
    if config_dir:  # in front, as the command puts it
        search.prepend("command-line", f"file://{config_dir}", "main")
    loader = ConfigLoaderImpl(search)

    def through_hydra(overrides: list[str]) -> DictConfig:
        return loader.load_configuration(CONFIG, overrides, RunMode.RUN, from_shell=False)

    return Composer(loader, through_hydra)


def experiment(name: str, *overrides: str, config_dir: str | Path | None = None) -> list[Run]:
    """The runs that `python launch.py experiment=NAME` computes, each once, in the same order.

    Args:
        name: a file in `conf/experiment/`.
        overrides: further arguments of that command, such as "seed=0,1".
        config_dir: a further directory of configs, as with --config-dir.

    Raises:
        UserError: when there is no such experiment, or the overrides do not fit.
    """
    from plasticity.composition.combinations import combinations

    arguments = [respelt(argument) for argument in (f"experiment={name}", *overrides)]
    check(arguments)
    with _composing(config_dir, arguments) as composer:
        parsed = composer.parser.parse_overrides(arguments)
        plain = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        sweeper = composer.through_hydra(plain).hydra.sweeper
        if set(sweeper) - {"_target_", "params", "alternatives", "only", "grids"}:
            raise UserError(f"experiment={name} is not a list of runs: its sweeper chooses them as it goes.")
        of_runs = [text for text in arguments if not text.startswith("hydra.")]
        combined = combinations(
            composer.parser, of_runs, sweeper.params, sweeper.alternatives, sweeper.only, sweeper.grids
        )
        reader = Reader(composer)
        runs = [reader(combination)[0] for combination in combined]
    return list({run.identity: run for run in runs if run is not None}.values())
