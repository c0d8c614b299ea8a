"""Snapshots: the network of a run between two tasks, in a file that PyTorch and NumPy read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from plasticity.errors import Damaged
from plasticity.machine.files import atomic_write
from plasticity.networks.network import Network
from plasticity.run import Run


@dataclass(frozen=True)
class Snapshot:
    """A network between two tasks.

    Its file holds the parameters of each layer, `weights.0`, `biases.0` and so on, and what replacement
    remembers of its units, such as `age.0` and `utility.0`; what is remembered of parameters, such as by an
    optimiser, is left out.

    Attributes:
        task: the task before which it was taken; the number of tasks for the network after the last.
        engine: the engine that computed it.
        network: the network.
    """

    task: int
    engine: str
    network: Network

    @classmethod
    def read(cls, path: Path) -> Self:
        """The snapshot in a file.

        Raises:
            FileNotFoundError: when there is none.
            Damaged: when it cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as stored:
                arrays = {name: np.array(stored.get_tensor(name)) for name in stored.keys()}  # noqa: SIM118
                said = json.loads((stored.metadata() or {})["snapshot"])
            return cls(int(said["task"]), str(said["engine"]), Network.from_arrays(arrays))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise Damaged(f"{path.name} cannot be read ({error})") from error

    @staticmethod
    def is_whole(path: Path) -> bool:
        """Whether a file holds a snapshot and was not cut off, going by its header, which says how long it is."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as stored:
                return "snapshot" in (stored.metadata() or {})
        except (OSError, SafetensorError):
            return False

    def write(self, path: Path) -> None:
        """Replaces the file; it is on the disk when this returns."""
        from safetensors.numpy import save

        memory = {name: array for name, array in self.network.memory.items() if not _of_a_parameter(name)}
        kept = Network(self.network.parameters, memory).arrays()
        # As one text: safetensors writes several in any order, but equal snapshots must give equal files.
        said = json.dumps({"task": self.task, "engine": self.engine})
        atomic_write(path, save(kept, {"snapshot": said}))


def _of_a_parameter(name: str) -> bool:
    """Whether what is remembered is of a parameter, such as "weights.momentum.0", not of a layer, as "age.0" is."""
    return name.count(".") > 1


def due(run: Run, every: int) -> list[int]:
    """The tasks before which a run's network is kept, in order; the number of tasks for that after the last.

    Args:
        run: the run.
        every: number of tasks from one snapshot to the next; 0 for that after the last task alone.
    """
    ends = range(run.dataset.tasks_per_record, run.dataset.tasks, run.dataset.tasks_per_record)
    return [*(task for task in ends if every and task % every == 0), run.dataset.tasks]
