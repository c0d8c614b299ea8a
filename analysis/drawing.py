"""The elements of figures: curves with bands over seeds, bars by layer, a legend, and a note below."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plasticity.errors import UserError

from .look import HATCHES, SMALL, USUAL, Look, canvas, column_name, curve_look, styled, unstyled, values_of
from .points import LINE, PANEL, binned, deviation, divided, interval
from .statistics import possible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def curves(frame: pd.DataFrame, y: str, legend: str = "", look: Look = USUAL) -> Figure:
    """A column by task: a panel for each `panel`, and in it a curve for each `line`.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
        y: the column.
        legend: title of the legend.
        look: size, font, and what curves show of their runs.
    """
    panels = list(frame[PANEL].cat.categories)
    figure, grid = canvas(look.width, look.height or 2.9, columns=len(panels), sharey=True)
    apart = divided(frame, y)
    for axes, panel in zip(grid[0], panels, strict=True):
        single = {line for own, line in apart if own == panel}
        lines(axes, frame[frame[PANEL] == panel], y, look.band, single)
        axes.set_title(panel)
        axes.set_ylabel(column_name(y) if axes is grid[0, 0] else "")
    key(figure, frame, legend)
    return figure


ERRORS = {"interval": interval, "deviation": deviation}
"""The band of a curve, by key of `analysis.look.BANDS`."""


def ends(values: pd.Series, y: str, band: str) -> tuple[float, float]:
    """The ends of a band, within what a column can be: an accuracy is from 0 to 1, an error not below 0."""
    return possible(*ERRORS.get(band, deviation)(values), "accuracy" in y, y == "error")


def lines(
    axes: Axes, frame: pd.DataFrame, y: str, band: str = "interval", single: Collection[str] = ()
) -> None:
    """A curve for each `line`: the mean over its runs, in a band; or a curve for each run.

    Args:
        axes: where to draw.
        frame: a tidy frame with the column `line`.
        y: the column.
        band: a key of `analysis.look.BANDS`.
        single: those with a curve for each run, whatever the band.
    """
    import seaborn
    from matplotlib.ticker import MaxNLocator

    points = binned(frame, y) if y in frame and len(frame) else frame.iloc[:0]
    names = list(frame[LINE].cat.categories)
    axes.set_xlabel("task")
    axes.set_ylabel(column_name(y))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(values_of(y))
    for number, name in enumerate(names):
        own = points[points[LINE] == name]
        if own.empty:
            continue
        look = curve_look(number)
        marked = (number % 7, 7) if own["task"].nunique() > 14 else 1
        if band == "seeds" or name in single:
            for _, run in own.groupby("run"):
                axes.plot(
                    run["task"], run[y], markevery=marked, **(look | {"linewidth": 0.8, "markersize": 3})
                )
            continue
        seaborn.lineplot(
            data=own, x="task", y=y, errorbar=lambda values: ends(values, y, band), ax=axes, legend=False,
            err_kws={"linewidth": 0}, **look, markevery=marked,
        )  # fmt: skip


def bars(axes: Axes, frame: pd.DataFrame, y: str, band: str = "interval") -> None:
    """A bar for each `line` and layer: the mean over its runs of their means over the rows.

    Its error is that of `lines`, or the standard deviation where those draw each run.
    """
    names = list(frame[LINE].cat.categories)
    columns = layers(frame, y)
    axes.set_ylabel(column_name(y))
    if not columns:
        _empty(axes, f"{column_name(y)} by layer: not measured")
        return
    means = frame.groupby([LINE, "run"], observed=True)[list(columns.values())].mean()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        if name not in means.index:
            continue
        own = means.loc[name]
        axes.bar(
            np.arange(len(columns)) + (number - (len(names) - 1) / 2) * width, own.mean(), width,
            yerr=_errors(own, band), color=curve_look(number)["color"], hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white", linewidth=0.4, label=name, error_kw={"elinewidth": 0.8},
        )  # fmt: skip
    axes.yaxis.set_major_formatter(values_of(y))
    axes.set_xticks(range(len(columns)), [name.removeprefix("layer_") for name in columns])
    axes.set_xlabel("layer")
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)


def _errors(values: pd.DataFrame, band: str) -> np.ndarray:
    """How far the band of each column reaches below and above its mean: [2, columns]."""
    both = np.array([ends(values[column], str(column), band) for column in values])
    lengths: np.ndarray = np.abs(both.T - values.mean().to_numpy())
    return lengths


@styled
def by_layer(frame: pd.DataFrame, rows: Mapping[str, str], legend: str, look: Look = USUAL) -> Figure:
    """Columns by task: a row of panels for each, and in it a panel for each layer, with a curve for each `line`.

    Args:
        frame: a tidy frame with the column `line`.
        rows: the label of each row of panels, by the part of its columns' names before the layer.
        legend: title of the legend.
        look: as in `curves`.
    """
    places = list(dict.fromkeys(layer for name in rows for layer in layers(frame, name)))
    figure, grid = canvas(
        look.width,
        look.height or 1.35 * len(rows) + 0.7,
        len(rows),
        max(len(places), 1),
        sharex=True,
        sharey="row",
    )
    for row, (name, title) in enumerate(rows.items()):
        known = layers(frame, name)
        for place, (axes, layer) in enumerate(zip(grid[row], places or [""], strict=True)):
            if layer in known:
                lines(axes, frame, known[layer], look.band)
            elif known:
                axes.set_axis_off()  # the output layer has no units
            else:
                _empty(axes, "not measured")
            axes.set_ylabel(title if place == 0 else "")
            there = [number for number, each in enumerate(rows) if layer in layers(frame, each)] or [0]
            axes.set_title(layer.replace("_", " ") if row == there[0] else "")
            axes.set_xlabel("task" if row == there[-1] else "")
            axes.tick_params(labelbottom=row == there[-1])
    key(figure, frame, legend)
    return figure


def layers(frame: pd.DataFrame, name: str) -> dict[str, str]:
    """The columns of a measure that is taken layer by layer, by layer, in order: those with any values."""
    columns = [
        column for column in frame if str(column).startswith(f"{name}.") and frame[column].notna().any()
    ]
    found = {str(column).removeprefix(f"{name}."): str(column) for column in columns}
    return dict(sorted(found.items(), key=lambda each: _place(each[0])))


def _place(layer: str) -> tuple[bool, int]:
    """Hidden layers come in their order, and then all others, such as the output layer."""
    number = layer.removeprefix("layer_")
    return (False, int(number)) if number.isdecimal() else (True, 0)


def _empty(axes: Axes, text: str) -> None:
    """Says in a panel why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4", fontsize=SMALL)
    axes.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)


def key(figure: Figure, frame: pd.DataFrame, title: str, hatched: bool = False) -> None:
    """Adds the one legend, above the panels. A curve without any run is named as missing.

    Args:
        figure: what to add it to.
        frame: a tidy frame with the column `line`.
        title: what tells the curves apart.
        hatched: whether the curves are also bars, whose hatching is shown beside.
    """
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    there = set(frame[LINE].dropna())
    names = list(frame[LINE].cat.categories)
    handles: list[Any] = []
    for number, name in enumerate(names):
        look = curve_look(number) if name in there else {"linestyle": ""}
        hatch = HATCHES[number % len(HATCHES)]
        patch = Patch(facecolor=look.get("color", "none"), hatch=hatch, edgecolor="white", linewidth=0.4)
        handles.append((Line2D([], [], **look), *([patch] if hatched and name in there else [])))
    figure.legend(
        handles=handles,
        labels=[name if name in there else f"{name} (missing)" for name in names],
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.4)},
        title=title,
        loc="outside upper center",
        ncols=min(len(names), MOST_IN_A_ROW),
        frameon=False,
        handlelength=4.2 if hatched else 2.8,
    )


MOST_IN_A_ROW = 4
"""The most names in a row of the legend."""


def relabel(figure: Figure, labels: Mapping[str, str]) -> None:
    """Replaces texts of a figure: names of curves and panels, labels of axes.

    Raises:
        UserError: for a text that it does not have.
    """
    from matplotlib.text import Text

    texts: list[Any] = [text for text in figure.findobj(Text) if text.get_text()]
    for old, new in labels.items():
        found = [text for text in texts if text.get_text() == old]
        if not found:
            numbers = {
                text.get_text()
                for axes in figure.axes
                for text in (*axes.get_xticklabels(), *axes.get_yticklabels())
            }
            there = dict.fromkeys(text.get_text() for text in texts if text.get_text() not in numbers)
            raise UserError(f"--labels {old}={new} is refused: the figure says {', '.join(there)}.")
        for text in found:
            text.set_text(new)


@unstyled
def note(figure: Figure, sentences: Sequence[str]) -> None:
    """Puts sentences below a figure, in small print."""
    characters = int(figure.get_figwidth() * 72 / SMALL / 0.5)
    text = "\n".join(line for sentence in sentences for line in textwrap.wrap(sentence, characters))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color="0.35")


@unstyled
def save(figure: Figure, path: Path, caption: str = "") -> list[Path]:
    """Writes a figure as PDF and as PNG, the same bytes for the same runs.

    Args:
        figure: what to write.
        path: without extension, or with one of theirs; its directory is created.
        caption: what the files say of themselves, in their metadata.

    Raises:
        UserError: when they cannot be written.
    """
    if path.suffix in (".pdf", ".png"):
        path = path.with_suffix("")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = [path.with_name(f"{path.name}.{ending}") for ending in ("pdf", "png")]
        for one in paths:
            pdf = {"CreationDate": None, "Subject": caption}
            figure.savefig(one, dpi=200, metadata=pdf if one.suffix == ".pdf" else {"Description": caption})
    except OSError as error:
        raise UserError(f"{path} is refused: it cannot be written ({error.strerror}).") from error
    return paths
