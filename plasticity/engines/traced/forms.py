"""Forms of users' own parts: programs that are traced from their code and built beside the kernel."""

from collections.abc import Sequence
from typing import Any

from plasticity.activations import Activation
from plasticity.constraints import Constraint
from plasticity.engines.form import Form
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory
from plasticity.engines.traced import trace
from plasticity.engines.traced.choosing import TracedReplacement
from plasticity.engines.traced.form import Traced, give
from plasticity.engines.traced.judging import TracedObjective
from plasticity.engines.traced.moving import TracedConstraint, TracedMovement, TracedTerm
from plasticity.engines.traced.refusal import Refused
from plasticity.engines.traced.source import Program
from plasticity.objectives import Objective
from plasticity.optimisers import Optimiser
from plasticity.part import Part
from plasticity.regularisers import Regulariser
from plasticity.replacement import Replacement
from plasticity.run import Run
from plasticity.utilities import Utility


class TracedActivation(Traced):
    """An activation: h and its slope, of all units of a layer."""

    def trace(self) -> list[Program]:
        return [trace.activation(self.part, units) for units in self.run.layer_sizes[1:-1]]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for below, above in zip(memory, memory[1:], strict=False):
            above.use_all_of(below)
        for layer, program, address in zip(memory, self.programs(), self.addresses(), strict=False):
            give(layer, "respond", program, address)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.activation = len(binding.numbers("activation"))


class TracedUtility(Traced):
    """A utility: y of all units of a layer."""

    def trace(self) -> list[Program]:
        batch = self.run.dataset.batch_size
        return [trace.utility(self.part, units, batch) for units in self.run.layer_sizes[1:-1]]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer, program, address in zip(memory, self.programs(), self.addresses(), strict=False):
            give(layer, "judge", program, address)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.utility = len(binding.numbers("utility"))


TRACED: dict[type[Part], type[Traced]] = {
    Activation: TracedActivation,
    Utility: TracedUtility,
    Replacement: TracedReplacement,
    Regulariser: TracedTerm,
    Optimiser: TracedMovement,
    Constraint: TracedConstraint,
    Objective: TracedObjective,
}
"""The forms by the kind of part whose code they are traced from."""


def traced_form(part: Part, run: Run) -> Form | Refused:
    """The form that is traced from a part's code, or why there is none.

    Raises:
        build.Unavailable: its programs cannot be built or loaded here.
    """
    kind = next((form for kind, form in TRACED.items() if isinstance(part, kind)), None)
    if kind is None:
        return Refused()
    form = kind(part, run)
    try:
        form.programs()
    except Refused as reason:
        return reason
    form.addresses()
    return form
