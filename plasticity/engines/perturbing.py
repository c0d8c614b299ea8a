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
        self.places = places(self.run.layers)
        self.parameters = [layer.parameters() for layer in memory]
        self.drawn: dict[tuple[int, ...], np.ndarray] = {}
        self.start = {} if self.part.draws else origin(self.run, network)

    def perturb(self, step: int, memory: Sequence[LayerMemory]) -> None:
        import torch

        fresh = self.start or initial_parameters(self.run, Purpose.PERTURBATION, step, self._draw)
        for number, (layer, parameters) in enumerate(zip(memory, self.parameters, strict=True)):
            layer.take(parameters)
            with torch.no_grad():
                for kind, parameter in parameters.items():
                    name = f"{kind}.{number}"
                    given = torch.from_numpy(parameter), torch.from_numpy(fresh[name])
                    self.part.perturb(self.places[name], *given, {})
            layer.put(parameters)

    def _draw(
        self, bound: float, seed: int, purpose: Purpose, position: tuple[int, ...], count: int
    ) -> np.ndarray:
        """Draws into memory that is kept, since new memory would take long to get."""
        if position[:2] not in self.drawn:
            self.drawn[position[:2]] = np.empty(count, np.float32)
        return binding.uniform(bound, seed, purpose, position, self.drawn[position[:2]])


def looks_between(part: Perturbation) -> str | None:
    """What a perturbation does besides acting when it is due; None for nothing."""
    for method in (Perturbation.observe, Perturbation.memory):
        if getattr(type(part), method.__name__) is not method:
            return f"its {method.__name__}"
    return None
