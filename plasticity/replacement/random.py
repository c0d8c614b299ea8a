"""The control: as many units as a method replaces, but chosen at random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.errors import ConfigError
from plasticity.part import checked
from plasticity.replacement.continual_backpropagation import no_replacement
from plasticity.replacement.replacement import Memory, Replacement, Step

if TYPE_CHECKING:
    from torch import Tensor

VALID = "a number from 0 to 1, or a list of one for each hidden layer, such as [1e-3,1e-4]"


def _rates(key: str, value: Any) -> float | tuple[float, ...]:
    """Rates as given, if they can be. Raises ConfigError if not."""
    given = value if isinstance(value, (list, tuple)) else [value]
    if not given or not all(type(rate) in (int, float) and 0 <= rate <= 1 for rate in given):
        raise ConfigError(key, value, VALID)
    return tuple(map(float, given)) if given is value else float(value)


@dataclass(frozen=True, kw_only=True)
class RandomReplacement(Replacement, name="random"):
    """Replaces units drawn uniformly from all of a layer, at a rate of its own for each layer.

    It separates *which* units are replaced from *how many*: `python -m plasticity.analysis rates` prints the rates
    of any runs. After each step a layer's debt grows by its rate times its units; the whole units of it are
    replaced. With the same rate in all layers it is continual backpropagation with the utility `random` and a
    maturity threshold of 0.

    Attributes:
        rates: units replaced per unit and step: one number for all layers, or one for each hidden layer. In a
            `Run`, a list has 0 for layers without replacement, and is one number if all others have the same.
    """

    rates: Any = checked(_rates, 1e-4)

    def canonical(self, run: Any) -> Any:
        resolved, depth = super().canonical(run), len(run.hidden_units)
        rates = self.rates if isinstance(self.rates, tuple) else (self.rates,) * depth
        if len(rates) != depth:
            raise ConfigError(
                "replacement.rates", list(rates), f"a number, or a list of {depth}, one for each hidden layer"
            )
        layers = tuple(layer for layer in resolved.layers if rates[layer - 1] > 0)
        if not layers:
            return no_replacement(run)
        in_set = tuple(rate if layer in layers else 0.0 for layer, rate in enumerate(rates, start=1))
        same = len({rates[layer - 1] for layer in layers}) == 1
        return replace(resolved, layers=layers, rates=rates[layers[0] - 1] if same else in_set)

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """The debt of the layer."""
        return {"debt": np.zeros((), np.float64)}

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        return [
            debt.add_(self.rate(layer) * step.layers[layer].units).floor()
            for layer, debt in enumerate(memory["debt"])
        ]

    def rate(self, layer: int) -> float:
        """The rate of a hidden layer, whose position counts from 0."""
        if layer + 1 not in self.layers:
            return 0.0
        return float(self.rates[layer] if isinstance(self.rates, tuple) else self.rates)

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        return [
            self._choose(memory, step, layer, floor(number)) if number else []
            for layer, number in enumerate(due)
        ]

    def _choose(self, memory: Memory, step: Step, layer: int, number: int) -> list[int]:
        """As many units of a layer as are due: those with the smallest draws."""
        memory["debt"][layer].sub_(number)
        return [int(unit) for unit in step.draw(layer).argsort(stable=True)[:number]]
