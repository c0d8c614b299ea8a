"""The base class of forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plasticity.networks.network import Network
from plasticity.run import Run

if TYPE_CHECKING:
    from plasticity.engines.kernel.memory import LayerMemory


@dataclass(frozen=True)
class Form:
    """How the kernel computes a part: what it is told about it, what it keeps for it, and what is read back.

    Attributes:
        part: the part.
        run: the run that it belongs to.
    """

    part: Any
    run: Run

    def arrange(self, memory: Sequence["LayerMemory"]) -> None:
        """Arranges the memory of the layers, the output layer's last, before the kernel is given it."""

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        """Sets fields of `Learner` and of the `Layer` of each layer, the output layer's last (`learner.h`)."""

    def restore(self, network: Network, memory: Sequence["LayerMemory"], layers: Sequence[Any]) -> None:
        """Puts what the part remembers, as a stored network has it, into the kernel's memory."""

    def remembered(
        self, memory: Sequence["LayerMemory"], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        """What the part remembers, by the names in a network's `memory`.

        Args:
            memory: of the layers.
            layers: the kernel's `Layer` of each.
            clock: number of steps that the learner has taken.
        """
        return {}

    def perturb(self, step: int, memory: Sequence["LayerMemory"]) -> None:
        """Perturbs the parameters after a step for which that is due, before its units are observed.

        Args:
            step: number of the step in the run.
            memory: of the layers.
        """

    def choose(self, step: int, learner: Any, memory: Sequence["LayerMemory"], layers: Sequence[Any]) -> None:
        """Puts the units to replace after a step into `Layer.chosen`, where the kernel waits for that.

        Args:
            step: number of the step in the run.
            learner: the kernel's `Learner`.
            memory: of the layers.
            layers: the kernel's `Layer` of each.
        """
