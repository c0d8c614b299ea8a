"""Perturbations: parameters are mixed with fresh ones, or some of them redrawn, at the starts of tasks or after
steps."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.errors import ConfigError
from plasticity.part import Part, checked, choice, integer, number
from plasticity.streams import Purpose

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.networks.layer import Place
    from plasticity.networks.network import Network
    from plasticity.run import Run

NOISE = 0.2


def _every(key: str, value: Any) -> Any:
    if value != "task" and not (type(value) is int and 1 <= value < 2**63):
        raise ConfigError(key, value, "task, or a number of steps of at least 1")
    return value


class Perturbation(Part):
    """A change to a network: at the starts of tasks, or after steps.

    At the start of a task it comes just before the first forward pass, and after any intervention. A perturbation
    of your own subclasses this and defines `__call__` if it acts there, and `acts_in_steps`, `due_after` and
    `perturb` if it acts after steps. `observe` and `perturb` are compiled, so they must work on tensors.
    """

    def due(self, task: int) -> bool:
        """Whether it acts at the start of a task: of every one but the first, whose number is 0."""
        return task > 0

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        """Changes a network in place; arguments as in `plasticity.Intervention`."""
        raise NotImplementedError

    @property
    def acts_in_steps(self) -> bool:
        """Whether it acts after steps, or observes them."""
        return False

    @property
    def draws(self) -> bool:
        """Whether `perturb` is given values drawn anew, as at initialisation, instead of the initial ones."""
        return True

    def due_after(self, step: int) -> bool:
        """Whether it acts after a step, whose number in the run counts from 0."""
        return False

    def memory(self, place: "Place") -> dict[str, "Tensor"]:
        """What is remembered of a parameter at the start, by name; tensors of any shape.

        In those shaped like the parameter, the entries of a replaced unit are cleared.
        """
        return {}

    def observe(
        self, place: "Place", parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]
    ) -> None:
        """Called after every step, before `perturb`; it is compiled.

        Args:
            place: the parameter's shape, and where in the network it is.
            parameter: its values after the step.
            gradient: that of the loss alone, before the step.
            memory: what is remembered of it, to be changed in place.
        """

    def perturb(
        self, place: "Place", parameter: "Tensor", fresh: "Tensor", memory: dict[str, "Tensor"]
    ) -> None:
        """Changes a parameter in place after a step for which it is due; it is compiled.

        Args:
            place: the parameter's shape, and where in the network it is.
            parameter: its values after the step.
            fresh: as `draws` says.
            memory: what is remembered of it, to be changed in place.
        """
        raise NotImplementedError


class NoPerturbation(Perturbation, name="none"):
    """No perturbation."""

    def due(self, task: int) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class ShrinkAndPerturb(Perturbation, name="shrink_and_perturb"):
    """θ ← (1 − shrink) θ + noise · fresh, for every parameter (Ash and Adams 2020).

    What the optimiser remembers stays.

    Attributes:
        every: when it acts: at the start of every task but the first (task), or after every n-th step (a number n).
        shrink: the share of each parameter that is lost.
        noise: how much of the fresh parameters is added; the same as `shrink` if those are the initial ones.
        fresh: which parameters are added: new ones, drawn each time as at initialisation (drawn), or the initial
            ones (initial).
    """

    every: int | str = checked(_every, "task")
    shrink: float = number(0.2, at_least=0, at_most=1)
    noise: float = number(NOISE, at_least=0)
    fresh: str = choice("drawn", options=("drawn", "initial"))

    def due(self, task: int) -> bool:
        return self.every == "task" and task > 0

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        from plasticity.networks.network import initial_parameters, origin

        if self.fresh == "initial":
            fresh = origin(run, network)
        else:
            fresh = initial_parameters(run, Purpose.PERTURBATION, task)
        kept, added = np.float32(1 - self.shrink), np.float32(self.noise)
        for name, array in network.parameters.items():
            network.parameters[name] = kept * array + added * fresh[name]

    @property
    def acts_in_steps(self) -> bool:
        return self.every != "task"

    @property
    def draws(self) -> bool:
        return self.fresh == "drawn"

    def due_after(self, step: int) -> bool:
        return isinstance(self.every, int) and (step + 1) % self.every == 0

    def perturb(
        self, place: "Place", parameter: "Tensor", fresh: "Tensor", memory: dict[str, "Tensor"]
    ) -> None:
        parameter.mul_(1 - self.shrink).add_(fresh, alpha=self.noise)

    def canonical(self, run: Any) -> Perturbation:  # type: ignore[override]
        if type(self) is ShrinkAndPerturb and self.shrink == self.noise == 0:
            return NoPerturbation()
        if self.fresh == "drawn":
            return self
        if self.noise not in (NOISE, self.shrink):
            valid = "left out with perturbation.fresh=initial, where it is the same as perturbation.shrink"
            raise ConfigError("perturbation.noise", self.noise, valid)
        return replace(self, noise=self.shrink)


@dataclass(frozen=True, kw_only=True)
class WeightReinitialisation(Perturbation, name="weight_reinitialisation"):
    """Selective weight reinitialisation: after every n-th step, weights that matter little are drawn anew.

    A weight matters by U, the running mean of |g w|, g the gradient of the loss alone, before the step, and w the
    weight after it; those with U ≤ `threshold` times the mean of U over their layer's weights are drawn as at
    initialisation, and then, in every layer where any were drawn, all U start over at 0. Biases, gains and offsets
    stay, and so does what the optimiser remembers. It is a perturbation, since it mixes fresh weights into the
    network after every n-th step, whatever the units: no unit is replaced.

    Hernandez-Garcia et al. 2025 ("Reinitializing weights vs units for maintaining plasticity in neural networks",
    PMLR 330; github.com/JFernando4/collas_2025_swr_paper) take |g w| of the last batch on permuted MNIST; with
    single examples that redraws thousands of weights at a time. Their code treats biases, gains and offsets in the
    same way.

    Attributes:
        every: number of steps from one reinitialisation to the next.
        threshold: the share of the layer's mean U up to which weights are drawn anew.
        decay_rate: decay rate of the running means; 0 for the last step alone.
    """

    every: int = integer(2_048, at_least=1)
    threshold: float = number(1e-5, at_least=0)
    decay_rate: float = number(0.999, at_least=0, below=1)

    def due(self, task: int) -> bool:
        return False

    @property
    def acts_in_steps(self) -> bool:
        return True

    def due_after(self, step: int) -> bool:
        return (step + 1) % self.every == 0

    def memory(self, place: "Place") -> dict[str, "Tensor"]:
        from torch import zeros

        return {"utility": zeros(place.parameter.shape)} if _is_redrawn(place) else {}

    def observe(
        self, place: "Place", parameter: "Tensor", gradient: "Tensor", memory: dict[str, "Tensor"]
    ) -> None:
        if _is_redrawn(place):
            now = (gradient * parameter).abs()
            memory["utility"].mul_(self.decay_rate).add_(now, alpha=1 - self.decay_rate)

    def perturb(
        self, place: "Place", parameter: "Tensor", fresh: "Tensor", memory: dict[str, "Tensor"]
    ) -> None:
        if _is_redrawn(place):
            utility = memory["utility"]
            chosen = utility <= self.threshold * utility.mean()
            parameter.copy_(fresh.where(chosen, parameter))
            utility.mul_((~chosen.any()).to(utility.dtype))


def _is_redrawn(place: "Place") -> bool:
    return place.parameter.regularised and place.parameter.is_weight
