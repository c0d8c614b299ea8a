"""The command that draws the paper's figures from your own runs: python -m plasticity.analysis figures --help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from plasticity.errors import UserError
from plasticity.machine.progress import tracked
from plasticity.training.score import window

from .. import drawing
from ..command import (
    config_argument,
    labels_of,
    look_arguments,
    look_of,
    output_argument,
    parsed,
    source_arguments,
    sources,
    table_runs,
)
from ..entry import command
from ..experiments import (
    Experiment,
    Label,
    activation,
    flip,
    method,
    method_as_run,
    nothing,
    replacement_set,
    step_size,
)
from ..load import load_runs
from ..look import USUAL, Look, canvas, styled
from ..points import LINE, PANEL, explain
from ..results import DIRECTORY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Draw: TypeAlias = "Callable[..., Figure]"
"""Draws a figure from a tidy frame, with a `look`."""


@dataclass(frozen=True)
class Declared:
    """A figure; its experiment has the same name.

    Attributes:
        draw: draws it from a tidy frame whose columns `line` and `panel` hold these labels of its runs.
        line, panel: the labels.
        by_layer: the measures that it shows layer by layer.
        first: how many tasks of each run it shows; None for all.
    """

    draw: Draw
    line: Label
    panel: Label
    by_layer: tuple[str, ...]
    first: int | None

    @property
    def title(self) -> str:
        """What it shows, in a sentence."""
        return (self.draw.__doc__ or "").partition("\n")[0]


FIGURES: dict[str, Declared] = {}
"""The figures by name, which is also the name of an experiment."""


def figure(
    line: Label, panel: Label = nothing, by_layer: Iterable[str] = (), first: int | None = None
) -> Callable[[Draw], Draw]:
    """Declares a function as a figure."""

    def declare(draw: Draw) -> Draw:
        FIGURES[draw.__name__] = Declared(styled(draw), line, panel, tuple(by_layer), first)
        return draw

    return declare


# --- The paper's figures ---------------------------------------------------------------------------------


@figure(step_size)
def figure_1(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Plain backpropagation at three step sizes: online accuracy of the base network."""
    return drawing.curves(tasks, "accuracy", "step size", look=look)


@figure(replacement_set)
def figure_3(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Each layer replaced alone, all, and none: online accuracy of the base network."""
    return drawing.curves(tasks, "accuracy", "replaced", look=look)


@figure(method, panel=activation)
def figure_4(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Three activations with backpropagation, continual backpropagation and weight decay, each tuned."""
    return drawing.curves(tasks, "accuracy", "method", look=look)


@figure(replacement_set)
def figure_5(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """The first layer alone against all others together: online accuracy of the base network."""
    return drawing.curves(tasks, "accuracy", "replaced", look=look)


@figure(replacement_set, by_layer=["weight_magnitude"], first=400)
def figure_6(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Weight magnitude of the base network, by task and by layer."""
    number = int(tasks["task"].max()) + 1
    last = tasks[tasks["task"] >= number - window(number)]
    figure, grid = canvas(look.width, look.height or 2.9, columns=2, width_ratios=[3, 2])
    drawing.lines(grid[0, 0], tasks, "weight_magnitude", look.band)
    drawing.bars(grid[0, 1], last, "weight_magnitude", look.band)
    grid[0, 1].set_title(f"tasks {number - window(number) + 1} to {number}")
    drawing.key(figure, tasks, "replaced", hatched=True)
    return figure


INSIDE = {
    "dead_units": "dead units",
    "effective_rank": "effective rank",
    "curvature_rank": "curvature rank",
    "utility_mean": "mean utility",
    "probing_accuracy_before": "probing accuracy (%)",
}
"""What figure 7 shows for each layer, and the labels of its rows."""


@figure(replacement_set, by_layer=INSIDE)
def figure_7(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Inside the base network, layer by layer: dead units, ranks, curvature, utilities, probing accuracy."""
    return drawing.by_layer(tasks, INSIDE, "replaced", look=look)


# --- Further streams -------------------------------------------------------------------------------------


@figure(method_as_run, panel=activation)
def bit_flipping_comparison(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Bit-Flipping (the paper's figure 8): error of three activations under each method, each tuned."""
    return drawing.curves(tasks, "error", "method", look=look)


@figure(step_size, panel=flip)
def bit_flipping_flips(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Bit-Flipping: error of plain backpropagation, one flipping bit changed at a time or all of them."""
    return drawing.curves(tasks, "error", "step size", look=look)


@figure(replacement_set)
def label_permuted_layers(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Labels that are permuted instead of pixels: online accuracy with each layer replaced alone, all, and none."""
    return drawing.curves(tasks, "accuracy", "replaced", look=look)


@figure(replacement_set)
def random_label_layers(tasks: pd.DataFrame, look: Look = USUAL) -> Figure:
    """Labels that are drawn at random: online accuracy with each layer replaced alone, all, and none."""
    return drawing.curves(tasks, "accuracy", "replaced", look=look)


# --- The command -----------------------------------------------------------------------------------------


def main() -> None:
    """Reads the arguments, finds the runs, draws."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis figures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Draws figures as PDF and PNG, each from the runs of the experiment of the same name:\n\n"
        + "\n".join(f"  {name:<24} {each.title}" for name, each in FIGURES.items()),
    )
    parser.add_argument(
        "given",
        nargs="*",
        metavar="NAME | KEY=VALUE",
        help="figures, such as figure_3 or 3 (default: all); and arguments that launch.py was given for their "
        "runs, such as dataset.tasks=20 seed=0,1",
    )
    source_arguments(parser, "the committed results")
    config_argument(parser)
    output_argument(parser, "figures", "DIR", "directory to write to")
    look_arguments(parser)
    arguments = parsed(parser)
    names = [_named(text) for text in arguments.given if "=" not in text] or list(FIGURES)
    overrides = [text for text in arguments.given if "=" in text]
    paths = sources(arguments)
    summaries = table_runs(paths)
    found = {name: Experiment.of(name, overrides, summaries, arguments.config_dir) for name in names}
    needed = set().union(*(experiment.finished for experiment in found.values()))
    if not needed:
        commands = "\n".join(experiment.command for experiment in found.values())
        places = ", ".join(paths or ["the committed results; --runs runs reads your own"])
        raise UserError(f"No run of these figures is finished in {places}. To compute them:\n{commands}")
    tasks = load_runs(*(paths or [str(DIRECTORY)]), runs=needed)
    for name, experiment in tracked(list(found.items()), "Drawing figures"):
        figure, said = drawn(name, experiment, tasks, look_of(arguments), labels_of(arguments))
        if figure is None:
            print("\n".join(said), flush=True)
            continue
        files = " and ".join(map(str, drawing.save(figure, arguments.output / name, " ".join(said))))
        print("\n  ".join([f"{files}: {FIGURES[name].title}", *said]), flush=True)


def _named(text: str) -> str:
    """A figure's name, from its name or number. Raises UserError."""
    name = f"figure_{text}" if text.isdecimal() else text
    if name not in FIGURES:
        raise UserError(f"{text} is refused: it must be a figure, one of {', '.join(FIGURES)}.")
    return name


def drawn(
    name: str,
    experiment: Experiment,
    tasks: pd.DataFrame,
    look: Look = USUAL,
    labels: Mapping[str, str] | None = None,
) -> tuple[Figure | None, list[str]]:
    """Draws a figure from as many of its runs as there are.

    Args:
        name: a key of `FIGURES`.
        experiment: its experiment.
        tasks: as returned by `analysis.load_runs`.
        look: how it looks.
        labels: what to call curves, panels and axes, by what they are called otherwise.

    Returns:
        the figure, or None if there are no runs for it; and sentences about it, which also stand below it if
        anything is missing
    """
    frame, said = rows(name, experiment, tasks, look.band)
    if frame.empty:
        return None, said
    figure = FIGURES[name].draw(frame, look=look)
    drawing.relabel(figure, labels or {})
    if len(said) > 1:
        drawing.note(figure, said)
    return figure, said


def rows(
    name: str, experiment: Experiment, tasks: pd.DataFrame, band: str = USUAL.band
) -> tuple[pd.DataFrame, list[str]]:
    """What a figure shows: a tidy frame with the columns `line` and `panel`, and sentences about it.

    Args:
        name, experiment, tasks: as in `drawn`.
        band: a key of `analysis.look.BANDS`.
    """
    declared = FIGURES[name]
    frame = experiment.labelled(tasks, {LINE: declared.line, PANEL: declared.panel})
    if declared.first is not None:
        frame = frame[frame["task"] < declared.first]
    if frame.empty:
        number = len(experiment.runs)
        return frame, [
            f"{name} is not drawn: none of its {number} runs is finished. To compute them: {experiment.command}"
        ]
    said = [explain(frame, band, "" if declared.by_layer else objective_name(experiment))]
    if unmeasured := [measure for measure in declared.by_layer if not drawing.layers(frame, measure)]:
        said.append(
            f"Without values by layer: {', '.join(unmeasured)}. "
            f"To compute them: {experiment.command} launch.missing_measures=compute"
        )
    return frame, [*said, *experiment.missing(declared.panel, declared.line)]


def objective_name(experiment: Experiment) -> str:
    """The column that the runs of an experiment are scored by."""
    return next(iter(experiment.runs.values())).dataset.objective.score_name


if __name__ == "__main__":
    command(main)
