"""Composes the runs of a sweep: through Hydra once per choice of groups, since that takes some 50 ms."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from plasticity.replacement import layers

SET = "replacement"
"""The group of replacement sets: its files hold the name of the set as `replacement.layers`, and nothing else."""

OURS = ("hydra", "main", "schema")
"""Providers of configs that are not the user's own."""


class Composer:
    """Gives for each combination of overrides what Hydra would compose.

    Choices of groups, and overrides that add or delete keys, go to Hydra. Plain values are then applied to a copy
    of the result, as Hydra does; so are replacement sets, of which sweeps have many.

    Args:
        loader: Hydra's.
        through_hydra: composes one list of overrides; the result has the node `hydra`.
    """

    def __init__(self, loader: ConfigLoader, through_hydra: Callable[[list[str]], DictConfig]):
        self.through_hydra = through_hydra
        self.parse = lru_cache(maxsize=None)(OverridesParser.create(config_loader=loader).parse_override)
        self.compose = lru_cache(maxsize=None)(self._compose)
        self.options = lru_cache(maxsize=None)(loader.get_group_options)
        self.plain_sets = not any(
            source.is_group(SET) for source in loader.get_sources() if source.provider not in OURS
        )

    @classmethod
    def of_sweep(cls, loader: ConfigLoader, master: DictConfig) -> "Composer":
        """For combinations on top of what a sweep was composed to."""
        return cls(loader, lambda overrides: loader.load_sweep_config(master, overrides))

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of one combination.

        Raises:
            HydraException, OmegaConfBaseException: when it cannot be composed.
        """
        parsed = {text: self.parse(text) for text in overrides}
        values = {text: override for text, override in parsed.items() if self._is_value(override)}
        sets = {text for text, override in parsed.items() if self.plain_sets and _is_set(override)}
        choices = [text for text in overrides if text not in values]
        config, takes_sets = self.compose(tuple(text for text in choices if text not in sets))
        if not takes_sets:
            config, _ = self.compose(tuple(choices))
        config = config.copy()
        for text in choices if takes_sets else ():
            if text in sets:
                config.replacement.layers = parsed[text].value()
        for override in values.values():
            OmegaConf.update(config, override.get_key_element(), override.value(), merge=True)
        return config

    def _compose(self, overrides: tuple[str, ...]) -> tuple[DictConfig, bool]:
        """What Hydra composes, and whether another replacement set would change just its `replacement.layers`."""
        config = self.through_hydra(list(overrides))
        chosen = OmegaConf.select(config, "hydra.runtime.choices")[SET]
        takes_sets = OmegaConf.select(config, "replacement.layers") == chosen
        with open_dict(config):
            config.pop("hydra")  # large, and of no use to a run
        return config, takes_sets

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets an existing key to a value, and does nothing else."""
        plain = not (override.is_add() or override.is_force_add() or override.is_delete())
        return plain and not self.options(override.get_key_element())


def _is_set(override: Override) -> bool:
    """Whether an override chooses a replacement set of the package by its name."""
    chosen = override.value()
    return (
        override.get_key_element() == SET and isinstance(chosen, str) and bool(layers.NAME.fullmatch(chosen))
    )
