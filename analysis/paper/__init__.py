"""Table 1 of the paper: its rows, its columns, its published numbers, and the runs behind each cell."""

from dataclasses import replace
from functools import cache

import pandas as pd

from plasticity.composition.compose import compose_all
from plasticity.errors import ImpossibleLayer
from plasticity.run import Run

from ..tables.declaration import declare
from ..tables.grid import declared as declared_grid
from ..tables.measure import Measure
from ..tables.published import Comparison

TABLE = declare("table_1", {})
"""Table 1, as `conf/table/table_1.yaml` declares it."""

GRID = declared_grid(TABLE)
"""Its sections, rows and columns; the key of a row is its network's file in `conf/tuned/`."""

COMPARISON = Comparison.of(
    TABLE, GRID, Measure("online accuracy", percent=True, higher_is_better=True, over="")
)
"""Its comparison with the published numbers."""

NETWORKS = tuple(GRID.rows)
"""The networks of Table 1, each once."""

COLUMNS = {column.key: column.label for column in GRID.columns}
"""Title of each column, by the replacement set as in `conf/replacement/`."""

DEEPER = tuple(f"layer_{number}" for number in range(4, 8))
"""The layers that the table leaves out, where a network has them before its last one."""

CELLS: dict[str, tuple[str, str]] = {
    **{replacement: (replacement, "cbp") for replacement in [*COLUMNS, *DEEPER, "none", "except_first"]},
    "tuned_bp": ("none", "bp"),
    "tuned_l2": ("none", "l2"),
}
"""The replacement set and tuned method that a network is run with: the table's columns, at the step size of
continual backpropagation, and the baselines that they are compared with."""

NAMES = {"row": "network", "column": "replacement"}
"""What the table's rows and columns are called in frames about the paper."""

names = GRID.name
"""The names of a network in all of its rows: "Width 100 = ReLU = Depth 5"."""


def run(network: str, cell: str, seed: int, tasks: int, examples_per_task: int) -> Run | None:
    """The run of a cell, as `conf/` declares it.

    Args:
        network: a file in `conf/tuned/`.
        cell: a key of `CELLS`.
        seed: the run's seed.
        tasks: number of tasks.
        examples_per_task: number of examples in each.

    Returns:
        None where the network has no such layer.
    """
    layers, method = CELLS[cell]
    base = declared(network, method)
    length = {"tasks": tasks, "examples_per_task": examples_per_task}
    try:
        return replace(
            base,
            replacement=replace(base.replacement, layers=layers),
            dataset=replace(base.dataset, **length),
            seed=seed,
        )
    except ImpossibleLayer:
        return None


CHOICES = {
    "cbp": ["tuned.method=cbp", "replacement=all"],
    "bp": ["tuned.method=bp", "replacement=none"],
    "l2": ["tuned.method=l2", "replacement=none", "regulariser._target_=plasticity.regularisers.L2"],
}
"""The paper's methods, spelt as values, so that what they share is composed once for each network."""


def declared(network: str, method: str = "cbp") -> Run:
    """A network with the hyperparameters of a method; continual backpropagation replaces all layers."""
    return _declared(method)[network]


@cache
def _declared(method: str) -> dict[str, Run]:
    runs = compose_all([[f"tuned={network}", *CHOICES[method]] for network in NETWORKS])
    return {network: run for network, run in zip(NETWORKS, runs, strict=True) if run is not None}


def published() -> pd.DataFrame:
    """The published table, a row per cell: section, network, replacement, mean and std in percent."""
    return COMPARISON.numbers().rename(columns=NAMES)
