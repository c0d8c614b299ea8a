"""Where Hydra finds this project's configs: its config sources, and what makes Hydra use them."""

import pickle
import re
from dataclasses import MISSING
from functools import cache
from pathlib import Path

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

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


PARTS = (
    "model", "activation", "replacement", "regulariser", "dataset", "optimiser", "intervention", "perturbation",
    "constraint", "diagnostics",
)  # fmt: skip
ConfigStore.instance().store(name="open_parts", node=_open(*PARTS, "tracker", "tuned", "method"))


class FolderSource(ConfigSource):
    """The files in a folder, each read once. Hydra's own sources read them again for each composition."""

    @staticmethod
    def scheme() -> str:
        return "folder"

    def load_config(self, config_path: str) -> ConfigResult:
        path = self._file(config_path)
        if not path.is_file():
            raise ConfigLoadError(f"Config not found : {path}")
        return self._result(*pickle.loads(_loaded(path, self._has_parts(config_path))))

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        return (Path(self.path) / config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        return self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        entries = list((Path(self.path) / config_path).iterdir())
        groups = {entry.name for entry in entries if entry.is_dir()}
        files = {entry.stem for entry in entries if entry.suffix == ".yaml"} | self._generated(config_path)
        wanted = {ObjectType.GROUP: groups, ObjectType.CONFIG: files}
        return sorted(groups | files if results_filter is None else wanted.get(results_filter, set()))

    def _generated(self, group: str) -> set[str]:
        """The choices that are listed in a group beyond its files."""
        return set()

    def _has_parts(self, config_path: str) -> bool:
        """Whether a file may name a part, whose defaults then complete it."""
        return False

    def _result(self, config: DictConfig, header: dict[str, str | None]) -> ConfigResult:
        path = f"{self.scheme()}://{self.path}"
        return ConfigResult(config=config, path=path, provider=self.provider, header=header)

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / (config_path if config_path.endswith(".yaml") else f"{config_path}.yaml")


class PartsSource(FolderSource):
    """The files in the folder `conf/`, completed with the defaults of the parts that they name.

    In addition, replacement=layer_N exists for any N, and a part can be chosen by its import path.
    """

    @staticmethod
    def scheme() -> str:
        return "parts"

    def load_config(self, config_path: str) -> ConfigResult:
        header: dict[str, str | None] = {"package": None}
        if found := SET.fullmatch(config_path):
            config = OmegaConf.create({"layers": found[1]})
        elif found := METHOD.fullmatch(config_path):
            choice = {"override /replacement/method": found[1]}
            config = OmegaConf.create({"defaults": [choice], "replacement": {"layers": "all"}})
            header["package"] = "_global_"
        elif found := CLASS.fullmatch(config_path):
            config = _completed(OmegaConf.create({"_target_": found[2]}), found[1])
            if found[1] == "replacement/method":
                header["package"] = "replacement"
            elif found[1] == "diagnostics":  # there may be several, each under its own name
                header["package"] = f"diagnostics.{found[2].rpartition('.')[2]}"
        else:
            return super().load_config(config_path)
        return self._result(config, header)

    def is_config(self, config_path: str) -> bool:
        return bool(SET.fullmatch(config_path) or CLASS.fullmatch(config_path)) or super().is_config(
            config_path
        )

    def _generated(self, group: str) -> set[str]:
        return {"layer_1", "layer_2", "layer_3"} if group.strip("/") == "replacement" else set()

    def _has_parts(self, config_path: str) -> bool:
        return not config_path.startswith("hydra/")


@cache
def _loaded(path: Path, has_parts: bool) -> bytes:
    """A file, completed with the defaults of its part, if any, and the package that its header names.

    Pickled, since Hydra changes what it loads, and each composition needs a copy: this one is the quickest.
    """
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    head = ConfigSource._get_header_dict(path.read_text(encoding="utf-8")[:512])
    return pickle.dumps((_completed(config) if has_parts else config, head))


def _completed(config: DictConfig, group: str = "_target_") -> DictConfig:
    """A config completed with the defaults of the part that it names, if any; `group` is that of its class."""
    if "_target_" in config:
        from plasticity.composition.methods import KINDS
        from plasticity.part import Part, checked_fields, find, plain

        key = group.replace("/", ".")
        kind: type[Part] = KINDS.get(group, Part)
        part = find(kind, config["_target_"], key)
        for name, entry in checked_fields(part, key).items():
            if name not in config and entry.default is not MISSING:
                config[name] = plain(entry.default)
    return config


class PartsSearchPath(SearchPathPlugin):
    """Makes Hydra read the project's own config folder as a `PartsSource`, and Hydra's as a `FolderSource`.

    A user's file of the same name as one of the project's is read in its place: Hydra puts the folder that
    --config-dir names before its first source of structured configs, so that one of these comes in front.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from plasticity.composition.groups import conf_directory

        own, of_hydra = conf_directory().resolve(), Path(hydra.__file__).parent / "conf"
        for entry in search_path.get_path():
            if entry.path == "pkg://hydra.conf" and of_hydra.is_dir():
                entry.path = f"{FolderSource.scheme()}://{of_hydra}"
            elif entry.path is not None and Path(entry.path.removeprefix("file://")).resolve() == own:
                entry.path = f"{PartsSource.scheme()}://{own}"
        search_path.prepend("schema", "structured://", anchor="main")
