"""What a sweep declares: values by key, every combination of which is a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice, product
from math import prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep

from plasticity.composition.methods import recipes
from plasticity.errors import ConfigError, UserError
from plasticity.part import one_of

MOST = 100_000
"""The most combinations of a sweep; more are taken for a mistake, such as range(0,1e9)."""

TOO_MANY = f"The sweep is refused: it has more than {MOST:,} combinations."

Params = Mapping[str, Any]
"""Values by key, written as after -m."""


def combinations(
    parser: OverridesParser,
    arguments: Sequence[str],
    params: Params | None = None,
    alternatives: Mapping[str, Params] | Sequence[Params] | None = None,
    only: Iterable[str] | None = None,
    grids: bool = False,
) -> list[list[str]]:
    """The overrides of each run of a sweep.

    Without alternatives, these are all combinations of the values in `params` and `arguments`. With alternatives,
    they are those of each in turn, whose values are added to `params` or replace values there. The value of a key
    in `arguments` replaces that in `params`; if it is not there, that in the alternatives that have the key; if
    none has it, the value is for all runs.

    Args:
        parser: Hydra's.
        arguments: the overrides on the command line.
        params: values for all runs.
        alternatives: values by key, for each alternative by its name; in a list, the names are "1", "2", ….
        only: names of the alternatives to take; None for all.
        grids: add to each alternative the grid of its method; if `arguments` choose methods, they are the
            alternatives.

    Raises:
        UserError: for an alternative that does not exist, values that are not a list, or too many combinations.
    """
    given = {
        override.get_key_element().lstrip("~"): override  # without a choice, it replaces one, too
        for override in parser.parse_overrides(list(arguments))
    }
    shared = _parsed(parser, params or {})
    if not isinstance(alternatives, Mapping):
        alternatives = {str(number): values for number, values in enumerate(alternatives or [], start=1)}
    if grids:
        chosen_methods = given.pop("method", None)
        if chosen_methods is not None:
            names = [text.partition("=")[2] for text in _values(chosen_methods)]
            alternatives = {name: {"method": name} for name in names}
        alternatives = {name: _grid(values) | dict(values) for name, values in alternatives.items()}
    named = {name: _parsed(parser, values) for name, values in alternatives.items()}
    pinned = {key for values in named.values() for key in values}
    common = {key: value for key, value in given.items() if key in shared or key not in pinned}
    if only is not None and not named:
        raise ConfigError(
            "hydra.sweeper.only", only, "left out where there are no alternatives to choose from"
        )
    chosen = [named[name] for name in _chosen(named, only)] if named else [{}]
    sweeps = []
    for values in chosen:
        own = {
            key: given[key] if key in given and key not in shared else value for key, value in values.items()
        }
        sweeps.append([_values(override) for override in (shared | common | own).values()])
    if sum(prod(map(len, sweep)) for sweep in sweeps) > MOST:
        raise UserError(TOO_MANY)
    return [list(each) for sweep in sweeps for each in product(*sweep)]


def _parsed(parser: OverridesParser, params: Params) -> dict[str, Override]:
    texts = [f"{str(key).lstrip('+')}={value}" for key, value in params.items()]
    return {override.get_key_element(): override for override in parser.parse_overrides(texts)}


def _grid(values: Params) -> dict[str, str]:
    """What a search tries for the method that an alternative chooses, as written after -m."""
    recipe = recipes().get(str(values.get("method")))
    if recipe is None:
        raise ConfigError("method", values.get("method"), one_of(list(recipes())))
    return {key: ",".join(map(str, tried)) for key, tried in recipe.grid.items()}


def _chosen(named: Mapping[str, Any], only: Iterable[str] | None) -> list[str]:
    names = list(named) if only is None else [only] if isinstance(only, str) else list(only)
    for name in names:
        if name not in named:
            raise ConfigError("hydra.sweeper.only", name, f"{one_of(list(named))}, or a list of them")
    return names


def _values(override: Override) -> list[str]:
    """One override for each value of a sweep override; of too many, only the first, which are enough to notice."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{override.input_line} is refused: hydra/sweeper=combinations takes lists of values, such as "
            "1,2,3, choice(1,2,3) or range(3)."
        )
    return [
        f"{override.get_key_element()}={value}" for value in first(override, override.sweep_string_iterator)
    ]


def first(override: Override, iterator: Callable[[], Iterator[Any]]) -> list[Any]:
    """The values of a sweep override from one of its iterators; of too many, the first.

    Raises:
        UserError: for too many in random order, since Hydra would first generate them all.
    """
    values = override.value()
    if isinstance(values, RangeSweep):
        _make_decimal(values)
    if (
        isinstance(values, RangeSweep)
        and values.shuffle
        and len(list(islice(values.range(), MOST + 1))) > MOST
    ):
        raise UserError(TOO_MANY)
    return list(islice(iterator(), MOST + 1))


def _make_decimal(values: RangeSweep) -> None:
    """Makes a range of decimal numbers count in decimals: to 0.009, not 0.009000000000000001."""
    limits = {name: getattr(values, name) for name in ("start", "stop", "step")}
    if any(isinstance(limit, float) for limit in limits.values()):
        for name, limit in limits.items():
            setattr(values, name, Decimal(str(limit)))
