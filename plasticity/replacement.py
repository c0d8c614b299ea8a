"""Continual backpropagation (Dohare et al. 2024), layer by layer, in PyTorch: the definition.

After every step of gradient descent each hidden layer ages its units, updates what it knows of them, and may
choose the least useful mature ones; then the chosen units of all layers are made anew, first layer first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from torch import Tensor

from plasticity.activations import replacement_bound
from plasticity.config import RunConfig
from plasticity.network import State
from plasticity.streams import Purpose, uniform, unit_interval


@dataclass
class Measures:
    """What the utilities are made of, one value per unit of a layer: [width].

    Attributes:
        activation: h, in this step's forward pass.
        mean_activation: f̂, the running mean activation corrected for its start.
        outgoing: mean |w_out| over the units that a unit leads to, after the step.
        incoming: mean |w_in| over a unit's inputs, after the step.
    """

    activation: Tensor
    mean_activation: Tensor
    outgoing: Tensor
    incoming: Tensor


UTILITIES: dict[str, Callable[[Measures], Tensor]] = {
    "contribution": lambda m: m.activation.abs() * m.outgoing,
    "zero_contribution": lambda m: (m.activation - m.mean_activation).abs() * m.outgoing,
    "adaptable_contribution": lambda m: (m.activation - m.mean_activation).abs() * m.outgoing / m.incoming,
    "adaptation": lambda m: 1 / m.incoming,
    "weight": lambda m: m.outgoing,
    "feature_by_input": lambda m: (m.activation - m.mean_activation).abs() / m.incoming,
    "random": lambda m: torch.zeros_like(m.activation),
}
"""Instantaneous utility y by name. `random` keeps none: units are chosen by a uniform draw instead of û."""


class ContinualBackpropagation:
    """The replacement of units in one network.

    Args:
        config: the run; its replacement set says which layers are ever replaced.
        layers: the network's linear layers, the output layer last; replaced units are written into them.
        state: ages, utilities, mean activations and debts to go on from.
    """

    def __init__(self, config: RunConfig, layers: list[torch.nn.Linear], state: State):
        self.config, self.layers = config.replacement, layers
        self.seed = config.seed
        self.measure = UTILITIES[config.replacement.utility]
        self.rates = [
            config.replacement.rate if layer in config.replacement.layers else 0.0
            for layer in range(1, config.model.depth + 1)
        ]
        self.bounds = [replacement_bound(config.activation.name, layer.in_features) for layer in layers[:-1]]
        self.age = [torch.from_numpy(age.copy()) for age in state.age]
        self.utility = [torch.from_numpy(utility.copy()) for utility in state.utility]
        self.mean_activation = [torch.from_numpy(mean.copy()) for mean in state.mean_activation]
        self.debt = [float(debt) for debt in state.debt]

    @torch.no_grad()
    def step(self, activations: list[Tensor], step: int) -> list[int]:
        """Follows one step of gradient descent.

        Args:
            activations: h of each hidden layer in the step's forward pass: [width] each.
            step: number of the step in the run, from 0; the position of this step's draws.

        Returns:
            number of units replaced in each hidden layer
        """
        for layer, activation in enumerate(activations):
            self._update(layer, activation)
        chosen = [self._choose(layer, step) for layer in range(len(activations))]
        for layer, units in enumerate(chosen):
            for unit in units:
                self._replace(layer, unit, step)
        return [len(units) for units in chosen]

    def _update(self, layer: int, activation: Tensor) -> None:
        """Age, running mean activation and running utility of a layer's units."""
        eta = self.config.decay_rate
        self.age[layer] += 1
        self.mean_activation[layer].mul_(eta).add_(activation, alpha=1 - eta)
        measures = Measures(
            activation=activation,
            mean_activation=self._corrected(self.mean_activation, layer),
            outgoing=self.layers[layer + 1].weight.abs().mean(dim=0),
            incoming=self.layers[layer].weight.abs().mean(dim=1),
        )
        self.utility[layer].mul_(eta).add_(self.measure(measures), alpha=1 - eta)

    def _corrected(self, running: list[Tensor], layer: int) -> Tensor:
        """A running mean over 1 − η^age, which removes the pull of its start at 0."""
        return (running[layer] / (1 - self.config.decay_rate ** self.age[layer].double())).float()

    def _choose(self, layer: int, step: int) -> list[int]:
        """The units that a layer is to lose: as many as it owes, the least useful of the mature ones."""
        eligible = torch.nonzero(self.age[layer] > self.config.maturity_threshold).flatten()
        self.debt[layer] += self.rates[layer] * len(eligible)
        number = floor(self.debt[layer])
        self.debt[layer] -= number
        if number == 0:
            return []
        least_first = torch.argsort(self._ranking(layer, step)[eligible], stable=True)
        return [int(unit) for unit in eligible[least_first[:number]]]

    def _ranking(self, layer: int, step: int) -> Tensor:
        """What a layer's units are ranked by: û, or a uniform draw."""
        if self.config.utility == "random":
            draws = unit_interval(self.seed, Purpose.RANDOM_UTILITY, (layer, step), len(self.age[layer]))
            return torch.from_numpy(draws)
        return self._corrected(self.utility, layer)

    def _replace(self, layer: int, unit: int, step: int) -> None:
        """Makes a unit anew: incoming weights drawn afresh, all else of it 0."""
        incoming, outgoing = self.layers[layer], self.layers[layer + 1]
        if self.config.bias_compensation:
            mean = self._corrected(self.mean_activation, layer)[unit]
            outgoing.bias.add_(mean * outgoing.weight[:, unit])
        position = (layer, unit, step)
        draws = uniform(self.bounds[layer], self.seed, Purpose.REPLACEMENT, position, incoming.in_features)
        incoming.weight[unit] = torch.from_numpy(draws)
        incoming.bias[unit] = 0
        outgoing.weight[:, unit] = 0
        self.utility[layer][unit] = 0
        self.mean_activation[layer][unit] = 0
        self.age[layer][unit] = 0

    def write(self, state: State) -> None:
        """Puts ages, utilities, mean activations and debts into a state, as copies."""
        state.age = [age.numpy().copy() for age in self.age]
        state.utility = [utility.numpy().copy() for utility in self.utility]
        state.mean_activation = [mean.numpy().copy() for mean in self.mean_activation]
        state.debt = np.array(self.debt, np.float64)
