"""What a replacement method may look at after a step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from plasticity.networks.layer import Layer, LayerArrays, Passed, of_layer
from plasticity.replacement import Replacement, Step
from plasticity.run import Run
from plasticity.streams import Purpose, unit_interval

Draws = tuple[Callable[[int], Tensor], Callable[[int], float]]


def draws_after(run: Run, number: int) -> Draws:
    """What a replacement method may draw after a step: `draw` and `chance` of `Step`.

    Args:
        run: the run.
        number: number of the step in the run, from 0.
    """

    def draw(layer: int) -> Tensor:
        units = run.layers[layer].units
        return torch.from_numpy(unit_interval(run.seed, Purpose.RANDOM_UTILITY, (layer, number), units))

    def chance(layer: int) -> float:
        return float(unit_interval(run.seed, Purpose.CHANCE, (number,), layer + 1)[layer])

    return draw, chance


def step_taken(
    number: int,
    layers: Sequence[Layer],
    parameters: Mapping[str, Tensor],
    hidden: Sequence[Passed],
    gradients: Sequence[Tensor],
    steps_per_task: int,
    draw: Callable[[int], Any],
    chance: Callable[[int], Any],
) -> Step:
    """What a replacement method may look at after a step; see `Step` for the arguments.

    Args:
        parameters: after the step, by the names of `places`.
        hidden: what each hidden layer made of the step's examples.
        gradients: as from `gradients_seen`.
    """
    pairs = list(zip(layers, hidden, strict=False))
    return Step(
        number,
        [layer.activity(passed.h.detach()) for layer, passed in pairs],
        [layer.samples(passed.z.detach()) for layer, passed in pairs],
        [LayerArrays(of_layer(layers, position, parameters)) for position in range(len(layers))],
        draw,
        chance,
        layers,
        [layer.by_column(passed.h.detach()) for layer, passed in pairs],
        gradients,
        steps_per_task,
    )


def gradients_seen(
    method: Replacement, layers: Sequence[Layer], gradients: Mapping[str, Tensor]
) -> list[Tensor]:
    """What `Step.gradient` gives for each hidden layer, if a method looks at it.

    Args:
        method: the method.
        layers: the network's layers, the output layer last.
        gradients: of the loss alone, by the names of `places`.
    """
    if "gradients" not in method.looks_at:
        return []
    return [layer.incoming(of_layer(layers, number, gradients)) for number, layer in enumerate(layers[:-1])]
