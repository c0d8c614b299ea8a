"""Interventions: what is done to a whole network at the start of every task but the first."""

from dataclasses import dataclass
from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np

from plasticity.part import Part, choice
from plasticity.streams import Purpose

if TYPE_CHECKING:
    from plasticity.networks.network import Network
    from plasticity.run import Run


class Intervention(Part):
    """A change to a network just before the first forward pass of a task, and before any perturbation.

    Snapshots, and what diagnostics measure before a task, are of the network as the task before left it.
    """

    def due(self, task: int) -> bool:
        """Whether it acts at the start of a task: of every one but the first, whose number is 0."""
        return task > 0

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        """Changes a network in place.

        Args:
            run: the run, whose layers say what the network's parameters are.
            network: its parameters, and what is remembered. What the optimiser remembers starts over if removed.
            task: number of the task, from 0.
        """
        raise NotImplementedError


class NoIntervention(Intervention, name="none"):
    """No intervention: a task starts from the network that the previous one left."""

    def due(self, task: int) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Reset(Intervention, name="reset"):
    """Parameters are drawn anew, as at initialisation, and what is remembered of them is cleared.

    Attributes:
        part: what is reset: the whole network (full), including the initial values that regularisers use, as a
            baseline that cannot lose plasticity; or the output layer alone (head).
    """

    part: str = choice("full", options=("full", "head"))

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        from plasticity.networks.network import INITIAL, initial_memory, initial_parameters

        fresh = initial_parameters(run, Purpose.RESET, task)
        if self.part == "full":
            network.parameters |= fresh
            network.memory = initial_memory(run) | {f"{INITIAL}{name}": one for name, one in fresh.items()}
            return
        output = len(run.layers) - 1
        for kind in run.layers[output].parameters:
            network.parameters[f"{kind}.{output}"] = fresh[f"{kind}.{output}"]
            for name in list(network.memory):  # what the optimiser remembers of it
                if name.startswith(f"{kind}.") and name.endswith(f".{output}"):
                    del network.memory[name]


class Fire(Intervention, name="fire"):
    """Frobenius-isometry reinitialisation: every weight matrix is replaced by a nearly orthogonal one close to it.

    As in the authors' code (ICLR 2026, github.com/isaac7778/FIRE), a convolution's filters are one matrix for each
    position of the kernel. Matrix products are NumPy's: their last digits may depend on the processor.
    """

    def __call__(self, run: "Run", network: "Network", task: int) -> None:
        from plasticity.networks.layer import places

        for name, place in places(run.layers).items():
            if place.parameter.is_weight:
                network.parameters[name] = isometric(network.parameters[name])


def isometric(weights: np.ndarray) -> np.ndarray:
    """O √(outputs / inputs) / positions, O the result of `orthogonalised` for each position of a kernel.

    Args:
        weights: float32, [outputs, inputs], or [outputs, inputs, height, width] for filters.
    """
    outputs, inputs, *kernel = weights.shape
    matrices = weights.astype(np.float64).reshape(outputs, inputs, -1)
    scale = sqrt(outputs / inputs) / prod(kernel)
    found = [scale * orthogonalised(matrices[..., position]) for position in range(matrices.shape[-1])]
    return np.stack(found, axis=-1).reshape(weights.shape).astype(np.float32)


def orthogonalised(matrix: np.ndarray, iterations: int = 10) -> np.ndarray:
    """X = W / ‖W‖_F, then X ← 1.5 X − 0.5 X Xᵀ X, ten times (Newton and Schulz); a matrix of zeros stays.

    Each X is the first one times a polynomial of XᵀX, so it is the eigenvalues of that which are iterated: this
    takes a third of the time.
    """
    norm, is_wide = np.linalg.norm(matrix), matrix.shape[1] > matrix.shape[0]
    if norm == 0:
        return matrix
    x = (matrix.T if is_wide else matrix) / norm
    eigenvalues, vectors = np.linalg.eigh(x.T @ x)
    polynomial = np.ones_like(eigenvalues)
    for _ in range(iterations):
        factor = 1.5 - 0.5 * eigenvalues
        polynomial *= factor
        eigenvalues *= factor**2
    x = x @ (vectors * polynomial @ vectors.T)
    nearest: np.ndarray = x.T if is_wide else x
    return nearest
