"""The rows, columns and sections of a table, once it is known which values there are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from plasticity.errors import UserError
from plasticity.run import short_key

from ..selection import LAYERS, column, matching, shown
from .axis import Axis, Values
from .declaration import Declaration


@dataclass(frozen=True)
class Line:
    """A row or a column.

    Attributes:
        key: its values, which tell it from others: "width_20", "relu, bp".
        label: what it is called.
        values: the value that its runs have, by column of the runs.
    """

    key: str
    label: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Section:
    """Rows under a title; without sections, all rows are in one, without a title.

    Attributes:
        key: what CSV calls it.
        title: what stands above its rows.
        rows: the rows.
        remark: what tells them from rows of the same label elsewhere.
    """

    key: str
    title: str
    rows: tuple[Line, ...]
    remark: str = ""


@dataclass(frozen=True)
class Grid:
    """The sides of a table.

    Attributes:
        head, column_head: what rows and columns are.
        sections: the rows.
        columns: the columns.
    """

    head: str
    column_head: str
    sections: tuple[Section, ...]
    columns: tuple[Line, ...]

    @property
    def rows(self) -> dict[str, Line]:
        """The rows of all sections by key, each once."""
        return {row.key: row for section in self.sections for row in section.rows}

    def name(self, key: str) -> str:
        """The labels of a row in all of its sections, "Width 100 = ReLU = Depth 5"; of no row, the key."""
        if key not in self.rows:
            return key
        called = self._called(key)
        others = [self._called(other) for other in self.rows if other != key]
        section = next(section for section in self.sections for row in section.rows if row.key == key)
        return f"{section.title}, {called}" if called in others else called

    def _called(self, key: str) -> str:
        places = [(section, row) for section in self.sections for row in section.rows if row.key == key]
        remark = places[0][0].remark and f" ({places[0][0].remark})"
        return " = ".join(dict.fromkeys(row.label + remark for _, row in places))


def resolve(declaration: Declaration, runs: pd.DataFrame) -> Grid:
    """The grid of a table.

    Args:
        declaration: the table.
        runs: a row per run, with their config.

    Raises:
        UserError: for a key that does not exist, or labels that cannot be told apart.
    """
    columns = lines(declaration.columns, runs, "--columns")
    head = declaration.head or ", ".join(_names(declaration.rows, runs, "--rows"))
    column_head = declaration.column_head or ", ".join(_names(declaration.columns, runs, "--columns"))
    return Grid(head, column_head, tuple(_sections(declaration, runs)), tuple(columns))


def declared(declaration: Declaration) -> Grid:
    """The grid of a table that declares all of its values, without any runs."""
    return resolve(declaration, pd.DataFrame(columns=[*declaration.keys, LAYERS]))


def _sections(declaration: Declaration, runs: pd.DataFrame) -> Iterable[Section]:
    given = declaration.sections
    if given is None:
        yield Section("", "", tuple(lines(declaration.rows, runs, "--rows")))
    elif isinstance(given, Axis):
        for part in lines(given, runs, "--sections", spelt=True):
            own = runs[having(runs, part.values)]
            inner = lines(declaration.rows, own, "--rows")
            rows = [Line(f"{part.key}, {row.key}", row.label, {**part.values, **row.values}) for row in inner]
            yield Section(part.key, part.label, tuple(rows))
    else:
        for name, group in given.items():
            rows = lines(group.rows, runs, f"sections.{name}.rows")
            yield Section(name, group.title, tuple(rows), group.remark or "")


def lines(axis: Axis, runs: pd.DataFrame, option: str, spelt: bool = False) -> list[Line]:
    """The rows or columns along an axis: combinations of its values; where they are not chosen, those of any run.

    Args:
        axis: the keys, and chosen values.
        runs: where other values are found, in order.
        option: what gave the axis, for messages.
        spelt: call a value by its key, too, unless it has a label: "activation relu".

    Raises:
        UserError: for a key that does not exist, or labels that cannot be told apart.
    """
    names = _names(axis, runs, option)
    choices = [
        list(values) if values else _found(runs[name])
        for name, values in zip(names, axis.keys.values(), strict=True)
    ]
    found = []
    for combination in product(*choices) if any(axis.keys.values()) else _there(runs, names, choices):
        values = dict(zip(names, combination, strict=True))
        if not all(axis.keys.values()) and not having(runs, values).any():
            continue
        labels = [
            _label(name, value, known, spelt)
            for (name, value), known in zip(values.items(), axis.keys.values(), strict=True)
        ]
        found.append(Line(", ".join(each or "nothing" for each in combination), ", ".join(labels), values))
    called = [line.label for line in found]
    if twice := next((label for label in called if called.count(label) > 1), None):
        raise UserError(f"{option} is refused: two of its values are called {twice}.")
    return found


def _there(runs: pd.DataFrame, names: Sequence[str], choices: list[list[str]]) -> list[tuple[str, ...]]:
    """The combinations that any run has, in the order of their product, which may be far larger."""
    places = [{value: place for place, value in enumerate(values)} for values in choices]
    combinations = set(zip(*(runs[name].map(shown) for name in names), strict=True))
    return sorted(combinations, key=lambda one: [own[value] for own, value in zip(places, one, strict=True)])


def _label(name: str, value: str, known: Values | None, spelt: bool) -> str:
    label = (known or {}).get(value, value)
    if label != value:
        return label
    return f"{short_key(name)} {value or 'nothing'}" if spelt else value or "nothing"


def _names(axis: Axis, runs: pd.DataFrame, option: str) -> list[str]:
    return [column(runs, key, option) for key in axis.keys]


def _found(values: pd.Series) -> list[str]:
    """The values of a column as text, nothing first, numbers in their order."""
    distinct = values.drop_duplicates()
    order = sorted(
        distinct, key=lambda one: (not pd.isna(one), isinstance(one, str), 0 if pd.isna(one) else one)
    )
    return list(dict.fromkeys(map(shown, order)))


def having(runs: pd.DataFrame, values: Mapping[str, str]) -> pd.Series:
    """Which runs have all of some values, by column."""
    chosen = pd.Series(True, runs.index)
    for name, value in values.items():
        chosen &= matching(runs, name, value)
    return chosen


def baseline(declaration: Declaration, runs: pd.DataFrame) -> dict[str, str]:
    """The values of the cells that a table's cells are compared with, by column of the runs.

    Raises:
        UserError: for a key that is not one of the table's, or a value that no run has.
    """
    known: Sequence[str] = [column(runs, key) for key in declaration.keys]
    values = {}
    for given in declaration.baseline:
        key, equals, value = given.partition("=")
        name = column(runs, key, "--baseline") if equals else ""
        if name not in known:
            raise UserError(
                f"--baseline {given} is refused: it must be KEY=VALUE, of a key of the table: {', '.join(known)}."
            )
        if not matching(runs, name, value).any():
            there = ", ".join(one or "nothing" for one in _found(runs[name]))
            raise UserError(f"--baseline {given} is refused: no run has it; values of {name} are: {there}.")
        values[name] = value
    return values
