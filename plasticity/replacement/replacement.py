"""The base class of replacement methods: they choose units after each step. Replacing them is the same for all."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from plasticity.part import Part
from plasticity.replacement.layers import layers, resolve

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Linear

Memory = dict[str, list[Any]]
"""What a method remembers, by name: for each hidden layer, an array (in training, a tensor) of any shape."""


@dataclass(frozen=True)
class Step:
    """What a method may look at after a step of gradient descent.

    Attributes:
        number: number of the step in the run, from 0.
        activations: h of each hidden layer in the step's forward pass: [units], or [batch size, units] for a batch.
        pre_activations: z of each hidden layer, likewise.
        linear: the network's linear layers with their weights after the step, the output layer last.
        draw: draws uniformly from [0, 1) for the units of a hidden layer, by its position from 0: [units].
        chance: draws uniformly from [0, 1), once for a hidden layer, by its position from 0.
    """

    number: int
    activations: list["Tensor"]
    pre_activations: list["Tensor"]
    linear: list["Linear"]
    draw: Callable[[int], "Tensor"]
    chance: Callable[[int], float]


@dataclass(frozen=True, kw_only=True)
class Replacement(Part):
    """A method that replaces units, and the set of layers in which it does so.

    Attributes:
        layers: "all", "none", "last", "except_first", "layer_N", or the numbers of hidden layers, from 1. In a
            `Run` it is resolved: a tuple of numbers in increasing order, empty for none.
    """

    layers: Any = layers("all")

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """What is remembered of a hidden layer at the start.

        Arrays of shape [units] are set to 0 at a unit that is replaced; all others are left to the method.
        """
        return {}

    def after_step(self, memory: Memory, step: Step) -> list[list[int]]:
        """Updates the memory in place, and chooses the units to replace: for each hidden layer, in their order.

        It is called after every step, even if no layer is in the set.
        """
        raise NotImplementedError

    def before_replacement(self, memory: Memory, step: Step, layer: int, unit: int) -> None:
        """Called just before a chosen unit is replaced; does nothing by default."""

    def canonical(self, run: Any) -> Self:
        return replace(self, layers=resolve(self.layers, len(run.model.hidden_units)))
