"""The command that writes a page about some runs: python -m plasticity.analysis report --help."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from plasticity.arguments import positive
from plasticity.errors import UserError, one_line
from plasticity.machine.files import atomic_write

from ..command import config_argument, output_argument, parsed, source_arguments, sources
from ..entry import command
from ..experiments import Experiment
from ..load import summarise
from ..paper.figures import FIGURES
from ..render import Cell, Section, Table
from ..runs import counted, listing
from ..selection import LAYERS, shown, where, with_derived
from ..tables.declaration import declare
from ..tables.table import cell_arguments, contents_of
from . import paper, usual
from .library import script
from .page import Block, Part, page

DECLARED = ("rows", "columns", "sections", "baseline", "margin")
"""The options that declare a table of its own."""

VERSIONS = ("version", "commit", "engine", "python", "numpy", "torch")
"""What is known of the code that computed a run, by column of provenance."""


def main() -> None:
    """Reads the arguments, finds the runs, writes the page."""
    arguments = _arguments()
    drawing = script()
    paths = sources(arguments) or ["runs"]
    runs = summarise(*paths)
    experiment, said = None, []
    if arguments.experiment:
        name, *overrides = arguments.experiment
        experiment = Experiment.of(name, overrides, runs, arguments.config_dir)
        runs, said = runs[runs["run"].isin(list(experiment.runs))], experiment.missing()
    if runs.empty:
        raise UserError(
            "\n".join(said) or f"There are no runs in {', '.join(paths)} yet: python launch.py computes one."
        )
    chosen = arguments.where or []
    runs = where(with_derived(runs, [], chosen), chosen).reset_index(drop=True)
    title = " ".join(
        ["Report on", *([f"experiment={experiment.name}", *experiment.overrides] if experiment else paths)]
    )
    text = page(title, [counted(runs), *said], _parts(arguments, runs, paths, experiment), drawing)
    try:
        atomic_write(arguments.output, text)
    except OSError as error:
        raise UserError(
            f"--output {arguments.output} is refused: it cannot be written ({error.strerror})."
        ) from error
    print(f"Report: {arguments.output}")


def _parts(
    arguments: argparse.Namespace, runs: pd.DataFrame, paths: Sequence[str], experiment: Experiment | None
) -> list[Part]:
    """What the page holds."""
    tables, judged = list[Block](), list[Block]()
    papers = paper.is_papers(runs, experiment, arguments.seeds)
    if papers:
        tables, judged = paper.tables(runs, experiment, arguments.seeds)
    readable = runs[runs["status"] != "unreadable"]
    if any(getattr(arguments, name) for name in (*DECLARED, "table")):
        tables.insert(0, _table(arguments, readable, paths, {}))
    elif not papers or experiment is None:
        tables += [_table(arguments, own, paths, usual.table(own)) for own in _kinds(readable)]
    drawn, left = paper.figures(runs, paths, *_papers_figures(papers, experiment)), list[str]()
    for own in [] if drawn else _kinds(readable):
        figures, sentences = usual.figures(own, paths, arguments.y)
        drawn, left = [*drawn, *figures], [*left, *sentences]
    parts = [
        Part("Tables", tables),
        Part("Findings", judged),
        Part("Figures", figures=drawn, said=left),
        Part("Runs", _runs(runs)),
        Part("Versions", [_versions(runs)]),
    ]
    return [part for part in parts if part.blocks or part.figures or part.said]


def _papers_figures(papers: bool, experiment: Experiment | None) -> tuple[list[str], Sequence[str]]:
    """The paper's figures to look for, and the arguments of their commands."""
    if experiment is not None and experiment.name in FIGURES:
        return [experiment.name], experiment.overrides
    return (list(FIGURES), experiment.overrides if experiment else ()) if papers else ([], ())


def _kinds(runs: pd.DataFrame) -> list[pd.DataFrame]:
    """The runs by what they are scored by: an accuracy and an error have no common mean."""
    return [own for _, own in runs.groupby("score_name")]


def _table(
    arguments: argparse.Namespace, runs: pd.DataFrame, paths: Sequence[str], usually: dict[str, object]
) -> Block:
    """The table that the arguments or the runs declare."""
    options = {name: getattr(arguments, name) for name in (*DECLARED, "experiment", "where")}
    given = {name: value for name, value in options.items() if value is not None}
    contents = contents_of(declare(arguments.table, usually | given), runs, paths, arguments.config_dir)
    declaration = contents.declaration
    try:
        _, table = contents.beside_baseline(False) if declaration.baseline else contents.alone()
    except UserError:  # no cell has a baseline
        if arguments.baseline:
            raise
        _, table = contents.alone()
    *others, last = map(_called, [*declaration.rows.keys, *declaration.columns.keys])
    title = f"{contents.measure.name} by {', '.join(others)} and {last}"
    number, which = contents.lacking()
    noted = replace(table, notes=[*table.notes, *contents.remarks(), *number])
    return Block(title[:1].upper() + title[1:], noted, lacking=which)


def _called(key: str) -> str:
    """What a heading calls a key."""
    known = {"tuned": "network", "replacement": "replacement set", LAYERS: "replacement set"}
    return known.get(key, key.removesuffix(".name"))


def _runs(runs: pd.DataFrame) -> list[Block]:
    """The runs: those that failed, all, and what computes each."""
    failed = runs[runs["reason"].notna()]
    blocks = (
        [Block("Runs that failed", _with_commands(failed, ["status", "reason"]), wraps=True)]
        if len(failed)
        else []
    )
    listed = replace(listing(runs), notes=[])
    return [
        *blocks,
        Block("All runs", listed),
        Block("Commands", _with_commands(runs, []), folded=True, wraps=True),
    ]


def _with_commands(runs: pd.DataFrame, columns: Sequence[str]) -> Table:
    names = ["run", *columns, "command"]
    rows = [
        [Cell(one_line(str(run[name])) if pd.notna(run[name]) else "") for name in names]
        for _, run in runs.iterrows()
    ]
    return Table(names, [Section("", rows)])


def _versions(runs: pd.DataFrame) -> Block:
    """How many runs were computed by which code."""
    known = runs.reindex(columns=[f"provenance.{name}" for name in VERSIONS])
    counts = known.map(shown).value_counts(sort=True)
    rows = [
        [Cell(str(number)), *(Cell(value or "unknown") for value in values)]
        for values, number in counts.items()
        if isinstance(values, tuple)
    ]
    return Block("What computed the runs", Table(["runs", *VERSIONS], [Section("", rows)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis report",
        description="Writes a self-contained HTML page about some runs: tables, findings, figures, every run with "
        "the command that computes it, and versions.",
    )
    source_arguments(parser, "runs")
    config_argument(parser)
    cell_arguments(parser)
    parser.add_argument(
        "--table",
        metavar="NAME|FILE",
        help="a table declared in conf/table/, or in a file; options override it",
    )
    parser.add_argument("--margin", metavar="M", type=float, help="the smallest difference that counts")
    parser.add_argument(
        "--y",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="what curves show (default: what runs are scored by)",
    )
    parser.add_argument(
        "--seeds", type=positive, default=3, metavar="N", help="number of seeds of Table 1 (default: 3)"
    )
    output_argument(parser, "report.html", "FILE", "file to write")
    return parsed(parser)


if __name__ == "__main__":
    command(main)
