"""Methods: recipes in `method/`. Each says what parts it chooses, and which of their keys are tuned for it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from plasticity.composition.groups import conf_directory
from plasticity.errors import ConfigError, UserError
from plasticity.part import Part, find
from plasticity.run import Run, flatten

DEFAULTS = {entry.name: type(entry.default) for entry in fields(Run) if isinstance(entry.default, Part)}
"""The class of each part of a run for which nothing is chosen, by config key."""

KINDS = {key: next(each for each in part.__mro__ if Part in each.__bases__) for key, part in DEFAULTS.items()}
"""The kind of each part of a run, such as `Activation`, by config key."""

NO_LAYERS: tuple[Any, ...] = ("none", [], ())
"""How a config spells that no layer's units are replaced."""

_further: list[Path] = []


def use(directory: Path) -> None:
    """Adds a further directory of configs, whose methods are then known, too."""
    if directory.absolute() not in _further:
        _further.append(directory.absolute())
        recipes.cache_clear()


def further_directories() -> tuple[Path, ...]:
    """The directories of configs that `use` added."""
    return tuple(_further)


@dataclass(frozen=True)
class Shape:
    """What a recipe is compared with: the parts of a run, or of a config that describes one.

    Attributes:
        parts: class of each part, by config key.
        replaces: whether units of any layer are replaced.
        value: the value of a dotted key; None if there is none.
    """

    parts: Mapping[str, type]
    replaces: bool
    value: Callable[[str], Any]

    @classmethod
    def of_run(cls, run: Run) -> "Shape":
        """The shape of a run."""
        parts = {key: type(part) for key, part in run.parts().items()}
        return cls(parts, bool(run.replacement.layers), flatten(run.values()).get)

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "Shape":
        """The shape of a stored run, from its values by dotted key; an unknown class fits no recipe."""
        parts: dict[str, type] = {}
        for key, default in DEFAULTS.items():
            name = values.get(f"{key}.name", default.name)
            try:
                parts[key] = find(KINDS[key], name, key)
            except ConfigError:
                parts[key] = type("Unknown", (), {"name": name})
        return cls(parts, values.get("replacement.layers") not in NO_LAYERS, values.get)

    @classmethod
    def of_config(cls, config: Any) -> "Shape":
        """The shape that a composed config describes."""
        parts = {key: part_of(config, key) for key in DEFAULTS}
        layers = OmegaConf.select(config, "replacement.layers")
        return cls(parts, layers not in NO_LAYERS, lambda key: OmegaConf.select(config, key))


def part_of(config: Any, key: str) -> type:
    """The class of a part that a composed config describes, by its config key."""
    target = OmegaConf.select(config, f"{key}._target_") or OmegaConf.select(config, f"{key}.method._target_")
    return DEFAULTS[key] if target is None else find(KINDS[key], target, f"{key}._target_")


@dataclass(frozen=True)
class Recipe:
    """A method.

    Attributes:
        name: its file in `method/`.
        label: what tables and figures call it.
        parts: the classes that it chooses, by config key.
        replaces: whether it replaces units.
        values: the other keys that it states, with their values.
        grid: the keys that are tuned for it, with the values that a search tries.
    """

    name: str
    label: str
    parts: Mapping[str, type]
    replaces: bool
    values: Mapping[str, Any]
    grid: Mapping[str, list[Any]]

    def part(self, key: str) -> type:
        """The class of a part that it has."""
        return self.parts.get(key, DEFAULTS.get(key, Part))

    def suits(self, shape: Shape) -> bool:
        """Whether a run has everything that the recipe states; it may have more."""
        return (
            self.replaces == shape.replaces
            and self.missing(shape.parts) is None
            and (not self.replaces or issubclass(shape.parts["replacement"], self.part("replacement")))
            and all(shape.value(key) == value for key, value in self.values.items() if key not in self.grid)
        )

    def fits(self, shape: Shape) -> bool:
        """Whether a run has the recipe's parts, and no others of a kind that methods choose."""
        kinds = _kinds()
        same = all(shape.parts[key] is self.part(key) for key in kinds - {"replacement"})
        exact = not self.replaces or shape.parts["replacement"] is self.part("replacement")
        return self.suits(shape) and same and exact

    def missing(self, parts: Mapping[str, type]) -> str | None:
        """The config key of a part, other than what is replaced, that it chooses and these do not have."""
        return next(
            (
                key
                for key, chosen in self.parts.items()
                if key != "replacement" and not issubclass(parts[key], chosen)
            ),
            None,
        )


class Recipes(Mapping[str, Recipe]):
    """The methods in some directories of configs, by name. Asking for one reads its file, once.

    Raises:
        UserError: when one is asked for whose file is not a method.
    """

    def __init__(self, directories: Iterable[Path]):
        paths = [path for root in directories for path in sorted((root / "method").glob("*.yaml"))]
        self._paths = {path.stem: path for path in paths}
        self._read = cache(_recipe)

    def __getitem__(self, name: str) -> Recipe:
        return self._read(self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@cache
def recipes() -> Recipes:
    """The methods that are known."""
    return Recipes((conf_directory(), *_further))


def _kinds() -> set[str]:
    """The config keys of the parts that make a method: what recipes choose, and what is done between tasks."""
    return {key for recipe in recipes().values() for key in recipe.parts} | {"intervention", "perturbation"}


def nearest(shape: Shape) -> Recipe | None:
    """Of the recipes that a run suits, or better fits, the one that states most; None if it suits none."""
    suitable = [recipe for recipe in recipes().values() if recipe.suits(shape)]
    fitting = [recipe for recipe in suitable if recipe.fits(shape)] or suitable
    return max(fitting, key=lambda recipe: len(recipe.parts) + len(recipe.values), default=None)


def method_name(run: Run, label: bool = False) -> str:
    """The method of a run: that of the recipe which its parts fit, or else the names of its parts.

    Args:
        run: the run.
        label: what tables and figures call it, in place of the name on the command line.
    """
    return name_of(Shape.of_run(run), label)


def name_of(shape: Shape, label: bool = False) -> str:
    """The method of a run of this shape, as `method_name` gives it."""
    found = nearest(shape)
    if found is not None and found.fits(shape):
        return found.label if label else found.name
    kinds = _kinds() - {"replacement"}
    chosen = [key for key in shape.parts if key in kinds and shape.parts[key] is not DEFAULTS[key]]
    if shape.replaces:
        chosen.insert(0, "replacement")
    return " + ".join(str(getattr(shape.parts[key], "name", "?")) for key in chosen) or "no method"


def _recipe(path: Path) -> Recipe:
    """Reads a file in `method/`."""
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
        about = content.pop("method", None) or {}
        listed = content.pop("defaults", [])
        defaults = [next(iter(one.items())) for one in listed if isinstance(one, dict)]
    except Exception as error:
        raise UserError(f"{path} cannot be read as a method ({type(error).__name__}: {error}).") from error
    inherited = [one for one in listed if isinstance(one, str) and one != "_self_"]
    inherited += [f"{key}: {choice}" for key, choice in defaults if key.split()[-1].strip("/") == "method"]
    if inherited:
        raise UserError(
            f"{path} is refused: a method states all of its parts itself, so that its defaults must be choices "
            f"such as override /regulariser: l2, and not another file ({inherited[0]})."
        )
    content.pop("hydra", None)
    if about.get("name") != path.stem:
        raise ConfigError("method.name", about.get("name"), f"{path.stem} in {path}, as the file is called")
    parts: dict[str, type] = {}
    values = flatten(content)
    for key, choice in defaults:
        group = key.removeprefix("override ").strip().lstrip("/").partition("@")[0]
        if group == "replacement" and "." not in str(choice):
            values["replacement.layers"] = choice
        elif group in DEFAULTS or group == "replacement/method":
            parts[group.partition("/")[0]] = find(Part, _target(path, group, choice), group)
        elif group == "replacement/utility":
            values["replacement.utility"] = choice
    for key in DEFAULTS:
        if target := values.pop(f"{key}._target_", None):
            parts[key] = find(Part, target, f"{key}._target_")
    layers = values.pop("replacement.layers", "all")
    grid = {str(key): list(tried) for key, tried in (about.get("grid") or {}).items()}
    label = str(about.get("label", path.stem))
    return Recipe(path.stem, label, parts, layers not in NO_LAYERS, values, grid)


def _target(path: Path, group: str, choice: Any) -> str:
    """The import path of the class that a choice of a group names."""
    for root in (path.parent.parent, conf_directory(), *_further):
        file = root / group / f"{choice}.yaml"
        if file.is_file():
            loaded = OmegaConf.load(file)
            assert isinstance(loaded, DictConfig)
            return str(loaded.get("_target_"))
    if "." in str(choice):
        return str(choice)
    raise ConfigError(group, choice, f"the name of a choice, in {path}, or an import path")
