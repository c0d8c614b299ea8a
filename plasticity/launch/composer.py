"""Composes the runs of a sweep, through Hydra only once per kind of choice, since that takes some 100 ms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from plasticity.launch.arguments import respelt
from plasticity.launch.mistakes import HYDRA_ERRORS
from plasticity.launch.plain_file import PlainFile, is_mark, leaves


@dataclass(frozen=True, eq=False)
class Composition:
    """A config in two halves.

    Args:
        base: what Hydra composed, shared by many combinations; it must never be changed.
        values: the values that this combination has instead of the base's, by dotted key.
    """

    base: DictConfig
    values: Mapping[str, Any]

    def config(self) -> DictConfig:
        """The whole config.

        Raises:
            OmegaConfBaseException: for a key that the base does not have.
        """
        config = self.base.copy()
        for key, value in self.values.items():
            OmegaConf.update(config, key, value, merge=True)
        return config

    def having(self, values: Mapping[str, Any]) -> "Composition":
        """The same composition with these values, too."""
        return Composition(self.base, {**self.values, **values})


class Composer:
    """Composes each combination of overrides as Hydra would.

    Overrides of plain values are applied afterwards, as Hydra does. So are the contents of the files that overrides
    choose: files of one group that set the same keys differ only in their values (the replacement sets, the
    activations, most of `tuned`). In their place, Hydra composes a file of placeholders, which shows where each
    value goes.

    Args:
        loader: Hydra's.
        through_hydra: composes one list of overrides; the result has the node `hydra`.
    """

    def __init__(self, loader: ConfigLoader, through_hydra: Callable[[list[str]], DictConfig]):
        self.loader = loader
        self.through_hydra = through_hydra
        self.parse = lru_cache(maxsize=None)(OverridesParser.create(config_loader=loader).parse_override)
        self.compose = lru_cache(maxsize=None)(self._compose)
        self.options = lru_cache(maxsize=None)(loader.get_group_options)
        self.file = lru_cache(maxsize=None)(self._file)

    @classmethod
    def of_sweep(cls, loader: ConfigLoader, master: DictConfig) -> "Composer":
        """A composer of combinations on top of a sweep's composed config."""
        return cls(loader, lambda overrides: loader.load_sweep_config(master, overrides))

    def __call__(self, overrides: Sequence[str]) -> Composition:
        """The config of one combination.

        Raises:
            HydraException, OmegaConfBaseException: when it cannot be composed.
        """
        overrides = [respelt(text) for text in overrides]
        parsed = {text: self.parse(text) for text in overrides}
        plain = [text for text, override in parsed.items() if self._is_value(override)]
        choices = tuple(text for text in overrides if text not in plain)
        files = {text: found for text in choices if (found := self._plain_file(parsed[text]))}
        try:
            base, places = self.compose(
                tuple(files[text].choice if text in files else text for text in choices)
            )
        except HYDRA_ERRORS:
            base, places = self.compose(choices)  # so that messages name the original choices
        held = {mark: value for file in files.values() for mark, value in file.values.items()}
        values = {key: held[mark] for key, mark in places}
        for text in plain:
            values[parsed[text].get_key_element()] = parsed[text].value()
        return Composition(base, values)

    def _compose(self, overrides: tuple[str, ...]) -> tuple[DictConfig, list[tuple[str, str]]]:
        """What Hydra composes, and the dotted keys at which it has placeholders."""
        config = self.through_hydra(list(overrides))
        with open_dict(config):
            config.pop("hydra")  # large, and of no use to a run
        composed: Any = OmegaConf.to_container(config, resolve=False)
        return config, [(key, value) for key, value in leaves(composed) if is_mark(value)]

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets an existing key to a value, and does nothing else."""
        return _is_plain(override) and not self.options(override.get_key_element())

    def _plain_file(self, override: Override) -> PlainFile | None:
        """The file that an override chooses, if it can be composed with placeholders."""
        option = override.value()
        if not _is_plain(override) or not isinstance(option, str):
            return None
        return self.file(override.get_key_element(), option)

    def _file(self, group: str, option: str) -> PlainFile | None:
        path = f"{group}/{option}"
        source = next((each for each in self.loader.get_sources() if each.is_config(path)), None)
        return None if source is None else PlainFile.of(group, source.load_config(path))


def _is_plain(override: Override) -> bool:
    """Whether an override gives an existing group or key another value."""
    return not (override.is_add() or override.is_force_add() or override.is_delete())
