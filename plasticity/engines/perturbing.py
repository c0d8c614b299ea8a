"""The form of perturbations that act after steps: the kernel waits while the part's own code acts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plasticity.engines.form import Form
from plasticity.engines.kernel import binding
from plasticity.engines.kernel.memory import LayerMemory
from plasticity.networks.layer import places
from plasticity.networks.network import Network, initial_parameters, origin
from plasticity.perturbations import Perturbation
from plasticity.streams import Purpose


class PerturbedInPython(Form):
    """A perturbation that looks at nothing between the steps after which it is due."""

    def restore(self, network: Network, memory: Sequence[LayerMemory], layers: Sequence[Any]) -> None:
        if not self.part.draws:
            start = origin(self.run, network)
            for number, layer in enumerate(memory):
                layer.own |= {f"start_{kind}": start[f"{kind}.{number}"] for kind in layer.parameters()}

    def perturb(self, step: int, memory: Sequence[LayerMemory]) -> None:
        import torch

        drawn = {}
        if self.part.draws:
            drawn = initial_parameters(self.run, Purpose.PERTURBATION, step, binding.uniform)
        known = places(self.run.layers)
        for number, layer in enumerate(memory):
            parameters = layer.parameters()
            for kind, parameter in parameters.items():
                name = f"{kind}.{number}"
                fresh: np.ndarray = drawn[name] if drawn else layer.own[f"start_{kind}"]
                with torch.no_grad():
                    self.part.perturb(known[name], torch.from_numpy(parameter), torch.from_numpy(fresh), {})
            layer.put(parameters)


def looks_between(part: Perturbation) -> str | None:
    """What a perturbation does besides acting when it is due; None for nothing."""
    for method in (Perturbation.observe, Perturbation.memory):
        if getattr(type(part), method.__name__) is not method:
            return f"its {method.__name__}"
    return None
