"""Perturbations: all parameters shrink a little, and a little of fresh ones is added."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.errors import ConfigError
from plasticity.part import Part, checked, choice, number
from plasticity.streams import Purpose

if TYPE_CHECKING:
    from plasticity.networks.network import Network
    from plasticity.run import Run

NOISE = 0.2


def _every(key: str, value: Any) -> str:
    if value != "task":
        raise ConfigError(key, value, "task: only the starts of tasks can be perturbed so far")
    return "task"


class Perturbation(Part):
    """A change to a network just before the first forward pass of a task, and after any intervention."""

    def due(self, task: int) -> bool:
        """Whether it acts at the start of a task: of every one but the first, whose number is 0."""
        return task > 0

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        """Changes a network in place; arguments as in `plasticity.Intervention`."""
        raise NotImplementedError


class NoPerturbation(Perturbation, name="none"):
    """Nothing."""

    def due(self, task: int) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class ShrinkAndPerturb(Perturbation, name="shrink_and_perturb"):
    """θ ← (1 − shrink) θ + noise · fresh, for every parameter (Ash and Adams 2020).

    What the optimiser remembers stays.

    Attributes:
        every: when: at the start of every task but the first (task).
        shrink: the share of each parameter that is lost.
        noise: how much of the fresh parameters is added; the same as `shrink` if those are the initial ones.
        fresh: drawn anew each time, as at initialisation (drawn), or the initial parameters (initial).
    """

    every: str = checked(_every, "task")
    shrink: float = number(0.2, at_least=0, at_most=1)
    noise: float = number(NOISE, at_least=0)
    fresh: str = choice("drawn", options=("drawn", "initial"))

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        from plasticity.networks.network import initial_parameters, origin

        if self.fresh == "initial":
            fresh = origin(run, network)
        else:
            fresh = initial_parameters(run, Purpose.PERTURBATION, task)
        kept, added = np.float32(1 - self.shrink), np.float32(self.noise)
        for name, array in network.parameters.items():
            network.parameters[name] = kept * array + added * fresh[name]

    def canonical(self, run: Any) -> Perturbation:  # type: ignore[override]
        if type(self) is ShrinkAndPerturb and self.shrink == self.noise == 0:
            return NoPerturbation()
        if self.fresh == "drawn":
            return self
        if self.noise not in (NOISE, self.shrink):
            valid = "left out with perturbation.fresh=initial, where it is the same as perturbation.shrink"
            raise ConfigError("perturbation.noise", self.noise, valid)
        return replace(self, noise=self.shrink)
