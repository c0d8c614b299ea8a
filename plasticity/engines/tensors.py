"""A network's arrays as the tensors of a learner."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plasticity.engines.step import Remembered
from plasticity.networks.layer import places
from plasticity.networks.network import Network
from plasticity.run import Run


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Copies of arrays, by name."""
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def replacement_memory(run: Run, network: Network) -> dict[str, list[Tensor]]:
    """What replacement remembers of each hidden layer, by name."""
    return {
        name: [torch.from_numpy(array.copy()) for array in network.remembered(name)]
        for name in run.replacement.memory_of(run.layers[0])
    }


def remembered(run: Run, network: Network) -> dict[str, dict[str, dict[str, Tensor]]]:
    """What parts remember of each parameter, as in `Remembered`: as stored or, failing that, as at the start."""
    known, parameters = places(run.layers), tensors(network.parameters)
    at_the_start = {
        "optimiser": {name: run.optimiser.memory(parameter) for name, parameter in parameters.items()},
        "regulariser": {name: run.regulariser.memory(known[name]) for name in parameters},
        "perturbation": {name: run.perturbation.memory(known[name]) for name in parameters},
    }
    return {
        part: {
            parameter: {
                name: torch.from_numpy(network.memory[stored].copy()) if stored in network.memory else tensor
                for name, tensor in fresh.items()
                for stored in [_stored(part, parameter, name)]
            }
            for parameter, fresh in of_part.items()
        }
        for part, of_part in at_the_start.items()
    }


def arrays_of(found: Remembered) -> dict[str, np.ndarray]:
    """The same as arrays, by the names in a network's `memory`."""
    return {
        _stored(part, parameter, name): tensor.numpy().copy()
        for part, of_part in found.items()
        for parameter, of_parameter in of_part.items()
        for name, tensor in of_parameter.items()
    }


def _stored(part: str, parameter: str, name: str) -> str:
    """For an optimiser's "mean" of "weights.0", "weights.mean.0"; of other parts, "weights.regulariser.v.0"."""
    kind, _, layer = parameter.rpartition(".")
    return f"{kind}.{name}.{layer}" if part == "optimiser" else f"{kind}.{part}.{name}.{layer}"


def copy_into(found: Any, values: Any) -> None:
    """Copies values into tensors, which stay where they are, as compiled code needs them; both may be nested."""
    if isinstance(found, Tensor):
        found.copy_(values)
        return
    for key in found if isinstance(found, dict) else range(len(found)):
        copy_into(found[key], values[key])
