"""The curves of a page: few points, as figures draw them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ..drawing import ends, layers
from ..look import column_name
from ..points import LINE, PANEL, binned, divided
from ..render import Cell, Section, Table

Point = tuple[int, int, float, float, float, float]
"""Number of the curve, number of the run (0 for a mean), task, value, and the ends of its band."""

PLACES = ("start", "25 %", "50 %", "75 %", "end")
"""The points of a curve that its table lists."""


@dataclass(frozen=True)
class Panel:
    """A pair of axes.

    Attributes:
        title: what stands above them; "" where there is only one.
        y: the label of the vertical axis.
        points: what they show, curve by curve.
        range: the least and the greatest value to show.
    """

    title: str
    y: str
    points: list[Point]
    range: tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """Panels that share their curves and a legend.

    Attributes:
        name: what tells it from others.
        title: what it shows, in a sentence.
        legend: what tells its curves apart.
        lines: the names of the curves.
        panels: the panels.
        said: sentences about it.
    """

    name: str
    title: str
    legend: str
    lines: list[str]
    panels: list[Panel]
    said: list[str] = field(default_factory=list)

    @property
    def there(self) -> set[int]:
        """The numbers of the curves that have a point."""
        return {point[0] for panel in self.panels for point in panel.points}

    def values(self) -> Table:
        """Some values of each curve, for readers who cannot see it."""
        sections = []
        for panel in self.panels:
            rows = []
            for number, name in enumerate(self.lines):
                own = [point for point in panel.points if point[0] == number]
                for run in dict.fromkeys(point[1] for point in own):
                    values = [point[3] for point in own if point[1] == run]
                    called = f"{name}, run {run}" if run else name
                    rows.append([Cell(called), *(Cell(f"{value:g}") for value in _some(values))])
            sections.append(Section(", ".join(dict.fromkeys(filter(None, (panel.title, panel.y)))), rows))
        return Table([self.legend, *PLACES], sections)

    def plain(self) -> dict[str, Any]:
        """What its drawing needs, for JSON."""
        panels = [
            {"title": each.title, "y": each.y, "points": each.points, "range": each.range}
            for each in self.panels
        ]
        return {"title": self.title, "lines": self.lines, "panels": panels}


def _some(values: Sequence[float]) -> list[float]:
    last = len(values) - 1
    return [values[round(last * place / (len(PLACES) - 1))] for place in range(len(PLACES))]


def panels(frame: pd.DataFrame, y: str) -> list[Panel]:
    """A column by task: a panel for each `panel`.

    Args:
        frame: a tidy frame with the columns `line` and `panel`.
        y: the column.
    """
    apart = divided(frame, y)
    found = []
    for title in frame[PANEL].cat.categories:
        single = {line for own, line in apart if own == title}
        found.append((str(title), _points(frame[frame[PANEL] == title], y, single)))
    return _alike(found, column_name(y))


def by_layer(frame: pd.DataFrame, measure: str) -> list[Panel]:
    """A measure by task: a panel for the whole network, if it is known, and one for each layer."""
    columns = layers(frame, measure)
    whole = {"": measure} if measure in frame and frame[measure].notna().any() else {}
    name = column_name(measure)
    found = [
        (f"{name.removesuffix(' (%)')}, {layer.replace('_', ' ') or 'whole network'}", column)
        for layer, column in (whole | columns).items()
    ]
    alike = [(title, _points(frame, column)) for title, column in found]
    # The whole network's sum is not on the scale of its layers.
    return [*_alike(alike[: len(whole)], name), *_alike(alike[len(whole) :], name)]


def _alike(found: Sequence[tuple[str, list[Point]]], y: str) -> list[Panel]:
    """Panels with the same vertical axis."""
    values = [value for _, points in found for point in points for value in point[3:]]
    ends = (min(values), max(values)) if values else (0.0, 1.0)
    return [Panel(title, y, points, ends) for title, points in found]


def _points(frame: pd.DataFrame, y: str, single: Collection[str] = ()) -> list[Point]:
    """The points of each curve: means over its runs, or each run of those in `single`."""
    if y not in frame or frame.empty:
        return []
    known, factor = binned(frame, y), 100 if "accuracy" in y else 1
    points: list[Point] = []
    for number, line in enumerate(frame[LINE].cat.categories):
        own = known[known[LINE] == line]
        if line in single:
            for place, (_, run) in enumerate(own.groupby("run"), start=1):
                for task, value in zip(run["task"], run[y], strict=True):
                    points.append((number, place, float(task), *(_short(factor * value),) * 3))
            continue
        for task, values in own.groupby("task")[y]:
            numbers = (values.mean(), *ends(values, y, "interval"))
            points.append((number, 0, float(str(task)), *(_short(factor * each) for each in numbers)))  # type: ignore[arg-type]
    return points


def _short(value: float) -> float:
    """A value to five digits, which is more than a picture shows."""
    return float(f"{value:.5g}")
