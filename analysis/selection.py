"""Selects runs by conditions, and groups them by the values of keys."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from plasticity.composition.methods import DEFAULTS as PART_KEYS
from plasticity.composition.methods import Shape, name_of
from plasticity.errors import ImpossibleLayer, UserError
from plasticity.replacement.layers import NAME, resolve
from plasticity.run import number_text, short_key

from .load import config_columns
from .networks import network_name

LAYERS = "replacement.layers"
"""The column of the layers that a run replaces."""


def where(runs: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """The runs that meet all conditions.

    Args:
        runs: as returned by `analysis.summarise`.
        conditions: each "column=value", such as "status=failed", "seed=0", "activation=relu",
            "replacement=layer_1", "replacement.layers=1,3" or "replacement.layers=[1,3]".

    Raises:
        UserError: for a malformed condition, a column that does not exist, or a value that no run has.
    """
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition} is refused: it must be KEY=VALUE.")
        name = column(runs, key)
        chosen = runs[matching(runs, name, value)]
        if chosen.empty:
            values = sorted({shown(own) or "nothing" for own in runs[name]})
            there = ", ".join(values[:20] + ["…"] * (len(values) > 20))
            raise UserError(f"No run has {condition}. Values of {name} are: {there}.")
        runs = chosen
    return runs


def matching(runs: pd.DataFrame, name: str, value: str) -> np.ndarray:
    """Which runs have a value in a column, spelt as on the command line, such as a name of layers: [runs]."""
    if name == LAYERS and NAME.fullmatch(value):  # which layers these are depends on the network
        keys = [key for key in map(str, runs) if key == LAYERS or key.startswith("model.")]
        known = [dict(zip(keys, row, strict=True)) for row in runs[keys].itertuples(index=False)]
        return np.array([_is_set(run, value, runs) for run in known], bool)
    return np.array([_same(own, value) for own in runs[name]], bool)


def column(runs: pd.DataFrame, key: str, option: str = "--where") -> str:
    """The column that a key names.

    A group, such as `activation`, stands for its name, `replacement` for its set, and `engine`, like all else that
    is known of how a run was computed, for its column of provenance.

    Raises:
        UserError: when there is none; it names the option that gave the key.
    """
    for name in (LAYERS if key == "replacement" else key, f"{key}.name", f"provenance.{key}"):
        if name in runs:
            return name
    columns = [str(name) for name in runs]
    close = get_close_matches(key, columns, n=1, cutoff=0.5)
    meant = f"{close[0]} (did you mean that?), or another of " if close else "one of "
    others = ", ".join(name for name in columns if name not in close)
    raise UserError(f"{option} {key} is refused: it must be {meant}{others}.")


def _is_set(run: Mapping[str, object], name: str, runs: pd.DataFrame) -> bool:
    """Whether the layers that a run replaces are those of a replacement set."""
    try:
        return shown(run[LAYERS]) == (",".join(map(str, resolve(name, depth_of(run, runs)))) or "none")
    except ImpossibleLayer:
        return False


def depth_of(run: Mapping[str, object], runs: pd.DataFrame) -> int:
    """Number of hidden layers of a run; for a model whose keys do not say, the most that any run of it replaces."""
    lists = [shown(run.get(f"model.{key}")) for key in ("widths", "channels", "hidden")]
    if listed := sum(len(one.split(",")) for one in lists if one):
        return listed
    if depth := shown(run.get("model.depth")):
        return int(depth)
    sets = runs.loc[runs["model.name"] == run["model.name"], LAYERS].map(shown)
    return max((int(layer) for one in sets for layer in one.split(",") if layer.isdecimal()), default=0)


def _same(own: object, asked: str) -> bool:
    """Whether a run's value is the one asked for, however its number or list is spelt."""
    if isinstance(own, (int, float)) and not isinstance(own, bool) and own == own:
        try:
            return float(asked) == own
        except ValueError:
            return False
    return shown(own).lower() in (asked.lower(), asked.strip("[]").replace(" ", "").lower() or "none")


def shown(value: object) -> str:
    """A value as on the command line; whole numbers that a column holds as floats lose their decimal point."""
    if value is None or value != value:
        return ""
    return number_text(value) if isinstance(value, float) else str(value)


def grouped(runs: pd.DataFrame, keys: Sequence[str], spelt: bool = False) -> pd.Series:
    """What each run is called by the values of some keys, such as "relu, 0.005": categorical, in their order.

    Args:
        runs: as returned by `analysis.summarise`.
        keys: columns; if there are none, all runs are called "".
        spelt: with the names of the keys, as in "activation relu, step size 0.005".

    Returns:
        a series by identity
    """
    ordered = runs.sort_values(list(keys), na_position="first") if keys else runs
    before = [f"{short_key(key).replace('_', ' ')} " if spelt else "" for key in keys]
    names = [
        ", ".join(f"{word}{shown(value) or 'nothing'}" for word, value in zip(before, row, strict=True))
        for row in ordered[list(keys)].to_numpy(object)
    ]
    return pd.Series(pd.Categorical(names, list(dict.fromkeys(names))), index=ordered["run"])


def mixed(runs: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The config keys, other than the seed, that vary among runs with the same values of some keys.

    Args:
        runs: as returned by `analysis.summarise`.
        keys: columns.
    """
    others = [key for key in config_columns(runs) if key not in (*keys, "seed")]
    groups = [group for _, group in runs.groupby(list(keys), dropna=False)] if keys else [runs]
    return [key for key in others if any(varies(group, key) for group in groups)]


def varies(runs: pd.DataFrame, key: str) -> bool:
    """Whether runs differ in a key, rather than only in whether their parts have it, which the parts' names tell.

    Args:
        runs: as returned by `analysis.summarise`.
        key: a column.
    """
    values, name = runs[key].map(shown), f"{key.partition('.')[0]}.name"
    if values.nunique() < 2:
        return False
    if key == name or name not in runs or values[values != ""].nunique() > 1:
        return True
    return bool(values.groupby(runs[name].map(shown)).nunique().gt(1).any())


def mixture(runs: pd.DataFrame, keys: Sequence[str], means: str) -> list[str]:
    """A sentence that warns of means over runs that differ in more than some keys; none if they do not.

    Args:
        runs: as returned by `analysis.summarise`.
        keys: columns.
        means: how the sentence begins, such as "Means are over runs".
    """
    others = mixed(runs, keys)
    if not others:
        return []
    them = "it" if len(others) == 1 else "them"
    return [f"{means} that differ in {', '.join(others)}: add {them} to --by, or choose with --where."]


def with_derived(runs: pd.DataFrame, keys: Sequence[str], conditions: Sequence[str] = ()) -> pd.DataFrame:
    """Some runs with the columns of `DERIVED` that any of some keys and conditions are about.

    Args:
        runs: as returned by `analysis.summarise`.
        keys: such as "method".
        conditions: such as "method=bp".
    """
    asked = {*keys, *(condition.partition("=")[0] for condition in conditions)}
    for name, derive in DERIVED.items():
        if name in asked:
            runs = derive(runs)
    return runs


def with_method(runs: pd.DataFrame) -> pd.DataFrame:
    """Some rows with a column `method`: the name of the recipe that a run's parts fit, or the names of its parts.

    Args:
        runs: as returned by `analysis.summarise` or `analysis.load_runs`.
    """
    keys = [name for name in map(str, runs) if name.partition(".")[0] in PART_KEYS]
    kinds = runs[keys].drop_duplicates()
    values = [dict(zip(keys, row, strict=True)) for row in kinds.itertuples(index=False)]
    named = kinds.assign(method=[name_of(Shape.of_values(each)) for each in values])
    return runs.merge(named, on=keys, how="left")


def with_network(runs: pd.DataFrame) -> pd.DataFrame:
    """Some rows with a column `tuned`: the file in `tuned/` whose values a run has, or nothing."""
    return runs.assign(tuned=runs.apply(lambda run: network_name(run.to_dict()), axis="columns"))


DERIVED = {"method": with_method, "tuned": with_network}
"""What adds the columns that are not stored with runs, but follow from their configs."""
