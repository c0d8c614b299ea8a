"""Composes the runs of a sweep through Hydra: once per distinct choice of groups, since that takes some 100 ms."""

import pickle
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from plasticity.composition.arguments import respelt
from plasticity.composition.mistakes import HYDRA_ERRORS

ANY_SET = "replacement=layer_999999999"
"""Chooses a replacement set that no file holds: where its value ends up, that of any other would, too."""


class Composer:
    """Composes each combination of overrides as Hydra would.

    Combinations that choose the same files share what Hydra composes of them. Overrides of values are applied to a
    copy of it, by Hydra's own function. A file in `replacement/` that holds nothing but a set of layers is such a
    value, too.

    Args:
        loader: Hydra's.
        through_hydra: composes one list of overrides; the result has the node `hydra`.
    """

    def __init__(self, loader: ConfigLoader, through_hydra: Callable[[list[str]], DictConfig]):
        assert isinstance(loader, ConfigLoaderImpl)  # Hydra's only one
        self.loader = loader
        self.through_hydra = through_hydra
        self.parser = OverridesParser.create(config_loader=loader)
        self.parse = lru_cache(maxsize=None)(self.parser.parse_override)
        self.compose = lru_cache(maxsize=None)(self._compose)
        self.of_any_set = lru_cache(maxsize=None)(self._of_any_set)
        self.refers = lru_cache(maxsize=None)(self._refers)
        self.is_choice = lru_cache(maxsize=None)(self._is_choice)
        self.layers = lru_cache(maxsize=None)(self._layers)

    @classmethod
    def of_sweep(cls, loader: ConfigLoader, master: DictConfig) -> "Composer":
        """A composer of combinations on top of a sweep's composed config."""
        return cls(loader, lambda overrides: loader.load_sweep_config(master, overrides))

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one combination, without the node `hydra`.

        Raises:
            HydraException, OmegaConfBaseException: when it cannot be composed.
        """
        composed, layers, values = self._parts(overrides)
        config: DictConfig = pickle.loads(composed)
        if layers is not None:
            OmegaConf.update(config, "replacement.layers", layers)
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return config

    def choices(self, overrides: Sequence[str]) -> tuple[str, ...]:
        """What a combination chooses: those that choose the same share what Hydra composes of it.

        Raises:
            HydraException: when an override cannot be parsed.
        """
        return self._shared(self._split(overrides)[0])

    def interpolates(self, key: str, overrides: Sequence[str]) -> bool:
        """Whether other values of a combination may depend on that of a key, as `${seed}` does.

        Raises:
            HydraException, OmegaConfBaseException: when it cannot be composed.
        """
        composed, layers, _ = self._parts(overrides)
        return self.refers(composed, key) or bool(_reference(key).search(f"{layers} {overrides}"))

    def _parts(self, overrides: Sequence[str]) -> tuple[bytes, Any, list[Override]]:
        """What a combination's choices are composed to, its replacement set if that is a value, and its values."""
        choices, values = self._split(overrides)
        sets = [layers for text in choices if (layers := self.layers(text)) is not None]
        shared = self.of_any_set(choices) if sets else None
        return (self.compose(choices), None, values) if shared is None else (shared, sets[-1], values)

    def _split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """The choices among overrides, and the values."""
        overrides = [respelt(text) for text in overrides]
        choices = tuple(text for text in overrides if self.is_choice(text))
        return choices, [self.parse(text) for text in overrides if not self.is_choice(text)]

    def _shared(self, choices: tuple[str, ...]) -> tuple[str, ...]:
        """Choices, with any replacement set in place of one that is a value."""
        return tuple(ANY_SET if self.layers(text) is not None else text for text in choices)

    def _of_any_set(self, choices: tuple[str, ...]) -> bytes | None:
        """What is composed in place of all replacement sets; None where a set is more than one value."""
        try:
            base = self.compose(self._shared(choices))
        except HYDRA_ERRORS:
            return None  # so that messages name the original choice
        return base if f"replacement={pickle.loads(base).replacement.layers}" == ANY_SET else None

    def _compose(self, choices: tuple[str, ...]) -> bytes:
        """Pickled, since each combination changes a copy: unpickling is the quickest way to one."""
        config = self.through_hydra(list(choices))
        with open_dict(config):
            config.pop("hydra")  # large, and of no use to a run
        return pickle.dumps(config)

    def _refers(self, composed: bytes, key: str) -> bool:
        text = str(OmegaConf.to_container(pickle.loads(composed), resolve=False))
        return _reference(key).search(text) is not None

    def _is_choice(self, text: str) -> bool:
        """Whether an override chooses files of a group, or sets a value of Hydra's."""
        override = self.parse(text)
        if override.is_hydra_override():
            return True
        group = override.key_or_group
        return not isinstance(override.value(), dict) and self.loader.repository.group_exists(group)

    def _layers(self, text: str) -> Any:
        """The layers in the file that an override chooses, if it is a replacement set; else None."""
        group, _, name = text.partition("=")
        path = f"{group}/{name}"
        if group != "replacement" or not name.isidentifier():
            return None
        source = next((each for each in self.loader.get_sources() if each.is_config(path)), None)
        if source is None:
            return None
        file = source.load_config(path)
        content: Any = OmegaConf.to_container(file.config, resolve=False)
        return content["layers"] if list(content) == ["layers"] and not file.header["package"] else None


def _reference(key: str) -> re.Pattern[str]:
    """Finds interpolations that name a key."""
    return re.compile(rf"\$\{{[^}}]*{key}")
