"""How figures look: one style, curves with bands over seeds, a legend, and a note below."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from plasticity.errors import UserError

LINE, PANEL = "line", "panel"
"""Columns of a tidy frame that a figure adds: the curve that a run belongs to, and its panel. Both are
categorical, so that a curve or panel without runs keeps its place, its style and its legend entry."""

DASHES = (
    "",
    (4, 1.5),
    (1, 1.2),
    (6, 1.5, 1, 1.5),
    (2.5, 1),
    (6, 1, 1, 1, 1, 1),
    (8, 2),
    (1, 3),
    (3, 3, 1, 3),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
POINTS = 60
"""The most points of a curve: each is a mean over a round number of tasks."""

SMALL = 7.0
"""Font size of notes, in points."""

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
}

NAMES = {
    "accuracy": "online accuracy (%)",
    "error": "squared error",
    "loss": "loss",
    "weight_magnitude": "weight magnitude Σ|w|",
}
"""What columns are called, with units; others go by their own names."""


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure in inches, and its axes: [rows, columns]."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Has a function draw in the style of this package, whatever the caller's is."""

    @wraps(draw)
    def draw_in_style(*arguments: Any, **options: Any) -> Figure:
        with style.context(["default", STYLE]):
            return draw(*arguments, **options)

    return draw_in_style


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

    points = binned(frame, y) if y in frame and len(frame) else frame.iloc[:0]
    names = list(frame[LINE].cat.categories)
    axes.set_xlabel("task")
    axes.set_ylabel(column_name(y))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(_percent if "accuracy" in y else _plain))
    for number, name in enumerate(names):
        own = points[points[LINE] == name]
        if own.empty:
            continue
        own_look = look(number)
        seaborn.lineplot(
            data=own, x="task", y=y, errorbar=_band, ax=axes, legend=False, err_kws={"linewidth": 0},
            **own_look, markevery=(number % 7, 7) if own["task"].nunique() > 14 else 1,
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
            yerr=own.std(ddof=0), color=look(number)["color"], hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white", linewidth=0.4, label=name, error_kw={"elinewidth": 0.8},
        )  # fmt: skip
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
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


def look(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of a curve by its number, from 0: each alone tells it from the others."""
    import seaborn

    colours = seaborn.color_palette("colorblind")
    palette = [*(colours[place] for place in (0, 1, 2, 3, 4, 9)), (0.25, 0.25, 0.25), colours[5], colours[7]]
    dashes = DASHES[number % len(DASHES)]
    return {
        "color": palette[number % len(palette)],
        "linestyle": (0, dashes) if dashes else "-",
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "markeredgewidth": 0.5,
        "markeredgecolor": "white",
    }


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.4g}"


def _plain(value: float, _: object = None) -> str:
    return f"{value:,.10g}"


def _band(values: pd.Series) -> tuple[float, float]:
    """Mean ± population standard deviation, as in Table 1."""
    mean, deviation = np.mean(values), np.std(values)
    return float(mean - deviation), float(mean + deviation)


def bin_width(rows: int) -> int:
    """The number of rows that are averaged for a point: the smallest round one that leaves at most 60 points."""
    return next(
        step * 10**power for power in range(9) for step in (1, 2, 5) if rows <= POINTS * step * 10**power
    )


def _spacing(frame: pd.DataFrame) -> int:
    """The number of tasks from one row to the next."""
    return int(np.gcd.reduce(frame["task"].to_numpy(int))) or 1


def point_width(frame: pd.DataFrame) -> int:
    """The number of tasks that a point covers."""
    spacing = _spacing(frame)
    return spacing * bin_width(int(frame["task"].max()) // spacing + 1)


def binned(frame: pd.DataFrame, y: str) -> pd.DataFrame:
    """Means of each run over bins of tasks: run, line, task (the bin's middle, from 1) and the column.

    Rows without a value are left out: diagnostics are not measured in every task.
    """
    width = point_width(frame)
    known = frame.dropna(subset=y)
    middle = known["task"] // width * width + (width + 1) / 2
    return known.groupby(["run", LINE, middle], observed=True)[y].mean().reset_index()


def key(figure: Figure, frame: pd.DataFrame, title: str) -> None:
    """Adds the legend, on the right. A curve without any run is named as missing."""
    there = set(frame[LINE].dropna())
    handles = [
        Line2D(
            [],
            [],
            label=name if name in there else f"{name} (missing)",
            **(look(number) if name in there else {"linestyle": ""}),
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


def explain(frame: pd.DataFrame) -> str:
    """A sentence on what the points and bands are.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
    """
    width = point_width(frame)
    runs = frame.drop_duplicates("run").groupby([LINE, PANEL], observed=True).size()
    least, most = int(runs.min()), int(runs.max())
    points = f"each point a mean over {width} tasks" if width > 1 else "a point per task"
    if most == 1:
        return f"One run each; {points}."
    return (
        f"Means over {least} {f'to {most} ' * (least < most)}runs ± population standard deviation; {points}."
    )


def note(figure: Figure, sentences: Sequence[str]) -> None:
    """Puts sentences below a figure, in small print."""
    characters = int(figure.get_figwidth() * 72 / SMALL / 0.5)
    text = "\n".join(line for sentence in sentences for line in textwrap.wrap(sentence, characters))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color="0.35")


def column_name(column: str) -> str:
    """A column's name for people: "dead_units.layer_1" becomes "dead units, layer 1"."""
    name, _, layer = column.partition(".")
    known = NAMES.get(name, name.replace("_", " ") + (" (%)" if "accuracy" in name else ""))
    return f"{known}, {layer.replace('_', ' ')}" if layer else known


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure as PDF and as PNG, the same bytes for the same runs.

    Args:
        figure: what to write.
        path: without extension; its directory is created.

    Raises:
        UserError: when they cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = [path.with_name(f"{path.name}.{ending}") for ending in ("pdf", "png")]
        for one in paths:
            figure.savefig(one, dpi=200, metadata={"CreationDate": None} if one.suffix == ".pdf" else None)
    except OSError as error:
        raise UserError(f"{path} is refused: it cannot be written ({error.strerror}).") from error
    return paths
