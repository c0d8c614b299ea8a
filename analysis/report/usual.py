"""The table and the curves of runs for which nothing is declared: by the values in which they differ."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..load import config_columns, load_runs
from ..look import column_name
from ..points import LINE, PANEL, explain
from ..selection import LAYERS, grouped, mixture, shown, with_derived
from .curves import Figure, panels

MOST_KEYS = 3
"""With more keys than this along its rows, a table is by network and method instead."""

MOST_CURVES, MOST_PANELS = 12, 12
"""The most curves that can be told apart, and the most panels of a page."""


def sides(runs: pd.DataFrame) -> tuple[str, list[str]]:
    """The key along the columns of a table, or of a figure's curves, and the keys along its rows, or panels.

    The columns are replacement sets, where runs differ in them; else the key with the fewest values. What follows
    from the column is not shown again.

    Args:
        runs: as returned by `analysis.summarise`.
    """
    keys = [key for key in config_columns(runs) if key != "seed" and runs[key].map(shown).nunique() > 1]
    column = LAYERS if LAYERS in keys else min(keys, key=lambda key: runs[key].nunique(), default=LAYERS)
    rows = [key for key in keys if key != column and not _follows(runs, key, column)]
    return column, ["tuned", "method"] if len(rows) > MOST_KEYS else rows


def _follows(runs: pd.DataFrame, key: str, other: str) -> bool:
    """Whether a key has one value for each value of another."""
    return bool(runs[key].map(shown).groupby(runs[other].map(shown)).nunique().max() <= 1)


def table(runs: pd.DataFrame) -> dict[str, Any]:
    """The declaration of a table of some runs whose scores are of one kind."""
    column, rows = sides(runs)
    many = runs["dataset.name"].map(shown).nunique() > 1
    sections = {"sections": ["dataset.name"]} if many else {}
    rows = [key for key in rows if not many or key != "dataset.name"] or (
        ["dataset.name"] if not many else ["dataset.tasks"]
    )
    against = ["method=bp"] if "method" in rows else []
    has_none = column == LAYERS and "none" in set(runs[LAYERS].map(shown)) and runs[LAYERS].nunique() > 1
    baseline = {"baseline": [*against, "replacement=none"]} if has_none else {}
    return {"rows": rows, "columns": [column], **sections, **baseline}


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
    finished = with_derived(finished, panel)
    names = {LINE: grouped(finished, [by]), PANEL: grouped(finished, panel, spelt=True)}
    left = [
        f"Curves are not shown: {what} has {number} values, more than {most}. "
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
                f"by-task-{y}", title, by, list(map(str, tasks[LINE].cat.categories)), panels(tasks, y), said
            )
        )
    return drawn, []
