"""What a table shows: its declaration in `conf/table/`, in a user's own file, or on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import further_directories
from plasticity.errors import ConfigError, UserError
from plasticity.part import build, checked, choice, integer, number, one_of, text

from .axis import Axis, Group, axis, sections
from .printed import Published, published

STATISTICS = {
    "ci": "with Student's 95 % interval of the mean",
    "std": "± population standard deviation",
    "sem": "± standard error of the mean",
    "iqm": "with stratified bootstrap intervals (95 %)",
}
"""What is shown after a mean; `iqm` shows the interquartile mean in its place."""


def _texts(default: tuple[str, ...] = ()) -> Any:
    """A field that holds texts: one, or a list of them."""

    def check(key: str, value: Any) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(one, str) and one for one in texts):
            raise ConfigError(key, value, "a text, or a list of texts")
        return tuple(texts)

    return checked(check, default)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A table.

    Attributes:
        rows, columns: what lies along its sides.
        sections: keys that have a section for each of their values, or groups of rows by name; none by default.
        head, column_head: what rows and columns are called; by default by their keys.
        experiment: the name of the experiment whose runs these are, and further arguments of its command; without
            one, the table is of all runs that there are.
        where: conditions that runs have to meet, such as "activation=relu".
        score: what the cells are means of: "score", a number known of each run, such as "seconds", or a column of
            its rows, such as "dead_units.layer_1", averaged like the score over the last 15 % of them.
        statistic: a key of `STATISTICS`.
        digits: digits after the decimal point; by default, 1 for percentages and 2 otherwise.
        baseline: values, as "KEY=VALUE" of keys of rows, columns or sections. Each cell is compared with the one
            that has these values and otherwise its own.
        margin: the smallest difference that counts, in the unit of the cells; 0 for no test of equivalence.
        best: whether the best cell of each row or column is underlined.
        among: the columns that can be the best, as values of theirs; all by default.
        best_is: what an underlined cell is called below the table.
        published: published numbers.
    """

    rows: Axis = checked(axis)
    columns: Axis = checked(axis)
    sections: Axis | dict[str, Group] | None = checked(sections, None)
    head: str | None = text(None, optional=True)
    column_head: str | None = text(None, optional=True)
    experiment: tuple[str, ...] = _texts()
    where: tuple[str, ...] = _texts()
    score: str = text("score")
    statistic: str = choice("ci", options=tuple(STATISTICS))
    digits: int | None = integer(None, at_least=0, at_most=10, optional=True)
    baseline: tuple[str, ...] = _texts()
    margin: float = number(0.0, at_least=0)
    best: str = choice("none", options=("none", "row", "column"))
    among: tuple[str, ...] = _texts()
    best_is: str | None = text(None, optional=True)
    published: Published | None = checked(published, None)

    @property
    def keys(self) -> list[str]:
        """The keys of its rows, columns and sections, as they are spelt."""
        groups = self.sections if isinstance(self.sections, Mapping) else {}
        axes = [group.rows for group in groups.values()] or [self.rows]
        axes += [self.columns, *([self.sections] if isinstance(self.sections, Axis) else [])]
        return list(dict.fromkeys(key for own in axes for key in own.keys))


def declare(table: str | None, options: Mapping[str, Any]) -> Declaration:
    """The table that a file declares and options override.

    Args:
        table: the name of a file in `table/`, or the path of one; None for none.
        options: values by field; those of None are left out. If rows or columns are overridden, what the file says
            about its own is dropped.

    Raises:
        UserError: when there is no such table, or something is wrong with it.
    """
    given = {key: value for key, value in options.items() if value is not None}
    values = {} if table is None else read(table)
    if {"rows", "columns"} & set(given):
        values = {key: value for key, value in values.items() if key not in OF_ITS_CELLS}
    for side, example in (("rows", "method"), ("columns", "replacement")):
        if side not in values and side not in given:
            raise UserError(
                f"The table has no {side}: name their keys, such as --{side} {example}, or a declared table with "
                f"--table, {one_of(list(tables()))} or a file."
            )
    try:
        return build(Declaration, values | given)
    except ConfigError as error:
        source = "--" if error.key.partition(".")[0] in given else f"{table}: "
        raise UserError(f"{source}{error}") from error


OF_ITS_CELLS = ("sections", "head", "column_head", "best", "among", "best_is", "published")
"""What a declaration says about its own rows and columns, which does not hold for others."""


def tables() -> dict[str, Path]:
    """The files in `table/`, of this package and of further directories of configs, by name."""
    roots = (conf_directory(), *further_directories())
    return {path.stem: path for root in roots for path in sorted((root / "table").glob("*.yaml"))}


def read(table: str) -> dict[str, Any]:
    """The values that a file declares, by field.

    Raises:
        UserError: when there is none of this name, or it cannot be read.
    """
    path = tables().get(table, Path(table))
    if not path.is_file():
        valid = f"{one_of(list(tables()))}, or the path of a file"
        raise UserError(f"--table {table} is refused: it must be {valid}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"--table {table} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise UserError(f"--table {table} is refused: it must hold keys and values, such as rows: method.")
    return {str(key): value for key, value in content.items()}
