"""Plugins that Hydra discovers: plasticity's config source, its sweeper, and its launchers."""

import pickle
import re
from collections.abc import Sequence
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from plasticity.composition.settings import Settings
    from plasticity.launch.sweep import Ended
    from plasticity.run import Run

SCHEME = "parts"
LISTS = (f"{__name__}.Combinations", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
"""Sweepers that compute a list. All others choose what to compute next by the scores of what was computed."""

SET = re.compile(r"replacement/(layer_[1-9][0-9]*)(\.yaml)?")
METHOD = re.compile(r"replacement/((?:\w+\.)+(?!yaml$)\w+)")
"""A replacement method chosen by its import path, in all layers: replacement=my_parts.Mine."""

CLASS = re.compile(r"([a-z_/]+)/((?:\w+\.)+(?!yaml$)\w+)")
"""A part chosen by its import path, as in activation=my_parts.Slope."""


def _open(*keys: str) -> DictConfig:
    """Groups that accept any key from the command line: a part's class defines its keys and checks them."""
    groups = OmegaConf.create({key: {} for key in keys})
    for key in keys:
        OmegaConf.set_struct(groups[key], False)
    return groups


PARTS = ("model", "activation", "replacement", "regulariser", "dataset", "optimiser", "diagnostics")
ConfigStore.instance().store(name="open_parts", node=_open(*PARTS, "tracker", "tuned", "method"))


class PartsSource(ConfigSource):
    """The files in the folder `conf/`, completed with the defaults of the parts that they name.

    In addition, replacement=layer_N exists for any N, and a part can be chosen by its import path.
    """

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        header: dict[str, str | None] = {"package": None}
        if found := SET.fullmatch(config_path):
            config = OmegaConf.create({"layers": found[1]})
        elif found := METHOD.fullmatch(config_path):
            choice = {"override /replacement/method": found[1]}
            config = OmegaConf.create({"defaults": [choice], "replacement": {"layers": "all"}})
            header["package"] = "_global_"
        elif found := CLASS.fullmatch(config_path):
            config = _completed(OmegaConf.create({"_target_": found[2]}), found[1].replace("/", "."))
            if found[1] == "replacement/method":
                header["package"] = "replacement"
            elif found[1] == "diagnostics":  # there may be several, each under its own name
                header["package"] = f"diagnostics.{found[2].rpartition('.')[2]}"
        else:
            path = self._file(config_path)
            if not path.is_file():
                raise ConfigLoadError(f"Config not found : {path}")
            config, header = pickle.loads(_loaded(path, config_path.startswith("hydra/")))
        return ConfigResult(
            config=config,
            path=f"{SCHEME}://{self.path}",
            provider=self.provider,
            header=header,
        )

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        generated = SET.fullmatch(config_path) or CLASS.fullmatch(config_path)
        return bool(generated) or self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        entries = list((Path(self.path) / config_path).iterdir())
        groups = {entry.name for entry in entries if entry.is_dir()}
        files = {entry.stem for entry in entries if entry.suffix == ".yaml"}
        if config_path.strip("/") == "replacement":
            files |= {"layer_1", "layer_2", "layer_3"}
        wanted = {ObjectType.GROUP: groups, ObjectType.CONFIG: files}
        return sorted(groups | files if results_filter is None else wanted.get(results_filter, set()))

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / (config_path if config_path.endswith(".yaml") else f"{config_path}.yaml")


@cache
def _loaded(path: Path, of_hydra: bool) -> bytes:
    """A file in the folder, completed with the defaults of its part, and the package that its header names.

    Pickled, since Hydra changes what it loads, and each composition needs a copy: this one is the quickest.
    """
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    head = ConfigSource._get_header_dict(path.read_text(encoding="utf-8")[:512])
    return pickle.dumps((config if of_hydra else _completed(config), head))


def _completed(config: DictConfig, key: str = "_target_") -> DictConfig:
    """A config completed with the defaults of the part that it names, if any; `key` is for error messages."""
    if "_target_" in config:
        from plasticity.part import MISSING, Part, checked_fields, find, plain

        part = find(Part, config["_target_"], key)
        for name, entry in checked_fields(part).items():
            if name not in config and entry.default is not MISSING:
                config[name] = plain(entry.default)
    return config


class PartsSearchPath(SearchPathPlugin):
    """Makes Hydra read the project's own config folder as a `PartsSource`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from plasticity.composition.groups import conf_directory

        own = conf_directory().resolve()
        for entry in search_path.get_path():
            if entry.path is not None and Path(entry.path.removeprefix("file://")).resolve() == own:
                entry.path = f"{SCHEME}://{own}"


class Combinations(Sweeper):
    """`hydra/sweeper=combinations`: every combination of the values given, as one list of runs.

    Args:
        params, alternatives, only, grids: as in `plasticity.composition.combinations`; the command line beats them.
        unknown: keys of other sweepers, which are refused.
    """

    def __init__(
        self,
        params: DictConfig | None = None,
        alternatives: DictConfig | None = None,
        only: Sequence[str] | None = None,
        grids: bool = False,
        **unknown: Any,
    ):
        if unknown:
            from plasticity.errors import UserError

            raise UserError(
                f"hydra.sweeper.{min(unknown)} is refused: it is for a sweeper that chooses its own values, and "
                "also needs that one, such as hydra/sweeper=optuna."
            )
        self.declared = (params, alternatives, only, grids)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from plasticity.composition.combinations import combinations

        assert self.launcher is not None
        asked = combinations(self.parser, arguments, *self.declared)
        results = self.launcher.launch(asked, initial_job_idx=0)
        for result in results:
            _ = result.return_value  # raises if the run has failed
        return [results]


class LocalLauncher(Launcher):
    """`hydra/launcher=local`: computes the runs of a sweep on this machine, as one list. It takes no keys."""

    def __init__(self, **values: Any):
        if values:
            from plasticity.errors import UserError

            raise UserError(
                f"hydra.launcher.{min(values)} is refused: it is for a cluster, and also needs "
                "hydra/launcher=slurm (or that of your cluster)."
            )

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from plasticity.composition.composer import Composer

        self.composer = Composer.of_sweep(hydra_context.config_loader, config)
        self.config = config

    def compute(self, runs: "Sequence[Run | None]", settings: "Settings") -> "Ended":
        """Computes runs; returns how that ended."""
        from plasticity.launch.sweep import compute

        return compute(runs, settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        from plasticity.composition.reading import read_all

        runs, settings = read_all(self.composer, job_overrides, self.config)
        ended = self.compute(runs, settings)
        if settings.launch.dry_run:
            raise SystemExit(0)
        chooses = self.config.hydra.sweeper._target_ not in LISTS
        return [_result(run, ended, chooses) for run in runs]


class SlurmLauncher(LocalLauncher):
    """`hydra/launcher=slurm`: submits the runs of a sweep to a cluster. Takes the keys of `Cluster`."""

    def __init__(self, **values: Any):
        from plasticity.composition.cluster import Cluster

        plain = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
        assert isinstance(plain, dict)
        self.cluster = Cluster.of({str(key): value for key, value in plain.items()})

    def compute(self, runs: "Sequence[Run | None]", settings: "Settings") -> "Ended":
        from plasticity.launch.slurm import submit  # imports what only a cluster needs

        return submit(runs, settings, self.cluster)


class RunReturn(JobReturn):
    """What a sweeper receives for a run. The launch itself reports an unfinished one, so Hydra adds no line."""

    @property
    def return_value(self) -> Any:
        if self.status == JobStatus.FAILED:
            raise self._return_value
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def _result(run: "Run | None", ended: "Ended", chooses: bool) -> JobReturn:
    """What a sweeper receives for a run: its score, None if it is absent, or an error if it is unfinished.

    To a sweeper that chooses by scores, a run that diverged is a result, the worst there is: an error would end its
    search, and teach it nothing.
    """
    from plasticity.errors import Diverged
    from plasticity.launch.sweep import Unfinished

    state = None if run is None else ended.states.get(run.identity)
    diverged = state is not None and state.has_failed and Diverged.caused(state.reason)
    result = RunReturn()
    try:
        if run is not None and diverged and chooses:
            result.return_value = -inf if run.dataset.objective.higher_is_better else inf
        else:
            result.return_value = ended.score(run)
        result.status = JobStatus.COMPLETED
    except Unfinished as error:
        result.return_value, result.status = error, JobStatus.FAILED
    return result
