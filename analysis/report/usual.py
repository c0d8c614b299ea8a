"""The table and the curves of runs for which nothing is declared: by the values in which they differ."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from plasticity.composition.methods import recipes

from ..experiments import set_name
from ..load import config_columns, load_runs
from ..look import column_name
from ..points import LINE, PANEL, explain
from ..selection import LAYERS, depth_of, grouped, mixture, shown, with_derived
from .curves import Figure, panels

MOST_KEYS = 3
"""With more keys than this along its rows, a table is by network, method and what these do not tell apart."""

MOST_CURVES, MOST_PANELS = 12, 12
"""The most curves that can be told apart, and the most panels of a page."""


def sides(runs: pd.DataFrame) -> tuple[str, list[str]]:
    """The key along the columns of a table, or of a figure's curves, and the keys along its rows, or panels.

    The columns are replacement sets, where runs differ in them; else the key with the fewest values. What follows
    from the column is not shown again. Methods stand for the keys that follow from them.

    Args:
        runs: as returned by `analysis.summarise`.
    """
    keys = [key for key in config_columns(runs) if key != "seed" and runs[key].map(shown).nunique() > 1]
    column = LAYERS if LAYERS in keys else min(keys, key=lambda key: runs[key].nunique(), default=LAYERS)
    rows = [key for key in keys if key != column and not _follows(runs, key, [column])]
    if len(rows) < 2:
        return column, rows
    known = with_derived(runs, ["tuned", "method"])
    if all(_follows(known, key, ["method", column]) for key in rows):
        return column, ["method"]
    if len(rows) <= MOST_KEYS:
        return column, rows
    named = [key for key in ("tuned", "method") if known[key].map(shown).nunique() > 1]
    for key in rows:
        if not _follows(known, key, [*named, column]):
            named.append(key)
    return column, named


def _follows(runs: pd.DataFrame, key: str, others: Sequence[str]) -> bool:
    """Whether a key has one value for each combination of values of others."""
    groups = runs[key].map(shown).groupby([runs[other].map(shown) for other in others])
    return bool(groups.nunique().max() <= 1)


def replacement_sets(runs: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Which of its network's layers each run replaces, and what these sets are called.

    Returns:
        a value for each run, such as "all", "none" or "2,3", and their names, "all layers" first and "no
        replacement" last; the names are empty where a value is all layers of one network and some of another
    """
    texts = [shown(value) for value in runs[LAYERS]]
    known = [{str(key): value for key, value in run.items()} for run in runs.to_dict("records")]
    depths = [depth_of(run, runs) for run in known]
    layers = [[int(layer) for layer in text.split(",") if layer.isdecimal()] for text in texts]
    values = [
        "all" if own and len(own) == depth else text
        for own, depth, text in zip(layers, depths, texts, strict=True)
    ]
    distinct = dict(zip(values, layers, strict=True))
    names = {
        value: set_name(own, len(own) if value == "all" else 0)
        for value, own in sorted(
            distinct.items(), key=lambda one: (one[0] != "all", not one[1], len(one[1]), one[1])
        )
    }
    both = {text for text, value in zip(texts, values, strict=True) if value == "all"} & set(values)
    return values, {} if both else names


def table(runs: pd.DataFrame) -> dict[str, Any]:
    """The declaration of a table of some runs whose scores are of one kind."""
    column, rows = sides(runs)
    many = runs["dataset.name"].map(shown).nunique() > 1
    sections = {"sections": ["dataset.name"]} if many else {}
    rows = [key for key in rows if not many or key != "dataset.name"] or (
        ["dataset.name"] if not many else ["dataset.tasks"]
    )
    names = replacement_sets(runs)[1] if column == LAYERS else {}
    columns = {"replacement": names} if names else [column]
    methods = sorted(set(with_derived(runs, rows).get("method", ())))
    against = ["method=bp"] if "method" in rows else []
    has_none = column == LAYERS and "none" in set(runs[LAYERS].map(shown)) and runs[LAYERS].nunique() > 1
    has_none = has_none and (not methods or "bp" in methods)
    baseline = {"baseline": [*against, "replacement=none"]} if has_none else {}
    named = {key: _labels(methods) if key == "method" else None for key in rows}
    return {"rows": named if len(rows) < MOST_KEYS else rows, "columns": columns, **sections, **baseline}


def figures(
    runs: pd.DataFrame, paths: Sequence[str], columns: Sequence[str] = ()
) -> tuple[list[Figure], list[str]]:
    """Curves of those runs that are finished, whose scores are of one kind, and sentences on what is left out.

    Args:
        runs: as returned by `analysis.summarise`.
        paths: the directories that they are in.
        columns: what to show by task; by default, what runs are scored by.
    """
    finished = runs[runs["status"] == "finished"]
    if finished.empty:
        return [], ["No run is finished."]
    by, panel = sides(finished)
    finished = _with_labels(with_derived(finished, panel))
    if panel == ["method"] and _follows(finished, by, panel):
        by, panel = "method", []
    legend, line = _curves(finished, by)
    names = {LINE: line, PANEL: grouped(finished, panel, spelt=True)}
    left = [
        f"Curves are not shown: there are {number} values of {what}, more than {most}. "
        "The command curves draws those that you choose."
        for what, name, most in ((by, LINE, MOST_CURVES), (", ".join(panel), PANEL, MOST_PANELS))
        if (number := len(names[name].cat.categories)) > most
    ]
    if left:
        return [], left
    tasks = load_runs(*paths, runs=set(finished["run"])).copy()
    for name, own in names.items():
        tasks[name] = own.loc[tasks["run"]].array
    mixed = mixture(finished, [by, *panel], "These are means over runs")
    drawn = []
    for y in columns or dict.fromkeys(finished["score_name"]):
        said = [explain(tasks, y=y), *(sentence.partition(":")[0] + "." for sentence in mixed)]
        title = f"{column_name(y)} by task".capitalize()
        drawn.append(
            Figure(
                f"by-task-{y}",
                title,
                legend,
                list(map(str, tasks[LINE].cat.categories)),
                panels(tasks, y),
                said,
            )
        )
    return drawn, []


def _with_labels(runs: pd.DataFrame) -> pd.DataFrame:
    """Some runs with the methods called as in figures: "weight decay" in place of "l2"."""
    return runs.assign(method=runs["method"].map(_labels(runs["method"]))) if "method" in runs else runs


def _labels(methods: Iterable[str]) -> dict[str, str]:
    """What figures call methods, by their names."""
    known = {recipe.name: recipe.label for recipe in recipes().values()}
    return {name: known.get(name, name) for name in methods}


def _curves(runs: pd.DataFrame, by: str) -> tuple[str, pd.Series]:
    """The title of the legend, and the curve of each run by identity."""
    values, names = replacement_sets(runs) if by == LAYERS else ([], {})
    if not names:
        return by, grouped(runs, [by])
    called = pd.Categorical([names[value] for value in values], list(names.values()))
    return "replaced", pd.Series(called, index=runs["run"])
