"""The look of figures: one style; curves that colour, dashes and marker each tell apart; names of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:  # imported where it is used: commands first set how it draws
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

P = ParamSpec("P")
T = TypeVar("T")

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

SMALL = 7.0
"""Font size of notes, in points."""

PAGE = 7.0
"""Width of a figure in inches: that of a page's text, so that it is printed as it is drawn."""

BANDS = {
    "interval": "with Student's 95 % intervals",
    "deviation": "± population standard deviation",
    "seeds": "each run on its own",
}
"""What a curve shows of its runs, beside their mean; `seeds` shows each in its place."""


@dataclass(frozen=True)
class Look:
    """How a figure looks.

    Attributes:
        width, height: of the whole figure, in inches; without a height, the figure has its own.
        font: size of its text, in points; that of legends is one less.
        band: a key of `BANDS`.
    """

    width: float = PAGE
    height: float | None = None
    font: float = 8.0
    band: str = "interval"

    @property
    def style(self) -> dict[str, Any]:
        """Its settings for matplotlib."""
        sizes = dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), self.font)
        small = dict.fromkeys(("legend.fontsize", "legend.title_fontsize"), self.font - 1)
        ticks = dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), self.font - 1)
        return STYLE | sizes | small | ticks


USUAL = Look()
"""How figures look unless something else is asked for."""

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.6,
}

NAMES = {
    "accuracy": "online accuracy (%)",
    "error": "squared error",
    "loss": "loss",
    "weight_magnitude": "weight magnitude Σ|w|",
    "utility_mean": "mean utility",
    "probing_accuracy_before": "probing accuracy before the task (%)",
    "probing_accuracy_after": "probing accuracy after the task (%)",
}
"""What columns are called, with units; others go by their own names."""


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure in inches, and its axes: [rows, columns]."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Has a function draw in the style of this package, whatever the caller's is; its `look` may be given."""

    @wraps(draw)
    def draw_in_style(*arguments: Any, look: Look = USUAL, **options: Any) -> Figure:
        from matplotlib import style

        with style.context(["default", look.style]):
            return draw(
                *arguments, **options, **({"look": look} if "look" in signature(draw).parameters else {})
            )

    return draw_in_style


def unstyled(change: Callable[P, T]) -> Callable[P, T]:
    """Has a function change or write figures with matplotlib's own defaults, whatever the caller's are.

    But text in a PDF stays text, which can be searched and edited.
    """

    @wraps(change)
    def change_by_default(*arguments: P.args, **options: P.kwargs) -> T:
        from matplotlib import style

        with style.context(["default", {"pdf.fonttype": 42}]):
            return change(*arguments, **options)

    return change_by_default


def curve_look(number: int) -> dict[str, Any]:
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


def column_name(column: str) -> str:
    """A column's name for people: "dead_units.layer_1" becomes "dead units, layer 1"."""
    name, _, layer = column.partition(".")
    known = NAMES.get(name, name.replace("_", " ") + (" (%)" if "accuracy" in name else ""))
    return f"{known}, {layer.replace('_', ' ')}" if layer else known


def values_of(column: str) -> FuncFormatter:
    """How an axis writes a column's values: an accuracy in percent, as its name says."""
    from matplotlib.ticker import FuncFormatter

    percent = "accuracy" in column
    return FuncFormatter(lambda value, _: f"{100 * value:.4g}" if percent else f"{value:,.10g}")
