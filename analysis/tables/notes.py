"""The notes below a table: what it lacks, what computes that, and what its numbers hide."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

import pandas as pd

from plasticity.errors import Diverged

from ..brief import brief
from ..experiments import problem
from .cells import Asked
from .grid import Grid

MOST = 12
"""The most commands or runs that are listed."""


def lacking(found: pd.DataFrame, name: Callable[[str], str], title: Callable[[str], str]) -> list[str]:
    """Every run without a score, and why: a line for each row, problem and set of seeds.

    Args:
        found: as returned by `analysis.tables.cells.cells`.
        name, title: what a row and a column are called, by key.
    """
    none = found[found["score"].isna()]
    if none.empty:
        return []
    none = none.assign(problem=none.apply(problem, axis=1))
    lines: dict[tuple[str, str, str], list[str]] = {}
    for key, cell in none.groupby(["row", "problem", "column"], sort=False):
        row, why, column = map(str, key)
        seeds = ", ".join(map(str, dict.fromkeys(cell["seed"])))
        lines.setdefault((row, seeds, why), []).append(title(column))
    return [
        f"{name(row)}, {', '.join(columns)}, seed {seeds}: {why}."
        for (row, seeds, why), columns in lines.items()
    ]


def missing(found: pd.DataFrame, grid: Grid, asked: Asked) -> tuple[list[str], list[str]]:
    """How much the cells of a table lack; and what, with the commands that compute it.

    Args:
        found: as returned by `analysis.tables.cells.cells`, and further runs that it needs.
        grid: the cells.
        asked: the runs that the table asks for.
    """
    none = found[found["score"].isna()].drop_duplicates("run")
    if none.empty:
        return [], []
    titles = {column.key: column.label for column in grid.columns}
    of = f" of experiment={asked.experiment.name}" if asked.experiment else ""
    unmeasured = int((none["status"] == "finished").sum())
    measure = [f"{unmeasured} of them are finished, but lack the number shown."] if unmeasured else []
    number = f"Missing: {len(none)} of {found['run'].nunique()} runs{of}."
    which = lacking(found, grid.name, lambda key: titles.get(key, key))
    return [number, *diverged(none), *measure], [*which, *commands(none, asked, bool(unmeasured))]


def diverged(none: pd.DataFrame) -> list[str]:
    """A sentence on runs that diverged, which have no score."""
    number = sum(Diverged.caused(reason) for reason in none["reason"] if isinstance(reason, str))
    if not number:
        return []
    return [f"{number} of them diverged: the numbers shown are those of the runs that did not."]


def commands(none: pd.DataFrame, asked: Asked, unmeasured: bool) -> list[str]:
    """The commands that compute some runs: that of their experiment, or one for each setting.

    Args:
        none: a row for each run.
        asked: the runs that the table asks for.
        unmeasured: whether some of them are finished and lack measures.
    """
    end = " launch.missing_measures=compute" if unmeasured else ""
    if asked.experiment:
        return [f"To compute what is missing: {asked.experiment.command}{end}"]
    settings = [own for _, own in none.groupby("setting", sort=False)]
    more = (
        f"… and {len(settings) - MOST} more settings: --experiment computes all with one command, and --where "
        "chooses some."
    )
    left = [more] if len(settings) > MOST else []
    return [*(f"To compute what is missing: {_command(own)}{end}" for own in settings[:MOST]), *left]


def _command(runs: pd.DataFrame) -> str:
    """The command that computes runs that differ in their seeds alone."""
    seeds = ",".join(map(str, sorted(set(runs["seed"]))))
    one = brief(str(runs["command"].iloc[0]), str(runs["run"].iloc[0]))
    command = re.sub(r"\bseed=\d+", f"seed={seeds}", one)
    return command.replace("launch.py", "launch.py -m", 1) if "," in seeds else command


def nowhere(found: pd.DataFrame, asked: Asked) -> list[str]:
    """Sentences on runs that are in no cell, or cannot be read."""
    out = asked.runs[~asked.runs["run"].isin(set(found["run"])) & (asked.runs["status"] != "absent")]
    said = (
        [f"{len(out)} of the runs found {'is' if len(out) == 1 else 'are'} in no cell."] if len(out) else []
    )
    left = asked.unreadable["run"]
    names = ", ".join([*left[:MOST], *(["…"] if len(left) > MOST else [])])
    return [*said, *([f"Left out, since they cannot be read: {names}."] if len(left) else [])]


def uncompared(found: pd.DataFrame, others: pd.DataFrame, grid: Grid) -> list[str]:
    """A sentence on cells that have no baseline to be compared with.

    Args:
        found, others: as returned by `analysis.tables.cells.cells`, of the cells and of their baselines.
        grid: the cells.
    """
    titles = {column.key: column.label for column in grid.columns}
    there = set(zip(others["row"], others["column"], strict=True))
    alone = [
        f"{grid.name(row)}, {titles[column]}"
        for row, column in dict.fromkeys(zip(found["row"], found["column"], strict=True))
        if (row, column) not in there
    ]
    more = [f"and {len(alone) - MOST} more"] if len(alone) > MOST else []
    return [f"Not compared, for lack of a baseline: {'; '.join([*alone[:MOST], *more])}."] if alone else []


def mixture(found: pd.DataFrame, keys: Iterable[str]) -> list[str]:
    """A sentence on cells that hold runs of several settings; none if there are none.

    Args:
        found: as returned by `analysis.tables.cells.cells`.
        keys: the columns of the runs that hold their configs.
    """
    cells = [own for _, own in found.groupby(["row", "column"]) if own["setting"].nunique() > 1]
    differ = [
        key
        for key in keys
        if key not in ("seed", "tasks") and any(own[key].nunique(dropna=False) > 1 for own in cells)
    ]
    if not differ:
        return []
    return [
        f"Cells are means over runs that also differ in {', '.join(differ)}: within each seed first, if it has all "
        "of them. A row, column or section for each, or --where, separates them."
    ]


def versions(found: pd.DataFrame) -> list[str]:
    """A sentence if the runs shown were computed by different versions, commits or engines."""
    keys = ["provenance.version", "provenance.commit", "provenance.engine"]
    shown = found.dropna(subset="score").drop_duplicates("run").reindex(columns=keys).fillna("unknown")
    counts = Counter(shown.itertuples(index=False, name=None))
    if len(counts) < 2:
        return []
    listed = "; ".join(
        f"{number} by {version} ({_short(commit)}), engine {engine}"
        for (version, commit, engine), number in counts.most_common()
    )
    return [f"The runs were computed by different versions: {listed}."]


def _short(commit: str) -> str:
    """A commit, abbreviated for people; "-dirty" stays."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]+", r"\1", commit)
