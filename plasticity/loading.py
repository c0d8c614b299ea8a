"""A run's network as a PyTorch module, from a snapshot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from plasticity.errors import Damaged, UserError
from plasticity.machine.folders import expanded
from plasticity.networks.layer import Layer, Passed, of_layer
from plasticity.networks.network import Network
from plasticity.run import Run
from plasticity.store import RunFolder, stored_run

if TYPE_CHECKING:
    from plasticity.store.snapshot import Snapshot


class LoadedNetwork(torch.nn.Module):
    """A run's network. `layers[0].weight` are the weights of its first layer, and so on.

    Args:
        layers: the run's layers.
        network: their parameters; copied.
    """

    def __init__(self, layers: Sequence[Layer], network: Network):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            LoadedLayer(layer, of_layer(layers, number, network.parameters))
            for number, layer in enumerate(layers)
        )

    def hidden(self, inputs: Tensor) -> list[Tensor]:
        """h of each hidden layer: [examples, units]; of a convolution, [examples, channels · positions]."""
        return [passed.h for passed in self._propagated(inputs)[:-1]]

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs, logits of a classification, for inputs as from `Task.inputs`: [examples, outputs]."""
        return self._propagated(inputs)[-1].outputs

    def _propagated(self, inputs: Tensor) -> list[Passed]:
        found: list[Passed] = []
        for layer in self.layers:
            found.append(layer(inputs))
            inputs = found[-1].outputs
        return found


class LoadedLayer(torch.nn.Module):
    """A layer, with its parameters by the names that PyTorch's modules have for them.

    Args:
        layer: the layer.
        parameters: its parameters by name; copied.
    """

    def __init__(self, layer: Layer, parameters: Mapping[str, np.ndarray]):
        super().__init__()
        self.layer = layer
        for kind, array in parameters.items():
            name = {"weights": "weight", "biases": "bias"}.get(kind, kind)
            self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array).clone()))

    def extra_repr(self) -> str:
        return ", ".join(f"{name} {list(parameter.shape)}" for name, parameter in self.named_parameters())

    def forward(self, inputs: Tensor) -> Passed:
        named = zip(self.layer.parameters, self.parameters(), strict=True)
        return self.layer.forward(dict(named), inputs, linear)


def load_network(
    run: Run | str | Path, task: int | None = None, runs_dir: str | Path = "runs"
) -> LoadedNetwork:
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
        several = f"there are snapshots from before tasks {', '.join(map(str, kept))}"
        single = f"there is one, from before task {''.join(map(str, kept))}, which is loaded without a task"
        there = several if len(kept) > 1 else single if kept else "there are none"
        asked = "a snapshot" if task is None else f"a snapshot from before task {task}"
        raise UserError(
            f"{folder.path} lacks {asked}: {there}. snapshots.every=N keeps one before every Nth task."
        )
    try:
        snapshot: Snapshot = folder.snapshot(kept[-1] if task is None else task)
    except (Damaged, OSError) as error:
        raise UserError(f"{folder.path}: {error}.") from error
    return LoadedNetwork(stored.layers, snapshot.network)


def _folder(run: Run | str | Path, runs_dir: Path) -> RunFolder:
    if isinstance(run, Run):
        return RunFolder.of(runs_dir, run)
    path = expanded(run)
    return RunFolder(runs_dir / path if isinstance(run, str) and path.name == run else path)
