"""A run's network as a PyTorch module, from a snapshot."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from plasticity.activations import Activation
from plasticity.engines.reference import linear_layer, propagate
from plasticity.errors import Damaged, UserError
from plasticity.machine.folders import expanded
from plasticity.networks.network import Network
from plasticity.run import Run
from plasticity.store import RunFolder, stored_run

if TYPE_CHECKING:
    from plasticity.store.snapshot import Snapshot


class Perceptron(torch.nn.Module):
    """A run's network: hidden layers, each Linear then activation, then a Linear to the outputs.

    Args:
        network: its weights and biases; copied.
        activation: the activation of its hidden units.
    """

    def __init__(self, network: Network, activation: Activation):
        super().__init__()
        self.activation = activation
        layers = zip(network.weights, network.biases, strict=True)
        self.layers = torch.nn.ModuleList(linear_layer(weight, bias) for weight, bias in layers)

    def hidden(self, inputs: Tensor) -> list[Tensor]:
        """h of each hidden layer: [examples, units]."""
        return self._propagated(inputs)[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs, logits of a classification, for inputs as from `Task.inputs`: [examples, outputs]."""
        return self._propagated(inputs)[0]

    def _propagated(self, inputs: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        return propagate(self.activation, cast(list[torch.nn.Linear], list(self.layers)), inputs)


def load_network(run: Run | str | Path, task: int | None = None, runs_dir: str | Path = "runs") -> Perceptron:
    """The network of a stored run as a PyTorch module, which predicts as the run did.

    Args:
        run: the folder of the run, such as "runs/b652c408bb4f"; or the run or its identity, in `runs_dir`.
        task: number of the task before which the network was kept; with 1,100 tasks, 1,100 is the network after the
            last. None for the last network that was kept.
        runs_dir: the directory of runs.

    Raises:
        UserError: if there is no such run or snapshot.
    """
    folder = _folder(run, expanded(runs_dir))
    stored = stored_run(folder)
    kept = folder.snapshots()
    if not kept or (task is not None and task not in kept):
        there = f"there are some from before tasks {', '.join(map(str, kept))}" if kept else "there are none"
        asked = "a snapshot" if task is None else f"a snapshot from before task {task}"
        raise UserError(
            f"{folder.path} lacks {asked}: {there}. snapshots.every=N keeps one before every Nth task."
        )
    try:
        snapshot: Snapshot = folder.snapshot(kept[-1] if task is None else task)
    except (Damaged, OSError) as error:
        raise UserError(f"{folder.path}: {error}.") from error
    return Perceptron(snapshot.network, stored.activation)


def _folder(run: Run | str | Path, runs_dir: Path) -> RunFolder:
    if isinstance(run, Run):
        return RunFolder.of(runs_dir, run)
    path = expanded(run)
    return RunFolder(runs_dir / path if isinstance(run, str) and path.name == run else path)
