"""Loss of plasticity and continual backpropagation, computed exactly and fast.

In a notebook:

    import plasticity

    run = plasticity.compose("activation=tanh", "replacement=layer_1", "dataset.tasks=20")
    result = plasticity.train(run)                        # with a progress bar; runs_dir="runs" stores it there
    result.score, result.rows, result.network.weights[0]

    for learnt in plasticity.learn(run):                  # task by task
        print(learnt.row["accuracy"], abs(learnt.network.weights[0]).mean())

    plasticity.load("runs", run).rows                     # a stored run
    plasticity.load_network("runs/b652c408bb4f")          # and its network, as a PyTorch module

To define your own parts, there are the kinds `Activation`, `Utility`, `Regulariser`, `Optimiser`, `Replacement`,
`Constraint`, `Objective`, `Dataset`, `Diagnostic` and `Tracker`, and the fields `number`, `integer`, `choice`,
`flag`, `text` and `part`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from plasticity.activations import Activation
    from plasticity.composition.compose import compose
    from plasticity.constraints import Constraint
    from plasticity.datasets import Dataset, SparseRows, Task
    from plasticity.diagnostics import Diagnostic, View
    from plasticity.errors import ConfigError, UserError
    from plasticity.interventions import Intervention
    from plasticity.loading import load_network
    from plasticity.networks.dense import dense
    from plasticity.networks.layer import Layer, Parameter, Passed, Place
    from plasticity.networks.model import Model
    from plasticity.networks.network import Network
    from plasticity.notebook import Learnt, Result, learn, load, train
    from plasticity.objectives import Objective
    from plasticity.optimisers import Optimiser
    from plasticity.part import Part, choice, flag, integer, number, part, text
    from plasticity.perturbations import Perturbation
    from plasticity.regularisers import Regulariser
    from plasticity.replacement import Replacement, Step
    from plasticity.run import Run
    from plasticity.track.tracker import Tracker
    from plasticity.utilities import Measures, Utility

_HOME = {
    "activations": ("Activation",),
    "constraints": ("Constraint",),
    "datasets": ("Dataset", "SparseRows", "Task"),
    "diagnostics": ("Diagnostic", "View"),
    "errors": ("ConfigError", "UserError"),
    "composition.compose": ("compose",),
    "interventions": ("Intervention",),
    "loading": ("load_network",),
    "networks.dense": ("dense",),
    "networks.layer": ("Layer", "Parameter", "Passed", "Place"),
    "networks.model": ("Model",),
    "networks.network": ("Network",),
    "notebook": ("Learnt", "Result", "learn", "load", "train"),
    "objectives": ("Objective",),
    "optimisers": ("Optimiser",),
    "part": ("Part", "choice", "flag", "integer", "number", "part", "text"),
    "perturbations": ("Perturbation",),
    "regularisers": ("Regulariser",),
    "replacement": ("Replacement", "Step"),
    "run": ("Run",),
    "track.tracker": ("Tracker",),
    "utilities": ("Measures", "Utility"),
}
"""Where each public name lives. It is imported on first access, so that commands respond at once."""

_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Activation",
    "ConfigError",
    "Constraint",
    "Dataset",
    "Diagnostic",
    "Intervention",
    "Layer",
    "Learnt",
    "Measures",
    "Model",
    "Network",
    "Objective",
    "Optimiser",
    "Parameter",
    "Part",
    "Passed",
    "Perturbation",
    "Place",
    "Regulariser",
    "Replacement",
    "Result",
    "Run",
    "SparseRows",
    "Step",
    "Task",
    "Tracker",
    "UserError",
    "Utility",
    "View",
    "__version__",
    "choice",
    "compose",
    "dense",
    "flag",
    "integer",
    "learn",
    "load",
    "load_network",
    "number",
    "part",
    "text",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
