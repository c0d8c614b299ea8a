"""Reads a composed config as a run and its settings, and a sweep as a list of runs."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from plasticity.composition.mistakes import HYDRA_ERRORS, explain
from plasticity.composition.settings import KEYS, Settings
from plasticity.composition.tuned import check, method_of, without_defaults
from plasticity.composition.tuned import notes as notes_on
from plasticity.errors import ConfigError, ImpossibleLayer, UserError
from plasticity.machine.copies import in_copies
from plasticity.part import build, checked_fields, one_of
from plasticity.run import Run

if TYPE_CHECKING:
    from plasticity.composition.composer import Composer


def read(composed: DictConfig, notes: dict[str, None] | None = None) -> tuple[Run | None, Settings]:
    """The run and the settings in a composed config; None for a run that is declared absent.

    Args:
        composed: by Hydra.
        notes: receives, as keys, sentences that the user should read.

    Raises:
        UserError: when either is invalid.
    """
    try:
        method = method_of(composed) if composed.get("tuned") else None
        values: Any = without_defaults(OmegaConf.to_container(composed, resolve=True))
    except OmegaConfBaseException as error:
        raise explain(error) from error
    for key in ("hydra", "experiment", "method"):
        values.pop(key, None)
    _unfold_method(values)
    tuned = values.pop("tuned", None) or {}
    data_root = values["dataset"].pop("root", None) if isinstance(values.get("dataset"), dict) else None
    data_root = checked_fields(Settings)["data_root"].metadata["check"]("dataset.root", data_root)
    settings = build(Settings, {key: value for key, value in values.items() if key in KEYS})
    settings = replace(settings, data_root=data_root)
    try:
        run = Run.of({key: value for key, value in values.items() if key not in KEYS})
    except ImpossibleLayer:
        if settings.launch.impossible == "absent":
            return None, settings
        raise
    if tuned:
        check(tuned, method, run)
        if notes is not None:
            notes.update(dict.fromkeys(notes_on(tuned, method, run)))
    return run, settings


def _unfold_method(values: dict[str, Any]) -> None:
    """Moves a file of `replacement/method/` to where it belongs, if it has no "# @package replacement"."""
    replacement = values.get("replacement")
    method = replacement.get("method") if isinstance(replacement, dict) else None
    if isinstance(replacement, dict) and isinstance(method, dict) and "_target_" in method:
        del replacement["method"]
        values["replacement"] = method | replacement


def read_all(
    composer: "Composer", combinations: Sequence[Sequence[str]], master: DictConfig
) -> tuple[list[Run | None], Settings]:
    """The runs of a sweep, None for one that is absent, and the settings that they share.

    Args:
        composer: composes each combination of overrides.
        combinations: the overrides of each run.
        master: the config of the sweep, composed without any combination.

    Raises:
        UserError: naming the first combination that is invalid, or whose settings differ.
    """
    if not combinations:
        raise UserError("The sweep is refused: it has no combinations, since one of its keys has no values.")
    check_directories(master)
    runs: list[Run | None] = []
    shared: Settings | None = None
    reader = Reader(composer)
    reader.prepare(combinations)
    for overrides in combinations:
        try:
            run, settings = reader(overrides)
        except (UserError, *HYDRA_ERRORS) as error:
            which = f"{' '.join(overrides)}: " if len(combinations) > 1 else ""
            raise UserError(f"{which}{explain(error, overrides)}") from error
        if shared is not None and settings != shared:
            different = [key for key in KEYS if getattr(settings, key) != getattr(shared, key)]
            raise UserError(
                f"{' '.join(overrides)} is refused: all runs of a sweep share {one_of(different)}; launch "
                "the sweep once for each value."
            )
        shared = settings
        runs.append(run)
    assert shared is not None
    for note in reader.notes:
        print(note)
    return runs, of_the_launch(shared, master)


@dataclass(frozen=True)
class _Read:
    """What combinations that differ in their seeds have in common, but for the seed of the run."""

    run: Run | None
    settings: Settings
    notes: dict[str, None]


class Reader:
    """Reads combinations of overrides. Those that differ in the seed alone are composed and read once."""

    def __init__(self, composer: "Composer"):
        self.composer = composer
        self.notes: dict[str, None] = {}
        self.known: dict[tuple[str, ...], _Read | None] = {}

    def __call__(self, overrides: Sequence[str]) -> tuple[Run | None, Settings]:
        """The run and the settings of one combination, as returned by `read`.

        Raises:
            UserError, HydraException, OmegaConfBaseException: when it cannot be composed, or is invalid.
        """
        seeds, others = _seeds(overrides)
        if len(seeds) != 1:
            return read(self.composer(overrides), self.notes)
        if others not in self.known:
            self.known[others] = self._read(others)
        known = self.known[others]
        if known is None:
            return read(self.composer(overrides), self.notes)
        self.notes |= known.notes
        seed: Any = self.composer.parse(seeds[0]).value()
        return known.run and replace(known.run, seed=seed), known.settings

    def prepare(self, combinations: Sequence[Sequence[str]]) -> None:
        """Reads combinations ahead, on all cores. Those that cannot be read are left until they are asked for."""
        groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for others in dict.fromkeys(others for seeds, others in map(_seeds, combinations) if seeds):
            with suppress(*HYDRA_ERRORS):
                groups.setdefault(self.composer.choices(others), []).append(others)
        for known in in_copies(self._read_group, list(groups.values())):
            self.known |= known

    def _read_group(self, group: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], _Read | None]:
        known = {}
        for others in group:
            with suppress(Exception):  # a user's module may raise anything
                known[others] = self._read(others)
        return known

    def _read(self, others: tuple[str, ...]) -> _Read | None:
        """What combinations have in common; None if other values depend on their seeds."""
        overrides = [*others, "seed=0"]
        if self.composer.interpolates("seed", overrides):
            return None
        notes: dict[str, None] = {}
        return _Read(*read(self.composer(overrides), notes), notes)


def _seeds(overrides: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The overrides of a combination that give its seed, and the others."""
    seeds = tuple(text for text in overrides if text.startswith("seed="))
    return seeds, tuple(text for text in overrides if text not in seeds)


def check_directories(composed: DictConfig) -> None:
    """Refuses Hydra directories that these launchers would not use."""
    for key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"):
        chosen = OmegaConf.select(composed, key, default=".")
        if chosen != ".":
            raise ConfigError(key, chosen, "left as it is: runs are stored in runs_dir, which you may set")


def of_the_launch(settings: Settings, composed: DictConfig) -> Settings:
    """The settings, completed for the whole launch: how it logs, and what its experiment is."""
    experiment = OmegaConf.select(composed, "hydra.runtime.choices").get("experiment")
    tracker = settings.tracker.of_experiment(experiment) if experiment else settings.tracker
    return replace(settings, logging=logging_of(composed), tracker=tracker)


def logging_of(composed: DictConfig) -> dict[str, Any]:
    """The logging of processes that compute runs: hydra/job_logging, and more of what hydra.verbose names."""
    config: Any = OmegaConf.to_container(composed.hydra.job_logging, resolve=True)
    if not config:
        return {}
    verbose = composed.hydra.verbose
    if verbose is True and config.get("root"):
        config["root"]["level"] = "DEBUG"
    elif verbose and verbose is not True:
        for name in [verbose] if isinstance(verbose, str) else verbose:
            config.setdefault("loggers", {}).setdefault(name, {})["level"] = "DEBUG"
    return dict(config)
