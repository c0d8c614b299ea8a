"""The form of an optimiser or a regulariser of a user's own: a program moves every parameter in every step.

Nothing lets rows of weights wait whose input is 0, as they do under gradient descent with weight decay: a step goes
through all weights, and all that is remembered of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.engines.traced import trace
from plasticity.engines.traced.form import Traced, give
from plasticity.engines.traced.refusal import Refused, not_traced
from plasticity.engines.traced.source import Program
from plasticity.networks.network import Network, origin
from plasticity.optimisers import Optimiser
from plasticity.regularisers import Regulariser
from plasticity.run import Run

KINDS = ("weights", "biases")


class TracedTerm(Traced):
    """A regulariser: its term is part of the optimiser's program."""

    def trace(self) -> list[Program]:
        if type(self.part).gradient is not Regulariser.gradient:
            raise not_traced(type(self.part).gradient)
        for shape in _shapes(self.run):
            for kind in KINDS:
                trace.term(self.run, shape, kind == "weights")
        return []


class TracedMovement(Traced):
    """An optimiser, with the regulariser's term: programs for the weights and the biases of each layer."""

    def trace(self) -> list[Program]:
        if type(self.part).descend is not Optimiser.descend:
            raise not_traced(type(self.part).descend)
        if any(set(layer.parameters) != set(KINDS) for layer in self.run.layers):
            raise Refused("with layer normalisation")
        return [
            trace.movement(self.run, shape, kind == "weights", started(self.part, _zeros(shape, kind)))
            for shape in _shapes(self.run)
            for kind in KINDS
        ]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        programs = iter(zip(self.programs(), self.addresses(), strict=True))
        batch = self.run.dataset.batch_size
        for layer in memory:
            weights, biases = layer.weight, layer["bias"].copy()
            layer.keep_whole_rows()
            layer.arrays["input"] = aligned((batch, padded(layer.inputs + 1)))
            layer.own["weights_parameter"] = layer.arrays["body"]
            layer.own["biases_parameter"] = layer.arrays["bias"]
            layer.rows["weights_initial"] = layer.rows_of(weights)
            layer.own["biases_initial"] = aligned(padded(layer.units))
            for kind, parameter in zip(KINDS, (weights, biases), strict=True):
                pointers = []
                for place, values in enumerate(started(self.part, parameter).values()):
                    array = _room(layer, f"{kind}_memory_{place}", values, parameter)
                    if values.shape == parameter.shape:
                        pointers.append(array.ctypes.data)
                layer.arrays[f"of_{kind}"] = np.array(pointers, np.uint64)
            for field in ("move_weights", "move_biases"):
                give(layer, field, *next(programs))

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.by_programs, learner.kept = 1, 1.0
        for layer, shape in zip(layers, _shapes(self.run), strict=True):
            for kind in KINDS:
                parameter = _zeros(shape, kind)
                remembered = started(self.part, parameter).values()
                number = sum(values.shape == parameter.shape for values in remembered)
                setattr(layer, f"remembered_of_{kind}", number)

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        start = origin(self.run, network)
        for number, layer in enumerate(memory):
            layer.rows["weights_initial"][...] = layer.rows_of(start[f"weights.{number}"])
            layer.own["biases_initial"][: layer.units] = start[f"biases.{number}"]
            for kind, parameter in (("weights", network.weights[number]), ("biases", network.biases[number])):
                for place, (name, fresh) in enumerate(started(self.part, parameter).items()):
                    values = network.memory.get(f"{kind}.{name}.{number}", fresh)
                    _room(layer, f"{kind}_memory_{place}", values, parameter)

    def remembered(
        self, memory: Sequence[LayerMemory], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        found = {}
        for number, (layer, shape) in enumerate(zip(memory, _shapes(self.run), strict=True)):
            for kind in KINDS:
                parameter = _zeros(shape, kind)
                for place, (name, values) in enumerate(started(self.part, parameter).items()):
                    array = f"{kind}_memory_{place}"
                    if array in layer.rows:
                        kept = layer.of_rows(layer.rows[array])
                    else:
                        kept = layer.own[array]
                        kept = (kept[: layer.units] if values.shape == parameter.shape else kept).copy()
                    found[f"{kind}.{name}.{number}"] = kept
        return found


def started(optimiser: Optimiser, parameter: np.ndarray) -> dict[str, np.ndarray]:
    """What an optimiser remembers of a parameter at the start."""
    if type(optimiser).memory is Optimiser.memory:
        return {}
    import torch

    return {
        name: tensor.numpy().copy() for name, tensor in optimiser.memory(torch.from_numpy(parameter)).items()
    }


def _room(layer: LayerMemory, name: str, values: np.ndarray, parameter: np.ndarray) -> np.ndarray:
    """The array for what is remembered of a layer's parameter, holding these values."""
    if values.shape == parameter.shape and values.ndim == 2:
        fresh, kept = layer.rows_of(values), layer.rows
    else:
        kept = layer.own
        if values.shape == parameter.shape:
            fresh = aligned(padded(layer.units), values.dtype.type)
            fresh[: layer.units] = values
        else:
            fresh = aligned(values.shape or 1, values.dtype.type).reshape(values.shape)
            fresh[...] = values
    if name in kept:
        kept[name][...] = fresh
    else:
        kept[name] = fresh
    return kept[name]


def _shapes(run: Run) -> Iterator[trace.Shape]:
    """The shapes of a run's layers."""
    sizes, batch = run.layer_sizes, run.dataset.batch_size
    for inputs, units in zip(sizes, sizes[1:], strict=False):
        yield trace.Shape(units, inputs, batch)


def _zeros(shape: trace.Shape, kind: str) -> np.ndarray:
    return np.zeros((shape.units, shape.inputs) if kind == "weights" else shape.units, np.float32)
