"""The base class of replacement methods: they choose units after steps. Replacing them is the same for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from plasticity.part import Part
from plasticity.replacement.layers import layers, resolve

if TYPE_CHECKING:
    from torch import Tensor

    from plasticity.networks.layer import Layer, LayerArrays

Memory = dict[str, list[Any]]
"""What a method remembers, by name: for each hidden layer, an array (in training, a tensor) of any shape."""


@dataclass(frozen=True)
class Step:
    """What a method may look at after a step of gradient descent.

    Attributes:
        number: number of the step in the run, from 0.
        activations: h of each hidden layer's units in the step's forward pass: [units], or [samples, units]; a
            sample is an example of a batch or, for a channel of a convolution, a position in one. For a unit with
            several columns, the sum of their |h|, which is |z| for CReLU.
        pre_activations: z of each hidden layer, likewise.
        linear: weights and biases of each layer after the step, the output layer last.
        draw: draws uniformly from [0, 1) for the units of a hidden layer, by its position from 0: [units].
        chance: draws uniformly from [0, 1), once for a hidden layer, by its position from 0.
        layers: the network's layers, the output layer last.
        columns: h of each hidden layer's units in each of their columns, as `activations`.
        gradients: what `gradient` gives, for each hidden layer; empty for a method that does not look at it.
        steps_per_task: number of steps of a task.
    """

    number: int
    activations: list["Tensor"]
    pre_activations: list["Tensor"]
    linear: list["LayerArrays"]
    draw: Callable[[int], "Tensor"]
    chance: Callable[[int], float]
    layers: Sequence["Layer"]
    columns: list[list["Tensor"]]
    gradients: Sequence["Tensor"]
    steps_per_task: int

    def incoming(self, layer: int) -> "Tensor":
        """mean |w_in| over the incoming weights of each unit of a hidden layer: [units]."""
        return self.layers[layer].incoming(self.linear[layer].parameters)

    def gradient(self, layer: int) -> "Tensor":
        """mean |∂loss/∂w_in| over the incoming weights of each unit of a hidden layer, before the step: [units].

        The loss is that of the step, without a regulariser's term: for a batch, the mean over its examples, so that
        the gradient is the batch's. For one example and a layer whose z is W x + b, it is |∂loss/∂z| · mean |x|.

        Raises:
            TypeError: the method does not say that it looks at gradients.
        """
        if not self.gradients:
            raise TypeError('a method that looks at gradients says so: looks_at = ("gradients",)')
        return self.gradients[layer]

    def outgoing(self, layer: int) -> list["Tensor"]:
        """mean |w_out| over the weights that each unit of a hidden layer leads to: by column, [units]."""
        own = self.layers[layer]
        weights = (
            self.linear[layer].parameters[own.leads_out] if own.leads_out else self.linear[layer + 1].weight
        )
        means = own.outgoing(weights.abs().mean(dim=0, keepdim=True))[0]
        return list((means[..., 0] if means.shape[-1] == 1 else means.mean(dim=-1)).unbind(0))


@dataclass(frozen=True, kw_only=True)
class Replacement(Part):
    """A method that replaces units, and the set of layers in which it does so.

    A method of your own subclasses this and defines `choose`; `initial_memory` and `update` if it remembers
    something from step to step. Its keys are its own fields, and `layers`:

        @dataclass(frozen=True, kw_only=True)
        class Oldest(Replacement):
            interval: int = integer(1_000, at_least=1)

            def initial_memory(self, units):
                return {"age": np.zeros(units, np.int64)}

            def update(self, memory, step):
                for age in memory["age"]:
                    age += 1
                return [(age.max() >= self.interval).double() for age in memory["age"]]

            def choose(self, memory, step, due):
                return [[int(age.argmax())] if n and layer in self.layers else []
                        for layer, (age, n) in enumerate(zip(memory["age"], due), start=1)]

    Attributes:
        looks_at: what the method looks at that engines compute only on request: "gradients", for `Step.gradient`.
        kept: names of the memory that a replaced unit keeps.
        layers: "all", "none", "last", "except_first", "layer_N", or the numbers of hidden layers, from 1. In a
            `Run` it is resolved: a tuple of numbers in increasing order, empty for none.
    """

    looks_at: ClassVar[tuple[str, ...]] = ()
    kept: ClassVar[tuple[str, ...]] = ()

    layers: Any = layers("all")

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "after_step" in vars(cls):
            raise TypeError(
                f"{cls.__qualname__} defines after_step: it must define update and choose instead"
            )

    def initial_memory(self, units: int) -> dict[str, np.ndarray]:
        """What is remembered of a hidden layer at the start.

        Arrays of shape [units] or […, units] are set to 0 at a unit that is replaced, unless they are `kept`; all
        others are left to the method.
        """
        return {}

    def memory_of(self, layer: "Layer") -> dict[str, np.ndarray]:
        """The same, for a method that remembers more of some layers than of others."""
        return self.initial_memory(layer.units)

    def update(self, memory: Memory, step: Step) -> list["Tensor"]:
        """Updates the memory after every step, even if no layer is in the set.

        It is compiled, so it must work on tensors, change the memory in place, and neither draw nor look at
        `step.number`.

        Returns:
            for each hidden layer, whether units are due, as a number that `choose` is given: float64, []. Units are
            chosen after a step if any is above 0. Empty for a method that chooses after every step.
        """
        return []

    def choose(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        """Chooses the units to replace: for each hidden layer, in their order.

        Args:
            memory: what is remembered, to be changed in place.
            step: the step that was taken.
            due: what `update` returned.
        """
        raise NotImplementedError

    def after_step(self, memory: Memory, step: Step) -> list[list[int]]:
        """What follows every step: the memory is updated, and if units are due, they are chosen."""
        return self.chosen(memory, step, [float(number) for number in self.update(memory, step)])

    def chosen(self, memory: Memory, step: Step, due: Sequence[float]) -> list[list[int]]:
        """The units to replace, given what `update` returned: none where nothing is due."""
        if due and not any(number > 0 for number in due):
            return [[] for _ in step.activations]
        return self.choose(memory, step, due)

    def before_replacement(self, memory: Memory, step: Step, layer: int, unit: int) -> None:
        """Called just before a chosen unit is replaced; does nothing by default."""

    def shares(self, memory: Memory, step: Step, layer: int, units: Sequence[int]) -> Sequence[float | None]:
        """How far the weights of each of a layer's chosen units are moved; by default None: they are replaced.

        Returns:
            ρ: w_in ← (1 − ρ) w_in + ρ · fresh, with the weights of a new unit, and w_out ← (1 − ρ) w_out; its
            biases, gains and offsets, and what the optimiser remembers, stay. Or None.
        """
        return [None] * len(units)

    def canonical(self, run: Any) -> Any:
        return replace(self, layers=resolve(self.layers, len(run.hidden_units)))


def mean_over_samples(values: "Tensor") -> "Tensor":
    """The mean over the samples of a step, if there are several: [units]."""
    return values if values.ndim == 1 else values.mean(dim=0)
