"""Forms: what the native engine's kernel has to know of each part, one class per kind of computation, in one place.

A part has a native form if there is one for its exact class, since a subclass computes something else, or if one
is traced from its code (`traced/`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plasticity.activations import Activation, ReLU
from plasticity.constraints import NoConstraint, WeightClipping
from plasticity.engines.form import Form
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory, aligned
from plasticity.engines.perturbing import PerturbedInPython, looks_between
from plasticity.engines.pulled import Pulled, can_wait
from plasticity.engines.silences import Silences
from plasticity.engines.traced.forms import traced_form
from plasticity.engines.traced.refusal import Refused
from plasticity.networks.layer import Place, places
from plasticity.networks.mlp import Mlp
from plasticity.networks.network import Network
from plasticity.objectives import Objective
from plasticity.optimisers import SGD, Optimiser
from plasticity.part import Part
from plasticity.perturbations import Perturbation
from plasticity.regularisers import L2, L2Init, NoRegulariser, Regulariser
from plasticity.replacement import ContinualBackpropagation, RandomReplacement, SelfNormalisedResets
from plasticity.run import Run
from plasticity.utilities import Utility


class Numbered(Form):
    """An activation, a utility or an objective: the kernel has the part under a number."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        field = _field(self.part)
        assert field is not None
        setattr(learner, field, binding.numbers(field)[self.part.name])


class PassesAllUnits(Numbered):
    """An activation that does not reach 0: every unit passes something on, so that no step lists those that do."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for below, above in zip(memory, memory[1:], strict=False):
            above.use_all_of(below)


class Layered(Form):
    """The layers as they are; new units' weights are drawn within the model's bound."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        for layer in layers[:-1]:
            layer.bound = self.part.replacement_bound(self.run.activation, layer.inputs)


class Descent(Form):
    """Gradient descent with a constant step size."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.step_size = self.part.step_size


class Decay(Form):
    """Weight decay: every step leaves the same share of each parameter."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        strength = self.part.strength if isinstance(self.part, L2) else 0.0
        kept = 1 - self.run.optimiser.step_size * strength  # type: ignore[attr-defined]
        learner.kept = kept if abs(kept) > 1e-10 else 1e-10  # the kernel divides by it


class Unconstrained(Form):
    """No constraint: there is nothing to do."""


class Clipped(Form):
    """Weight clipping, in the kernel's `clipping.h`."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer in memory:
            layer.arrays["exceeding"] = aligned(layer.inputs, np.int32)
            layer.arrays["is_exceeding"] = aligned(layer.inputs, np.uint8)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        for layer, place in zip(layers, self._places(), strict=True):
            layer.limit = self.part.limit(place) or 0.0

    def _places(self) -> list[Place]:
        """Where the weights of each layer are."""
        found = places(self.run.layers)
        return [found[f"weights.{number}"] for number in range(len(self.run.layers))]


class Continual(Form):
    """Continual backpropagation, in the kernel's `replacement.h`."""

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        if self.part.observed == "misaligned":
            for number, layer in enumerate(memory[:-1]):
                seen = memory[number // 2]
                if number % 2 == 0:
                    seen.keep_pre_activations()
                layer.observe(seen.current["activation" if number % 2 else "z"])

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.bias_compensation = self.part.bias_compensation
        learner.by_chance = self.part.accrual == "chance"
        learner.decay_rate = self.part.decay_rate
        learner.maturity_threshold = self.part.maturity_threshold
        for number, layer in enumerate(layers[:-1], start=1):
            layer.rate = self.part.rate if number in self.part.layers else 0.0

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        age, debt = network.remembered("age"), network.remembered("debt")
        for number, (arrays, layer) in enumerate(zip(memory[:-1], layers, strict=False)):
            for name in ("utility", "mean_activation"):
                arrays[name][:] = network.remembered(name)[number]
            arrays["born"][:] = -age[number]
            layer.debt = float(debt[number])

    def remembered(
        self, memory: Sequence[LayerMemory], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for number, (arrays, layer) in enumerate(zip(memory[:-1], layers, strict=False)):
            found |= {
                f"age.{number}": clock - arrays["born"],
                f"utility.{number}": arrays["utility"].copy(),
                f"mean_activation.{number}": arrays["mean_activation"].copy(),
                f"debt.{number}": np.array(layer.debt, np.float64),
            }
        return found


class AnyUnits(Form):
    """Replacement of any units: continual backpropagation that ranks mature units, which all are, at random."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.utility, learner.maturity_threshold = binding.numbers("utility")["random"], -1
        for number, layer in enumerate(layers[:-1]):
            layer.rate = self.part.rate(number)

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        for layer, debt in zip(layers, network.remembered("debt"), strict=False):
            layer.debt = float(debt)

    def remembered(
        self, memory: Sequence[LayerMemory], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        debts = [np.array(layer.debt, np.float64) for layer in layers[:-1]]
        return {f"debt.{number}": debt for number, debt in enumerate(debts)}


FORMS: dict[type[Part], type[Form]] = {
    Mlp: Layered,
    SGD: Descent,
    NoConstraint: Unconstrained,
    NoRegulariser: Decay,
    L2: Decay,
    L2Init: Pulled,
    ContinualBackpropagation: Continual,
    RandomReplacement: AnyUnits,
    SelfNormalisedResets: Silences,
    WeightClipping: Clipped,
}
"""The forms by the exact class of a part. Activations, utilities and objectives are listed in the kernel itself
(`activation.h`, `utility.h`, `learner.h`), by their names."""

NUMBERED: dict[type[Part], str] = {Activation: "activation", Utility: "utility", Objective: "loss"}
"""The kinds of parts that the kernel has under numbers, and the field of `Learner` for each."""


def form(part: Part, run: Run) -> Form | None:
    """The form of a part; None if it has none, for the reason that `obstacle` gives.

    Raises:
        Unavailable: the kernel, or the part's programs, cannot be built or loaded here.
    """
    found = _form(part, run)
    return None if isinstance(found, Refused) else found


def obstacle(part: Part, run: Run) -> str | None:
    """What is in the way of a native form, such as "torch.linalg.norm at mine.py:12"; None for nothing special."""
    found = _form(part, run)
    return str(found) or None if isinstance(found, Refused) else None


def _form(part: Part, run: Run) -> Form | Refused:
    if type(part) in FORMS and not (isinstance(part, (Optimiser, Regulariser)) and _moves_by_programs(run)):
        return FORMS[type(part)](part, run)
    field = _field(part)
    if field is not None and "." not in part.name and part.name in binding.numbers(field):
        passes_all = field == "activation" and type(part) is not ReLU
        return (PassesAllUnits if passes_all else Numbered)(part, run)
    if isinstance(part, Perturbation):
        between = looks_between(part)
        return PerturbedInPython(part, run) if between is None else Refused(between)
    return traced_form(part, run)


def _moves_by_programs(run: Run) -> bool:
    """Whether parameters are moved as the code of the optimiser and of the regulariser says."""
    by_hand = {type(run.optimiser), type(run.regulariser)} <= set(FORMS)
    return not by_hand or (type(run.regulariser) is L2Init and not can_wait(run))


def _field(part: Part) -> str | None:
    return next((field for kind, field in NUMBERED.items() if isinstance(part, kind)), None)
