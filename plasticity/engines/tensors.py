"""A network's arrays as the tensors of a learner."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

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


def optimiser_memory(run: Run, network: Network) -> dict[str, dict[str, Tensor]]:
    """What the optimiser remembers of each parameter, by name: as stored or, failing that, as at the start."""
    found: dict[str, dict[str, Tensor]] = {}
    for parameter_name, parameter in tensors(network.parameters).items():
        kind, _, layer = parameter_name.rpartition(".")
        found[parameter_name] = {
            name: torch.from_numpy(network.memory[stored].copy()) if stored in network.memory else tensor
            for name, tensor in run.optimiser.memory(parameter).items()
            for stored in [f"{kind}.{name}.{layer}"]
        }
    return found


def copy_into(found: Any, values: Any) -> None:
    """Copies values into tensors, which stay where they are, as compiled code needs them; both may be nested."""
    if isinstance(found, Tensor):
        found.copy_(values)
        return
    for key in found if isinstance(found, dict) else range(len(found)):
        copy_into(found[key], values[key])
