"""The forms of users' own optimisers, regularisers and constraints: programs for parameters, in every step.

Rows of weights whose input is 0 never wait, as they do under gradient descent with weight decay: a step goes
through all weights, and all that is remembered of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plasticity.engines.kernel.memory import LayerMemory, aligned, padded
from plasticity.engines.traced import parameters
from plasticity.engines.traced.form import Traced
from plasticity.engines.traced.refusal import not_traced
from plasticity.engines.traced.source import Program
from plasticity.networks.layer import Place, places
from plasticity.networks.network import Network, origin
from plasticity.optimisers import Optimiser
from plasticity.regularisers import Regulariser


class TracedTerm(Traced):
    """A regulariser: its term is part of the optimiser's program."""

    def trace(self) -> list[Program]:
        if type(self.part).gradient is not Regulariser.gradient:
            raise not_traced(type(self.part).gradient)
        for place in places(self.run.layers).values():
            if place.parameter.regularised:
                parameters.term(self.run, place)
        return []


class TracedMovement(Traced):
    """An optimiser, with the regulariser's term: a program for every parameter."""

    def trace(self) -> list[Program]:
        if type(self.part).descend is not Optimiser.descend:
            raise not_traced(type(self.part).descend)
        return [
            parameters.movement(self.run, place, self._fresh(place))
            for place in places(self.run.layers).values()
        ]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer in memory:
            values = layer.parameters()
            layer.keep_whole_rows()
            layer.arrays["input"] = aligned((self.run.dataset.batch_size, padded(layer.inputs + 1)))
            cleared: dict[str, list[int]] = {"of_weights": [], "of_units": []}
            for kind, parameter in values.items():
                layer.own[f"{kind}_parameter"] = layer.parameter(kind)
                _room(layer, f"{kind}_initial", parameter, parameter)
                for position, fresh in enumerate(started(self.part, parameter).values()):
                    array = _room(layer, f"{kind}_memory_{position}", fresh, parameter)
                    if fresh.shape == parameter.shape:
                        cleared[_cleared_with(parameter)].append(array.ctypes.data)
            layer.arrays |= {name: np.array(pointers, np.uint64) for name, pointers in cleared.items()}
        self.give_each("move", memory)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.by_programs, learner.kept = 1, 1.0
        for place in places(self.run.layers).values():
            layer, parameter = layers[place.layer], _zeros(place)
            field = f"remembered_{_cleared_with(parameter)}"
            number = sum(values.shape == parameter.shape for values in self._fresh(place).values())
            setattr(layer, field, getattr(layer, field) + number)

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        start = origin(self.run, network)
        for name, place in places(self.run.layers).items():
            layer, parameter = memory[place.layer], network.parameters[name]
            _room(layer, f"{place.kind}_initial", start[name], parameter)
            for position, (kept, fresh) in enumerate(started(self.part, parameter).items()):
                values = network.memory.get(_stored(place, kept), fresh)
                _room(layer, f"{place.kind}_memory_{position}", values, parameter)

    def remembered(
        self, memory: Sequence[LayerMemory], layers: Sequence[Any], clock: int
    ) -> dict[str, np.ndarray]:
        found = {}
        for place in places(self.run.layers).values():
            layer = memory[place.layer]
            for position, (name, fresh) in enumerate(self._fresh(place).items()):
                array = f"{place.kind}_memory_{position}"
                if array in layer.rows:
                    kept = layer.of_rows(layer.rows[array])
                else:
                    kept = layer.own[array]
                    kept = (kept[: layer.units] if fresh.shape == place.parameter.shape else kept).copy()
                found[_stored(place, name)] = kept
        return found

    def _fresh(self, place: Place) -> dict[str, np.ndarray]:
        """What is remembered of a parameter at the start, where only its shape matters."""
        return started(self.part, _zeros(place))


class TracedConstraint(Traced):
    """A constraint: a program for every parameter that it does not leave alone."""

    def trace(self) -> list[Program]:
        return [parameters.constraint(self.run, place) for place in places(self.run.layers).values()]

    def arrange(self, memory: Sequence[LayerMemory]) -> None:
        for layer in memory:
            layer.keep_whole_rows()
            for kind in layer.parameters():
                layer.own[f"{kind}_parameter"] = layer.parameter(kind)
        self.give_each("constrain", memory)

    def tell(self, learner: Any, layers: Sequence[Any]) -> None:
        learner.constrains = any(program.arrays for program in self.programs())


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


def _zeros(place: Place) -> np.ndarray:
    return np.zeros(place.parameter.shape, np.float32)


def _stored(place: Place, name: str) -> str:
    """The name of what is remembered of a parameter in a network's `memory`."""
    return f"{place.kind}.{name}.{place.layer}"


def _cleared_with(parameter: np.ndarray) -> str:
    """The field of `Layer` for what is remembered of every entry of such a parameter."""
    return "of_weights" if parameter.ndim == 2 else "of_units"
