# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # From installing to a figure
#
# Install the package in the environment of this notebook, from a checkout:
#
#     pip install .
#
# Open this file with Jupyter and jupytext, or run it as a script. Set `TASKS` to 1100 for the paper's numbers.

# %%
import matplotlib.pyplot as plt

import plasticity
from plasticity.analysis import load_runs, summarise

TASKS, EXAMPLES, SEEDS = 20, 10_000, (0, 1)

# %% [markdown]
# ## One run
#
# `compose` takes what the command line takes. A network learns a stream of tasks, each a new permutation of the
# pixels of MNIST, one example at a time, and units of its first layer are replaced.

# %%
size = [f"dataset.tasks={TASKS}", f"dataset.examples_per_task={EXAMPLES}"]
run = plasticity.compose("replacement=layer_1", *size)
result = plasticity.train(run, runs_dir="runs/first_hour")
result.rows[["task", "accuracy", "loss", "weight_magnitude", "replaced.layer_1"]].tail()

# %% [markdown]
# ## A comparison
#
# Runs that are already there are not computed again: this cell can be repeated, and resumes where it stopped.

# %%
for layers in ("all", "layer_1", "none"):
    for seed in SEEDS:
        compared = plasticity.compose(f"replacement={layers}", f"seed={seed}", *size)
        plasticity.train(compared, runs_dir="runs/first_hour")

summarise("runs/first_hour").groupby("replacement.layers")["score"].agg(["mean", "count"])

# %% [markdown]
# ## A figure
#
# Mean online accuracy by task, and a line for each seed.

# %%
rows = load_runs("runs/first_hour")
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for colour, (layers, own) in enumerate(rows.groupby("replacement.layers")):
    by_task = own.groupby("task")["accuracy"].mean()
    axes.plot(by_task.index, 100 * by_task, f"C{colour}", label=f"layers replaced: {layers}")
    for _, one in own.groupby("seed"):
        axes.plot(one["task"], 100 * one["accuracy"], f"C{colour}", alpha=0.3, linewidth=0.7)
axes.set(xlabel="task", ylabel="online accuracy (%)")
axes.legend(frameon=False)
figure.savefig("first_hour.png", dpi=150)

# %% [markdown]
# ## Inside the network
#
# The network after the last task, as a PyTorch module: how many units of each layer are dead on random images?

# %%
import torch

network = plasticity.load_network(run, runs_dir="runs/first_hour")
with torch.no_grad():
    hidden = network.hidden(torch.rand(1_000, 784))
[int((h == 0).all(dim=0).sum()) for h in hidden]
