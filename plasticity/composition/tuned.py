"""Tuned networks: which of the values in a file of `tuned/` a run gets, by its method."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from plasticity.composition.methods import DEFAULTS, Shape, method_name, nearest, part_of, recipes
from plasticity.errors import ConfigError
from plasticity.part import one_of, unknown_key
from plasticity.run import Run

DEFAULT = "<default>"
"""Stands where a file of `tuned/` has no value for a run's method: the default of the part applies."""

KEYS = ("network", "activation", "methods", "method")

EARLIER = {"step_size": "optimiser.step_size", "rate": "replacement.rate", "strength": "regulariser.strength"}
"""What files of `tuned/` once called the values of a method, directly under `tuned`; and what they are now."""


def value(key: str, *, _root_: DictConfig) -> Any:
    """The tuned value of a key for the method of the run that a config describes: `${tuned:optimiser.step_size}`.

    It is that for the run's method, if the run has the part that it was tuned for. A method may also have values
    for parts that only it chooses: these apply to any run with such a part.
    """
    methods = OmegaConf.select(_root_, "tuned.methods") or {}
    chosen = method_of(_root_)
    group = key.partition(".")[0]
    for name in [chosen, *methods]:
        recipe = recipes().get(str(name))
        if name not in methods or key not in methods[name] or recipe is None:
            continue
        if group not in DEFAULTS or not issubclass(part_of(_root_, group), recipe.part(group)):
            continue
        if name == chosen or group in recipe.parts:
            return methods[name][key]
    return DEFAULT


OmegaConf.register_new_resolver("tuned", value, replace=True)


def method_of(config: Any) -> str | None:
    """The method whose tuned values a config asks for: tuned.method, else that chosen, else that of its parts."""
    for key in ("tuned.method", "method.name"):
        if (given := OmegaConf.select(config, key)) is not None:
            return str(given)
    found = nearest(Shape.of_config(config))
    return None if found is None else found.name


def without_defaults(values: Any) -> Any:
    """Nested values without those that are left to the defaults of their parts."""
    if not isinstance(values, dict):
        return values
    return {key: without_defaults(one) for key, one in values.items() if one != DEFAULT}


def check(tuned: Mapping[str, Any], method: str | None, run: Run) -> None:
    """Refuses hyperparameters of a method that a run contradicts.

    Raises:
        ConfigError: naming the key.
    """
    for key, given in tuned.items():
        if key in recipes() and isinstance(given, Mapping):
            raise _earlier(key, given)
        if key not in KEYS:
            raise unknown_key(f"tuned.{key}", given, [f"tuned.{name}" for name in KEYS])
    known, given = list(tuned.get("methods") or {}), tuned.get("method")
    typed = "method" if given is None else "tuned.method"
    if "network" not in tuned:
        raise ConfigError("tuned.method", given, "left out, or chosen together with tuned=NETWORK")
    if given is not None and given not in known:
        raise ConfigError("tuned.method", given, one_of(known))
    recipe = recipes().get(str(method))
    if recipe is None or method not in known:
        return
    parts = {key: type(part) for key, part in run.parts().items()}
    lacking = recipe.missing(parts)
    others = [name for name in known if name in recipes() and recipes()[name].missing(parts) is None]
    if run.replacement.layers and not recipe.replaces:
        replacing = [name for name in others if recipes()[name].replaces]
        raise ConfigError(typed, method, f"{one_of(replacing)} where units are replaced")
    if lacking is not None:
        chosen = f"{lacking}={recipe.part(lacking).name}"  # type: ignore[attr-defined]
        raise ConfigError(typed, method, f"{one_of(others)} without {chosen}")


def _earlier(method: str, values: Mapping[str, Any]) -> ConfigError:
    """The error for a file of `tuned/` in the older format, in which values did not stand by method under a run's
    keys."""
    now = {EARLIER.get(key, key): value for key, value in values.items()}
    listed = ", ".join(f"{key}: {value}" for key, value in now.items())
    applied = next(iter(now), "optimiser.step_size")
    group, _, key = applied.partition(".")
    return ConfigError(
        f"tuned.{method}", dict(values), f"written as tuned: {{methods: {{{method}: {{{listed}}}}}}}, and each key "
        f"applied where it belongs, as in {group}: {{{key}: '${{tuned:{applied}}}'}}; see conf/tuned/width_20.yaml",
    )  # fmt: skip


def notes(tuned: Mapping[str, Any], method: str | None, run: Run) -> Iterator[str]:
    """What a user should know of the tuned values that a run has, or lacks: sentences."""
    network, methods = f"tuned={tuned['network']}", tuned.get("methods") or {}
    if (activation := tuned.get("activation")) not in (None, run.activation.name):
        yield f"{network}: its values were tuned for activation={activation}, and not for {run.activation.name}."
    replaced = run.replacement.layers
    if method is None or method not in methods:
        name = method or (run.replacement.name if replaced else "this method")
        yield f"{network} has no values for {name}: the defaults apply."
        return
    recipe, shape = recipes().get(method), Shape.of_run(run)
    if recipe and tuned.get("method") is None and recipe.suits(shape) and not recipe.fits(shape):
        yield f"{network} has no values for {method_name(run)}: those of {method} apply where they can."
    for key in methods[method]:
        group = key.partition(".")[0]
        part = run.parts().get(group)
        if part is None or recipe is None or (group == "replacement" and not replaced):
            continue
        if group in DEFAULTS and not isinstance(part, recipe.part(group)):
            yield f"{network}: {key} of {method} is not used by {part.name}."
