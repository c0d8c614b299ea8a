"""The form of a user's own replacement method: its update is a program."""

from collections.abc import Sequence
from typing import Any

from plasticity.engines.choosing import ALWAYS, WHEN_DUE, ChosenInPython
from plasticity.engines.kernel.memory import LayerMemory
from plasticity.engines.traced import trace
from plasticity.engines.traced.form import Traced, give
from plasticity.engines.traced.refusal import Refused
from plasticity.engines.traced.source import Program
from plasticity.replacement import Replacement


class TracedReplacement(ChosenInPython, Traced):
    """A replacement method whose update is traced from its code."""

    def trace(self) -> list[Program]:
        if type(self.part).before_replacement is not Replacement.before_replacement:
            raise Refused("a before_replacement of its own")
        return trace.update(self.part, self.run)

    def arrange_update(self, number: int, layer: LayerMemory) -> None:
        layer.keep_pre_activations()
        give(layer, "update", self.programs()[number], self.addresses()[number])

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        says = any(one.name == "due" for program in self.programs() for one in program.arrays)
        learner.choice = WHEN_DUE if says else ALWAYS
