"""Turns run folders into tables and figures.

On the command line:

    python -m analysis.runs        every run, its progress and its score
    python -m analysis.collect     run folders → the compact files in results/
    python -m analysis.table_1     Table 1, measured; beside the published one with --compare published
    python -m analysis.findings    the paper's claims, as tests on these runs
    python -m analysis.figures     the paper's figures, drawn from the committed results or your own runs
    python -m analysis.curves      any column by task, with a curve for each value of any key
    python -m analysis.search      the settings of a search, ranked; writes the choice as a tuned network
    python -m analysis.calibration Table 1, measured less published, drawn against a normal

In a notebook:

    from analysis import grid, load_runs, summarise

    tasks = load_runs("runs")      # a row per run and task
    runs = summarise("runs")       # a row per run
    table = grid(runs)             # a row per cell of Table 1

    tasks[tasks["activation.name"] == "relu"].groupby(["replacement.layers", "task"])["accuracy"].mean()
    runs.groupby(["model.width", "replacement.layers"])["score"].agg(["mean", "count"])
    table.pivot_table(index=["section", "network"], columns="replacement", values="mean", sort=False)

Both loaders take directories of run folders, directories of collected results, or several of either; a run found in
more than one of them counts once. Nothing here computes a run, and nothing imports an engine.
"""

from analysis.grid import grid
from analysis.load import load_runs, summarise

__all__ = ["grid", "load_runs", "summarise"]
