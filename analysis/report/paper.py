"""What a page shows about the paper's runs: Table 1, its comparison, findings and figures."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from plasticity.errors import UserError

from ..experiments import Experiment
from ..load import load_runs
from ..paper import CELLS, COLUMNS, COMPARISON, GRID, NETWORKS, TABLE
from ..paper.claims import EXPLANATIONS
from ..paper.figures import FIGURES, objective_name, rows
from ..paper.findings import layout as findings_layout
from ..paper.grid import DIGITS, as_cells, cells
from ..paper.judgement import findings
from ..paper.notes import measured, notes
from ..points import LINE
from ..render import Table
from ..tables.beside import comparison
from ..tables.layout import described, layout
from ..tables.published import compare
from ..tables.summary import summarised, with_best
from .curves import Figure, by_layer, panels
from .page import Block

EXPERIMENTS = ("table_1", "paper")
"""The experiments that are the paper's table and claims."""

OF_THE_PAPER = 0.5
"""The share of a table's or figure's runs that have to be there for runs to be taken as those of the paper."""


def is_papers(runs: pd.DataFrame, experiment: Experiment | None, seeds: int) -> bool:
    """Whether runs are those of Table 1: its experiment's, or at least half of those of its cells."""
    if experiment is not None:
        return experiment.name in EXPERIMENTS and bool(experiment.finished)
    finished = runs[runs["score"].notna()]
    if len(finished) < OF_THE_PAPER * len(NETWORKS) * len(COLUMNS):
        return False
    try:
        found = cells(runs, COLUMNS, seeds)
    except UserError:  # they are of other experiments, or of several lengths
        return False
    return bool(found["score"].notna().mean() >= OF_THE_PAPER)


def tables(runs: pd.DataFrame, experiment: Experiment | None, seeds: int) -> tuple[list[Block], list[Block]]:
    """Table 1 and its comparison with the published one; and the findings.

    Args:
        runs: as returned by `analysis.summarise`.
        experiment: the experiment that they are of, if it is known.
        seeds: number of seeds.
    """
    length: dict[str, int] = {}
    if experiment is not None:
        dataset = next(iter(experiment.runs.values())).dataset
        length = {"tasks": dataset.tasks, "examples_per_task": dataset.examples_per_task}
        seeds = int(experiment.found["seed"].max()) + 1
    found = cells(runs, COLUMNS, seeds, **length)
    own = as_cells(found)
    table = with_best(
        summarised(own, GRID, 100, TABLE.statistic), TABLE.best, TABLE.among, DIGITS, higher=True
    )
    what = described(replace(COMPARISON.measure, over=measured(found)), TABLE.statistic)
    shown = layout(table, GRID, TABLE.statistic, DIGITS, what, TABLE.best_is or "")
    beside = comparison(compare(own, COMPARISON), COMPARISON)
    everything = cells(runs, CELLS, seeds, **length)
    judged = findings_layout(findings(everything))
    said = [f"Scores: mean online accuracy over {measured(everything)}.", *EXPLANATIONS]
    return [
        Block("Table 1", _noted(shown, notes(runs, found))),
        Block("Table 1 beside the published", beside),
    ], [
        Block(
            "The claims, judged on these runs", _noted(judged, [*said, *notes(runs, everything)]), wraps=True
        )
    ]


def _noted(table: Table, sentences: Sequence[str]) -> Table:
    return replace(table, notes=[*table.notes, *sentences])


def figures(
    runs: pd.DataFrame, paths: Sequence[str], names: Sequence[str], overrides: Sequence[str] = ()
) -> list[Figure]:
    """Those of some of the paper's figures that have at least half of their runs.

    Args:
        runs: as returned by `analysis.summarise`.
        paths: the directories that they are in.
        names: keys of `analysis.paper.figures.FIGURES`.
        overrides: further arguments of their experiments' commands; figures that they do not fit are left out.
    """
    experiments = {}
    for name in names:
        try:
            experiment = Experiment.of(name, overrides, runs)
        except UserError:
            continue
        if len(experiment.finished) >= OF_THE_PAPER * len(experiment.runs):
            experiments[name] = experiment
    needed = set().union(*(experiment.finished for experiment in experiments.values()))
    tasks = load_runs(*paths, runs=needed)
    return [_figure(name, experiment, tasks) for name, experiment in experiments.items()]


def _figure(name: str, experiment: Experiment, tasks: pd.DataFrame) -> Figure:
    declared = FIGURES[name]
    frame, said = rows(name, experiment, tasks)
    if declared.by_layer:
        drawn = [panel for measure in declared.by_layer for panel in by_layer(frame, measure)]
    else:
        drawn = panels(frame, objective_name(experiment))
    called = f"Figure {name.removeprefix('figure_')}. " if name.startswith("figure_") else ""
    legend = declared.line.__name__.replace("_", " ")
    return Figure(
        name, called + declared.title, legend, list(map(str, frame[LINE].cat.categories)), drawn, said
    )
