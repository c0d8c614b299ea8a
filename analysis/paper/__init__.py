"""Table 1 of the paper: its rows, its columns, its published numbers, and the runs behind each cell."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from plasticity.composition.compose import compose_all
from plasticity.errors import ImpossibleLayer
from plasticity.run import Run

SECTIONS = {
    "width": "Varying Network Widths",
    "activation": "Varying Network Activation Functions",
    "depth": "Varying Network Depths",
    "depth_equal_parameters": "Varying Network Depths, Same Number of Parameters",
}
"""Title of each section."""


@dataclass(frozen=True)
class Row:
    """A row of Table 1.

    Attributes:
        section: a key of `SECTIONS`.
        label: the network's name in the table.
        network: its file in `conf/tuned/`, which holds its hyperparameters.
    """

    section: str
    label: str
    network: str


ROWS = (
    Row("width", "Width 20", "width_20"),
    Row("width", "Width 50", "width_50"),
    Row("width", "Width 100", "width_100"),
    Row("width", "Width 150", "width_150"),
    Row("width", "Width 200", "width_200"),
    Row("activation", "ReLU", "width_100"),
    Row("activation", "SELU", "selu"),
    Row("activation", "Tanh", "tanh"),
    Row("depth", "Depth 2", "depth_2"),
    Row("depth", "Depth 5", "width_100"),
    Row("depth", "Depth 8", "depth_8"),
    Row("depth_equal_parameters", "Depth 2", "depth_2_equal_parameters"),
    Row("depth_equal_parameters", "Depth 5", "width_100"),
    Row("depth_equal_parameters", "Depth 8", "depth_8_equal_parameters"),
)

NETWORKS = tuple(dict.fromkeys(row.network for row in ROWS))
"""The networks of Table 1, each once."""

COLUMNS = {
    "all": "All Layers",
    "layer_1": "Layer 1",
    "layer_2": "Layer 2",
    "layer_3": "Layer 3",
    "last": "Last Layer",
}
"""Title of each column, by the replacement set as in `conf/replacement/`."""

INDIVIDUAL = ("layer_1", "layer_2", "layer_3", "last")
"""The columns that replace one layer."""

DEEPER = tuple(f"layer_{number}" for number in range(4, 8))
"""The layers that the table leaves out, where a network has them before its last one."""

CELLS: dict[str, tuple[str, str]] = {
    **{replacement: (replacement, "cbp") for replacement in [*COLUMNS, *DEEPER, "none", "except_first"]},
    "tuned_bp": ("none", "bp"),
    "tuned_l2": ("none", "l2"),
}
"""The replacement set and tuned method that a network is run with: the table's columns, at the step size of
continual backpropagation, and the baselines that they are compared with."""

PUBLISHED = Path(__file__).with_name("published_table_1.csv")
PUBLISHED_SEEDS = 3


def names(network: str) -> str:
    """The names of a network in all of its rows: "Width 100 = ReLU = Depth 5"."""
    equal = {"depth_equal_parameters": " (same number of parameters)"}
    rows = [row for row in ROWS if row.network == network]
    suffix = equal.get(rows[0].section, "")
    return " = ".join(dict.fromkeys(row.label + suffix for row in rows))


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
    "l2": ["tuned.method=l2", "replacement=none", "regulariser=l2"],
}
"""The paper's methods, spelt so that those which differ in values alone are composed once."""


def declared(network: str, method: str = "cbp") -> Run:
    """A network with the hyperparameters of a method; continual backpropagation replaces all layers."""
    together = ("l2",) if method == "l2" else ("cbp", "bp")  # these take no longer than one of them
    return _declared(*together)[network, method]


@cache
def _declared(*methods: str) -> dict[tuple[str, str], Run]:
    cells = [(network, method) for network in NETWORKS for method in methods]
    runs = compose_all([[f"tuned={network}", *CHOICES[method]] for network, method in cells])
    return {cell: run for cell, run in zip(cells, runs, strict=True) if run is not None}


def published() -> pd.DataFrame:
    """The published table, a row per cell: section, network, replacement, mean and std in percent."""
    wide = pd.read_csv(PUBLISHED, comment="#").set_index(["section", "network"])
    parts = [
        wide[[f"{replacement}_mean", f"{replacement}_std"]]
        .set_axis(["mean", "std"], axis=1)
        .assign(replacement=replacement)
        for replacement in COLUMNS
    ]
    return pd.concat(parts).reset_index()[["section", "network", "replacement", "mean", "std"]]
