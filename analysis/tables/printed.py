"""Published numbers, as a table declares them: mean and standard deviation of each cell, as they were printed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plasticity.errors import ConfigError
from plasticity.part import build, checked, integer

PRINTED = re.compile(r"(-?\d+(?:\.(\d+))?) ± (\d+(?:\.(\d+))?)")
NOTHING = "–"


@dataclass(frozen=True)
class Number:
    """A cell: mean, and population standard deviation over seeds."""

    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class Published:
    """The numbers of a table.

    Attributes:
        seeds: number of seeds of each.
        rows: a number for each column, in order, by the value that makes the row; None for no such cell.
        digits: digits after the decimal point of all of them.
    """

    seeds: int = integer(at_least=2)
    rows: Mapping[str, tuple[Number | None, ...]] = checked(lambda key, value: _rows(key, value)[0])
    digits: int = integer(at_least=0)

    @property
    def rounding(self) -> float:
        """How far a number can be from its exact value."""
        return 0.5 * 10.0**-self.digits


def published(key: str, value: Any) -> Published | None:
    """The numbers that a declaration holds: the seeds, and texts such as "79.2 ± 0.1", "–" for none, by row.

    Raises:
        ConfigError: for anything else.
    """
    if value is None or isinstance(value, Published):
        return value
    if isinstance(value, Mapping) and "rows" in value and "digits" not in value:
        value = {**value, "digits": _rows(f"{key}.rows", value["rows"])[1]}
    return build(Published, value, f"{key}.")


def _rows(key: str, value: Any) -> tuple[dict[str, tuple[Number | None, ...]], int]:
    """The numbers by row, and how many digits they have."""
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(key, value, "a list of numbers for each row")
    rows, digits = {}, set[int]()
    for row, texts in value.items():
        if not isinstance(texts, list):
            raise ConfigError(f"{key}.{row}", texts, "a list with a text for each column")
        numbers = list[Number | None]()
        for one in texts:
            found = PRINTED.fullmatch(str(one))
            if found is None and one != NOTHING:
                raise ConfigError(f"{key}.{row}", one, f'such as "79.2 ± 0.1", or {NOTHING} for no such cell')
            numbers.append(Number(float(found[1]), float(found[3])) if found else None)
            digits |= {len(part or "") for part in (found[2], found[4])} if found else set()
        rows[str(row)] = tuple(numbers)
    if len({len(numbers) for numbers in rows.values()}) > 1:
        raise ConfigError(key, "rows of different lengths", "a number for each column in every row")
    if len(digits) != 1:
        raise ConfigError(key, "numbers of different lengths", "as many decimals in every number")
    return rows, digits.pop()
