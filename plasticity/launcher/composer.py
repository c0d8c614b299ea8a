"""Composes the runs of a sweep: through Hydra once per choice of groups, since that takes some 50 ms."""

from collections.abc import Sequence
from functools import lru_cache

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict


class Composer:
    """Gives for each combination of overrides what Hydra would compose.

    Choices of groups, and whatever adds or deletes keys, go to Hydra. Plain values are laid over a copy of
    the result, which is what Hydra does with them, last.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig):
        self.loader, self.master = loader, master
        self.parse = lru_cache(maxsize=None)(OverridesParser.create(config_loader=loader).parse_override)
        self.compose = lru_cache(maxsize=None)(self._compose)
        self.options = lru_cache(maxsize=None)(loader.get_group_options)

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one combination.

        Raises:
            HydraException, OmegaConfBaseException: when it cannot be composed.
        """
        values = [text for text in overrides if self._is_value(self.parse(text))]
        config = self.compose(tuple(text for text in overrides if text not in values)).copy()
        for text in values:
            override = self.parse(text)
            OmegaConf.update(config, override.get_key_element(), override.value(), merge=True)
        return config

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            config.pop("hydra", None)  # large, and nothing to a run
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets an existing key to a value, and does nothing else."""
        plain = not (override.is_add() or override.is_force_add() or override.is_delete())
        return plain and not self.options(override.get_key_element())
