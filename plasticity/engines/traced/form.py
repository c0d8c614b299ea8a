"""The base class of traced forms."""

from collections.abc import Sequence
from functools import cache

from plasticity.engines.form import Form
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.engines.traced.library import addresses
from plasticity.engines.traced.source import Program
from plasticity.networks.layer import places
from plasticity.part import Part
from plasticity.run import Run

MEASURES = {"novel_mean": -1, "outgoing": -1, "incoming": -1, "mean_input": 1}
"""What the kernel measures where a program asks for it, and its length; −1 for one number per unit."""


def give(memory: LayerMemory, field: str, program: Program, address: int) -> None:
    """Has a layer run a program, with whatever it asks for."""
    for one in program.arrays:
        if one.name in MEASURES and one.name not in memory.arrays:
            length = MEASURES[one.name]
            memory.arrays[one.name] = aligned(padded(memory.units) if length < 0 else length)
    memory.give(field, address, [one.name for one in program.arrays])


class Traced(Form):
    """A form whose programs are traced from the part's code."""

    def programs(self) -> list[Program]:
        """The programs, traced once. Raises Refused."""
        return list(_programs(type(self), self.part, self.run))  # type: ignore[arg-type]

    def trace(self) -> Sequence[Program]:
        """Traces the part's code."""
        raise NotImplementedError

    def addresses(self) -> list[int]:
        """The programs, built. Raises build.Unavailable."""
        return addresses(self.programs(), binding.kernel()) if self.programs() else []

    def give_each(self, what: str, memory: Sequence[LayerMemory]) -> None:
        """Has every layer run a program for each of its parameters, in the order of `places`.

        Args:
            what: the first word of the fields of `Layer`: "move" or "constrain".
            memory: of the layers.
        """
        known = places(self.run.layers).values()
        for place, program, address in zip(known, self.programs(), self.addresses(), strict=True):
            if program.arrays:
                give(memory[place.layer], f"{what}_{place.kind}", program, address)


@cache
def _programs(kind: type[Traced], part: Part, run: Run) -> tuple[Program, ...]:
    return tuple(kind(part, run).trace())
