"""Turns run folders into tables and figures.

On the command line, `python -m plasticity.analysis --help` lists the commands. The folder `paper` is about the
paper's Table 1, claims and figures; everything else is for any runs, and does not depend on it.

In a notebook:

    from plasticity.analysis import grid, load_runs, summarise

    tasks = load_runs("runs")      # a row per run and task
    runs = summarise("runs")       # a row per run
    table = grid(runs)             # a row per cell of Table 1

    tasks[tasks["activation.name"] == "relu"].groupby(["replacement.layers", "task"])["accuracy"].mean()
    runs.groupby(["model.width", "replacement.layers"])["score"].agg(["mean", "count"])
    table.pivot_table(index=["section", "network"], columns="replacement", values="mean", sort=False)

Both loaders take directories of run folders, directories of collected results, or several of either; a run found in
more than one of them counts once. Nothing here computes a run, and nothing imports an engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .load import load_runs, summarise
    from .paper.grid import grid

_HOME = {"grid": ".paper.grid", "load_runs": ".load", "summarise": ".load"}
"""Where each public name lives. It is imported on first access, so that commands respond at once."""

__all__ = ["grid", "load_runs", "summarise"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)
