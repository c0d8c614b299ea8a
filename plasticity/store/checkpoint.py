"""Checkpoints: where a run can be resumed."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from plasticity.errors import Damaged
from plasticity.machine.files import atomic_write
from plasticity.networks.network import Network, initial_network
from plasticity.run import Run


@dataclass(frozen=True)
class Checkpoint:
    """A network between two records, and what belongs with it.

    Attributes:
        rows: number of rows that came before it.
        engine: the engine that wrote it, and the only one that can continue to the same numbers.
        network: the network after those rows.
    """

    rows: int
    engine: str
    network: Network

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The checkpoint in a file; None if there is none.

        Raises:
            Damaged: when it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
            rows, engine = int(arrays.pop("rows")), str(arrays.pop("engine"))
            return cls(rows, engine, Network.from_arrays(arrays))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
            raise Damaged(f"{path.name} cannot be read ({error})") from error

    def write(self, path: Path) -> None:
        """Replaces the file; it is on the disk when this returns."""
        arrays: dict[str, Any] = self.network.arrays()
        arrays |= {"rows": np.array(self.rows), "engine": np.array(self.engine)}
        atomic_write(path, lambda file: np.savez(file, **arrays))

    def check(self, run: Run) -> None:
        """Makes sure that it is a checkpoint of a run's network.

        Raises:
            Damaged: when it is not.
        """
        expected, found = initial_network(run).arrays(), self.network.arrays()
        for name, array in expected.items():
            if name not in found or (found[name].shape, found[name].dtype) != (array.shape, array.dtype):
                raise Damaged(f"its checkpoint is invalid ({name} is missing or has another shape)")
        if not self.network.is_finite():
            raise Damaged("its checkpoint is invalid (weights or biases are not finite)")
        if not 0 < self.rows <= run.dataset.records:
            raise Damaged(f"its checkpoint is invalid (it comes after {self.rows} rows)")
