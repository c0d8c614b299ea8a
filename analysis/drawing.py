"""What figures are made of: curves with bands over seeds, bars by layer, a legend, and a note below."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plasticity.errors import UserError

from .look import HATCHES, SMALL, canvas, column_name, curve_look, styled, unstyled, values_of
from .points import LINE, PANEL, band, binned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def curves(frame: pd.DataFrame, y: str, legend: str = "", width: float = 3.0, height: float = 3.2) -> Figure:
    """A column by task: a panel for each `panel`, and in it a curve for each `line`.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
        y: the column.
        legend: title of the legend.
        width, height: of a panel, in inches.
    """
    panels = list(frame[PANEL].cat.categories)
    figure, grid = canvas(
        width * len(panels) + (3.2 if len(panels) == 1 else 1.6), height, columns=len(panels), sharey=True
    )
    for axes, panel in zip(grid[0], panels, strict=True):
        lines(axes, frame[frame[PANEL] == panel], y)
        axes.set_title(panel)
        axes.set_ylabel(column_name(y) if axes is grid[0, 0] else "")
    key(figure, frame, legend)
    return figure


def lines(axes: Axes, frame: pd.DataFrame, y: str) -> None:
    """A curve for each `line`: the mean over its runs, in a band of ± their population standard deviation."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    points = binned(frame, y) if y in frame and len(frame) else frame.iloc[:0]
    names = list(frame[LINE].cat.categories)
    axes.set_xlabel("task")
    axes.set_ylabel(column_name(y))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(values_of(y))
    for number, name in enumerate(names):
        own = points[points[LINE] == name]
        if own.empty:
            continue
        look = curve_look(number)
        seaborn.lineplot(
            data=own, x="task", y=y, errorbar=band, ax=axes, legend=False, err_kws={"linewidth": 0},
            **look, markevery=(number % 7, 7) if own["task"].nunique() > 14 else 1,
        )  # fmt: skip


def bars(axes: Axes, frame: pd.DataFrame, y: str) -> None:
    """A bar for each `line` and layer: the mean over its runs of their means over the rows, ± as in `lines`."""
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
            yerr=own.std(ddof=0), color=curve_look(number)["color"], hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white", linewidth=0.4, label=name, error_kw={"elinewidth": 0.8},
        )  # fmt: skip
    axes.yaxis.set_major_formatter(values_of(y))
    axes.set_xticks(range(len(columns)), [name.removeprefix("layer_") for name in columns])
    axes.set_xlabel("layer")
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper right", frameon=False)


@styled
def by_layer(frame: pd.DataFrame, rows: Mapping[str, str], legend: str) -> Figure:
    """Columns by task: a row of panels for each, and in it a panel for each layer, with a curve for each `line`.

    Args:
        frame: a tidy frame with the column `line`.
        rows: the label of each row of panels, by the part of its columns' names before the layer.
        legend: title of the legend.
    """
    places = list(dict.fromkeys(layer for name in rows for layer in layers(frame, name)))
    figure, grid = canvas(
        1.9 * max(len(places), 2) + 1.5,
        1.7 * len(rows),
        len(rows),
        max(len(places), 1),
        sharex=True,
        sharey="row",
    )
    for row, (name, title) in enumerate(rows.items()):
        known = layers(frame, name)
        for place, (axes, layer) in enumerate(zip(grid[row], places or [""], strict=True)):
            if layer in known:
                lines(axes, frame, known[layer])
            elif known:
                axes.set_axis_off()  # the output layer has no units
            else:
                _empty(axes, "not measured")
            axes.set_ylabel(title if place == 0 else "")
            axes.set_xlabel("task" if row == len(rows) - 1 else "")
            first = next((number for number, each in enumerate(rows) if layer in layers(frame, each)), 0)
            axes.set_title(layer.replace("_", " ") if row == first else "")
    key(figure, frame, legend)
    return figure


def layers(frame: pd.DataFrame, name: str) -> dict[str, str]:
    """The columns of a measure that is taken layer by layer, by layer: those with any values."""
    columns = [
        column for column in frame if str(column).startswith(f"{name}.") and frame[column].notna().any()
    ]
    return {str(column).removeprefix(f"{name}."): str(column) for column in columns}


def _empty(axes: Axes, text: str) -> None:
    """Says in a panel why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.4", fontsize=SMALL)
    axes.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)


def key(figure: Figure, frame: pd.DataFrame, title: str) -> None:
    """Adds the legend, on the right. A curve without any run is named as missing."""
    from matplotlib.lines import Line2D

    there = set(frame[LINE].dropna())
    handles = [
        Line2D(
            [],
            [],
            label=name if name in there else f"{name} (missing)",
            **(curve_look(number) if name in there else {"linestyle": ""}),
        )
        for number, name in enumerate(frame[LINE].cat.categories)
    ]
    figure.legend(
        handles=handles,
        title=title,
        loc="outside right center",
        frameon=False,
        handlelength=3.2,
        alignment="left",
    )


@unstyled
def note(figure: Figure, sentences: Sequence[str]) -> None:
    """Puts sentences below a figure, in small print."""
    characters = int(figure.get_figwidth() * 72 / SMALL / 0.5)
    text = "\n".join(line for sentence in sentences for line in textwrap.wrap(sentence, characters))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color="0.35")


@unstyled
def save(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure as PDF and as PNG, the same bytes for the same runs.

    Args:
        figure: what to write.
        path: without extension, or with one of theirs; its directory is created.

    Raises:
        UserError: when they cannot be written.
    """
    if path.suffix in (".pdf", ".png"):
        path = path.with_suffix("")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = [path.with_name(f"{path.name}.{ending}") for ending in ("pdf", "png")]
        for one in paths:
            figure.savefig(one, dpi=200, metadata={"CreationDate": None} if one.suffix == ".pdf" else None)
    except OSError as error:
        raise UserError(f"{path} is refused: it cannot be written ({error.strerror}).") from error
    return paths
