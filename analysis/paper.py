"""Table 1 of the paper: its rows, its columns, its published numbers, and the runs behind each cell."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from plasticity.config import RunConfig, run_config
from plasticity.errors import ImpossibleLayer, UserError

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

LAYERS: dict[str, str | list[int]] = {
    "all": "all",
    "layer_1": [1],
    "layer_2": [2],
    "layer_3": [3],
    "last": "last",
    "none": "none",
    "except_first": "except_first",
}
"""`replacement.layers` by replacement set: the columns, and what the findings compare them with."""

PUBLISHED = Path(__file__).with_name("published_table_1.csv")
PUBLISHED_SEEDS = 3

_TUNED = Path(__file__).parent.parent / "conf" / "tuned"


def names(network: str) -> str:
    """What a network is called, in all of its rows: "Width 100 = ReLU = Depth 5"."""
    equal = {"depth_equal_parameters": " (same number of parameters)"}
    rows = [row for row in ROWS if row.network == network]
    suffix = equal.get(rows[0].section, "")
    return " = ".join(dict.fromkeys(row.label + suffix for row in rows))


def run(network: str, replacement: str, seed: int, tasks: int, examples_per_task: int) -> RunConfig | None:
    """The run of a cell: the network with its step size and rate for continual backpropagation.

    Everything else is at its default: no regulariser, maturity threshold 100, decay rate 0.99, contribution
    utility, no bias compensation.

    Args:
        network: a file in `conf/tuned/`.
        replacement: a key of `LAYERS`.
        seed: the run's seed.
        tasks: number of tasks.
        examples_per_task: number of examples of each.

    Returns:
        None where the network has no such layer.
    """
    values = hyperparameters(network)
    replaced = values["replacement"] | {"layers": LAYERS[replacement]}
    dataset = {"tasks": tasks, "examples_per_task": examples_per_task}
    try:
        return run_config(values | {"replacement": replaced, "dataset": dataset, "seed": seed})
    except ImpossibleLayer:
        return None


@lru_cache
def hyperparameters(network: str) -> dict[str, Any]:
    """Model, activation, step size and replacement rate, from `conf/tuned/`."""
    path = _TUNED / f"{network}.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): Table 1 needs conf/.") from error
    chosen = {
        key: name for entry in values["defaults"] if isinstance(entry, dict) for key, name in entry.items()
    }
    tuned = values["tuned"]["cbp"]
    return {
        "model": values["model"],
        "activation": {"name": chosen["override /activation"]},
        "replacement": {"rate": float(tuned["rate"])},
        "optimiser": {"step_size": float(tuned["step_size"])},
    }


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
