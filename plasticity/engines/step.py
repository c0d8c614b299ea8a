"""The order within a step, which the reference and the compiled engine follow alike.

1. The forward and the backward pass.
2. The regulariser's terms are added to the gradients, at the parameters before the step.
3. The optimiser moves the parameters.
4. The perturbation, after every n-th step.
5. The bookkeeping of the replacement method, with this step's h and z, and the parameters as they are now.
6. All layers choose units, if any are due.
7. The chosen units are replaced, first layer first.
8. The constraint.

`ReferenceLearner.step` goes through them: `descend` is 2 to 4, `Replacement.update` 5, `Replacement.chosen` 6,
`constrain` 8. The compiled engine takes 1 to 5 in one piece of compiled code, and 8 in another. The intervention
and then the perturbation act at the start of a task, before its first step (`plasticity.training.record`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from plasticity.networks.layer import Place
from plasticity.networks.network import initial_parameters
from plasticity.replacement import Step
from plasticity.run import Run
from plasticity.streams import Purpose, standard_normal

Tensors = Mapping[str, Tensor]

Remembered = Mapping[str, Mapping[str, dict[str, Tensor]]]
"""What parts remember of parameters: by part, such as "optimiser", by parameter, and by name."""

Draws = Mapping[str, Tensors]
"""What is drawn for a step, by parameter: "noise" for the optimiser, "fresh" values for the perturbation; each is
empty where it is not needed."""


@dataclass(frozen=True)
class Taken:
    """A step up to its replacements, 1 to 5 of the order.

    Attributes:
        loss: before the update.
        score: sum of the examples' scores, before the update.
        done: what the replacement method may look at.
        due: what its bookkeeping returned.
    """

    loss: float
    score: float
    done: Step
    due: list[float]


def drawn(run: Run, known: Mapping[str, Place], initial: Tensors, number: int) -> Draws:
    """What is drawn for a step.

    Args:
        run: the run.
        known: the network's parameters by the names of their arrays.
        initial: the values that they started from.
        number: of the step in the run, from 0.
    """
    noise: dict[str, Tensor] = {}
    if run.optimiser.is_noisy:
        counts: dict[int, int] = {}
        for name, place in known.items():
            position = (place.layer, counts.setdefault(place.layer, 0), number)
            counts[place.layer] += 1
            draws = standard_normal(run.seed, Purpose.NOISE, position, place.parameter.size)
            noise[name] = torch.from_numpy(draws.reshape(place.parameter.shape))
    fresh: Tensors = {}
    if run.perturbation.due_after(number):
        fresh = initial
        if run.perturbation.draws:
            found = initial_parameters(run, Purpose.PERTURBATION, number)
            fresh = {name: torch.from_numpy(array) for name, array in found.items()}
    return {"noise": noise, "fresh": fresh}


def descend(
    run: Run,
    known: Mapping[str, Place],
    parameters: Tensors,
    gradients: Tensors,
    initial: Tensors,
    remembered: Remembered,
    draws: Draws,
) -> None:
    """2 to 4 of the order: regulariser, optimiser, perturbation.

    Args:
        run: the run.
        known: the network's parameters by the names of their arrays.
        parameters: their values, which are changed.
        gradients: the loss's gradients.
        initial: the values that the parameters started from.
        remembered: what the parts remember of each parameter, which is changed.
        draws: what was drawn for the step; the perturbation is due if there are fresh values.
    """
    regulariser, perturbation = remembered["regulariser"], remembered["perturbation"]
    total = {
        name: gradients[name]
        + run.regulariser.gradient(known[name], parameter, initial[name], regulariser[name])
        for name, parameter in parameters.items()
    }
    run.optimiser.descend(parameters, total, remembered["optimiser"], draws["noise"])
    for name, parameter in parameters.items():
        run.perturbation.observe(known[name], parameter, gradients[name], perturbation[name])
        if draws["fresh"]:
            run.perturbation.perturb(known[name], parameter, draws["fresh"][name], perturbation[name])


def constrain(run: Run, known: Mapping[str, Place], parameters: Tensors) -> None:
    """8 of the order: the constraint."""
    for name, parameter in parameters.items():
        run.constraint(parameter, known[name])
