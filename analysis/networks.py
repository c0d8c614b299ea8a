"""Which tuned network a run uses: the file in `tuned/` whose values it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import further_directories
from plasticity.errors import UserError
from plasticity.run import flatten, number_text

CHOSEN_ALONE = ("dataset.tasks", "dataset.examples", "dataset.examples_per_task")
"""Keys that say how long a run is, which a shorter trial of a network changes."""


@dataclass(frozen=True)
class TunedNetwork:
    """A file in `tuned/`.

    Attributes:
        name: of the file.
        values: what it states of every run, by dotted key, as text.
        methods: what it states of each method's runs: hyperparameters by dotted key, as text.
    """

    name: str
    values: Mapping[str, str]
    methods: tuple[Mapping[str, str], ...]

    def fits(self, run: Mapping[str, Any]) -> bool:
        """Whether a run has its values, and the hyperparameters of one of its methods, where it has such keys."""
        if any(_text(run.get(key)) != value for key, value in self.values.items()):
            return False
        replaces = run.get("replacement.layers") != "none"
        return any(
            all(
                _text(run.get(key)) in (value, "")
                for key, value in chosen.items()
                if replaces or not key.startswith("replacement.")
            )
            for chosen in self.methods
        )


def network_name(run: Mapping[str, Any]) -> str | None:
    """The tuned network that a run uses: if several fit, the one that states most; None if none fits.

    Args:
        run: its config by dotted key, with lists as text, as in a row of `analysis.summarise`.
    """
    fitting = [network for network in tuned_networks(*further_directories()) if network.fits(run)]
    best = max(fitting, key=lambda network: len(network.values), default=None)
    return None if best is None else best.name


@cache
def tuned_networks(*further: Any) -> tuple[TunedNetwork, ...]:
    """The files in `tuned/`, of this package and of further directories of configs.

    Raises:
        UserError: for a file that cannot be read.
    """
    paths = [
        path for root in (conf_directory(), *further) for path in sorted((root / "tuned").glob("*.yaml"))
    ]
    return tuple(map(_read, paths))


def _read(path: Any) -> TunedNetwork:
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        methods = (content.pop("tuned", None) or {}).get("methods") or {}
        defaults = [next(iter(one.items())) for one in content.pop("defaults", []) if isinstance(one, dict)]
        stated = {key: value for key, value in flatten(content).items() if "${" not in str(value)}
        stated |= {f"{key.removeprefix('override').strip().lstrip('/')}.name": own for key, own in defaults}
        values = {key: _text(value) for key, value in stated.items() if key not in CHOSEN_ALONE}
        chosen = tuple({key: _text(value) for key, value in own.items()} for own in methods.values())
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a tuned network ({type(error).__name__}: {error})."
        ) from error
    return TunedNetwork(path.stem, values, chosen)


def _text(value: Any) -> str:
    """A value as text, however its number or list is spelt; "" for none."""
    if value is None or value != value:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return number_text(float(value)) if real else str(value)
