"""What the methods of each kind of part must return, asked with made-up arguments."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from plasticity.activations import Activation, ReLU
from plasticity.constraints import Constraint
from plasticity.datasets import Dataset, Task
from plasticity.interventions import Intervention
from plasticity.launch.tried import Tried, is_own
from plasticity.networks.layer import Layer, LayerArrays, Place, of_layer, places
from plasticity.networks.mlp import Mlp, perceptron
from plasticity.networks.model import Model
from plasticity.networks.network import initial_network
from plasticity.objectives import Objective
from plasticity.optimisers import Optimiser
from plasticity.part import Part
from plasticity.perturbations import Perturbation
from plasticity.regularisers import Regulariser
from plasticity.replacement import Replacement, Step
from plasticity.run import Run
from plasticity.utilities import Measures, Utility

UNITS = 4
"""Units of the layers of made-up networks."""

LEARNABLE = " that gradients flow through"


def _try_activation(tried: Tried, run: Run, root: str | None) -> None:
    for shape in _shapes(run):
        z = _tensor(*shape).requires_grad_() * 1
        tried(
            "__call__",
            z,
            valid=partial(_is_learnable, (*shape[:-1], run.activation.columns * shape[-1])),
            returns="a float32 tensor shaped like z" + LEARNABLE,
        )
    for method in ("initial_bound", "replacement_bound"):
        tried(method, UNITS, valid=_is_number, returns="a number")


def _try_utility(tried: Tried, run: Run, root: str | None) -> None:
    shapes = _shapes(run)
    measures = Measures(_tensor(*shapes[-1]), *(_tensor(UNITS).abs() for _ in range(3)))
    returns = "a float32 tensor with a value for each unit"
    tried(
        "__call__", measures, valid=lambda y: any(_is_tensor(y, shape) for shape in shapes), returns=returns
    )
    draw = lambda: _tensor(UNITS).sigmoid()  # noqa: E731
    tried("ranking", _tensor(UNITS), draw, valid=lambda found: _has_shape(found, (UNITS,)), returns=returns)


def _try_regulariser(tried: Tried, run: Run, root: str | None) -> None:
    returns = "a number, or a float32 tensor shaped like the parameter"
    for place in _places():
        shape, parameter = place.parameter.shape, _tensor(*place.parameter.shape)
        if type(tried.part).gradient is Regulariser.gradient:
            tried("term", parameter, parameter / 2, valid=partial(_is_term, shape), returns=returns)
            continue
        memory = tried("memory", place, valid=_are_tensors, returns="tensors by name")
        tried(
            "gradient", place, parameter, parameter / 2, memory, valid=partial(_is_term, shape),
            returns=returns,
        )  # fmt: skip


def _try_optimiser(tried: Tried, run: Run, root: str | None) -> None:
    parameter = _tensor(UNITS, UNITS)
    remembered = tried("memory", parameter, valid=_are_tensors, returns="tensors by name")
    nothing: Any = {"valid": lambda found: True, "returns": "nothing"}
    if type(tried.part).descend is Optimiser.descend:
        tried("step", parameter, parameter / 2, remembered, **nothing)
        return
    noise = {"weights.0": parameter / 3} if tried.part.is_noisy else {}
    named = ({"weights.0": one} for one in (parameter, parameter / 2, remembered))
    tried("descend", *named, noise, **nothing)


def _try_constraint(tried: Tried, run: Run, root: str | None) -> None:
    for place in _places():
        tried("__call__", _tensor(*place.parameter.shape), place, valid=lambda found: True, returns="nothing")


def _places() -> Iterable[Place]:
    """Where the weights and the biases of a made-up network are."""
    return places(perceptron(Mlp(), UNITS, [UNITS], UNITS, ReLU())).values()


def _try_objective(tried: Tried, run: Run, root: str | None) -> None:
    import torch

    task, size = first_task(run, root), run.dataset.batch_size
    targets = torch.from_numpy(task.targets[task.order[:size]])
    targets = targets if targets.is_floating_point() else targets.long()
    outputs = _tensor(len(targets), run.dataset.outputs).requires_grad_() * 1
    if size == 1:
        outputs, targets = outputs[0], targets[0]
    returns = "a float32 tensor without dimensions" + LEARNABLE
    tried("loss", outputs, targets, valid=partial(_is_learnable, ()), returns=returns)
    tried(
        "score", outputs.detach(), targets, returns="a tensor with a value for each example",
        valid=lambda score: _has_shape(score, () if size == 1 else (size,)),
    )  # fmt: skip


def _try_dataset(tried: Tried, run: Run, root: str | None) -> None:
    dataset = run.dataset
    stream = tried(
        "open", run.seed, root, valid=lambda found: callable(getattr(found, "task", None)),
        returns="a stream, which has the method task",
    )  # fmt: skip
    tried(
        "task", 0, on=stream,
        valid=lambda task: isinstance(task, Task) and task.examples == dataset.examples_per_task,
        returns=f"a plasticity.Task of {dataset.examples_per_task} examples",
    )  # fmt: skip
    tried(
        "inputs", 1, on=stream.task(0), returns=f"float32 inputs of shape [1, {dataset.inputs}]",
        valid=lambda found: found.shape == (1, dataset.inputs) and found.dtype == np.float32,
    )  # fmt: skip


def _try_model(tried: Tried, run: Run, root: str | None) -> None:
    import torch
    from torch.nn.functional import linear

    size, features = run.dataset.batch_size, run.dataset.inputs
    parameters = initial_network(run).parameters
    arrays = {name: torch.from_numpy(array).requires_grad_() for name, array in parameters.items()}
    for number, layer in enumerate(run.layers):
        of_one = Tried(tried.key, tried.part, tried.kind)
        inputs = _tensor(*(() if size == 1 else (size,)), features)
        of_one(
            "forward", of_layer(run.layers, number, arrays), inputs, linear, on=layer,
            valid=partial(_is_passed, layer, () if size == 1 else (size,)),
            returns=f"plasticity.Passed with {layer.features} outputs, and z and h of {layer.units} units, in "
            f"layer {number + 1}",
        )  # fmt: skip
        features = layer.features


def _is_passed(layer: Layer, batch: tuple[int, ...], found: Any) -> bool:
    return (
        isinstance(found, tuple)
        and len(found) == 3
        and _is_learnable((*batch, layer.features), found[2])
        and all(
            hasattr(one, "shape") and one.shape[:-1] == batch and one.shape[-1] % layer.units == 0
            for one in found[:2]
        )
    )


def _try_replacement(tried: Tried, run: Run, root: str | None) -> None:
    import torch

    depth = len(run.hidden_units)
    layers = perceptron(Mlp(), UNITS, [UNITS] * depth, UNITS, ReLU())
    remembered = tried(
        "initial_memory", UNITS, returns="NumPy arrays by name",
        valid=lambda found: isinstance(found, dict) and all(map(_is_array, found.values())),
    )  # fmt: skip
    hidden = [_tensor(*_shapes(run)[-1]) for _ in range(depth)]
    arrays = LayerArrays({"weights": _tensor(UNITS, UNITS), "biases": _tensor(UNITS)})
    looks_at_gradients = "gradients" in run.replacement.looks_at
    done = Step(
        0, hidden, hidden, [arrays] * (depth + 1), lambda layer: _tensor(UNITS).sigmoid(), lambda layer: 0.5,
        layers, [[h] for h in hidden], [_tensor(UNITS).abs() for _ in range(depth) if looks_at_gradients],
        run.dataset.steps_per_task,
    )  # fmt: skip
    kept = {
        name: [torch.from_numpy(array.copy()) for _ in range(depth)] for name, array in remembered.items()
    }
    with torch.no_grad():
        due = tried(
            "update", kept, done, valid=lambda found: _are_numbers(found, depth),
            returns=f"a list of numbers, one for each of the {depth} hidden layers, or an empty one",
        )  # fmt: skip
        tried(
            "choose", kept, done, [float(number) for number in due], valid=lambda found: _are_units(found, depth),
            returns=f"a list of the units to replace for each of the {depth} hidden layers",
        )  # fmt: skip


def _try_change(tried: Tried, run: Run, root: str | None) -> None:
    """An intervention or a perturbation, of the network of the run."""
    tried("due", 1, valid=lambda found: isinstance(found, bool), returns="true or false")
    network, known = initial_network(run), places(run.layers)
    if tried.part.due(1):
        tried("__call__", run, network, 1, valid=lambda found: True, returns="nothing")
    _try_in_steps(tried)
    changed = {name: getattr(array, "shape", None) for name, array in network.parameters.items()}
    if changed != {name: place.parameter.shape for name, place in known.items()}:
        raise tried.refused("a class whose __call__ keeps the shapes of all parameters")


def _try_in_steps(tried: Tried) -> None:
    """A perturbation that acts after steps, on made-up parameters."""
    if not (isinstance(tried.part, Perturbation) and tried.part.acts_in_steps):
        return
    nothing: Any = {"valid": lambda found: True, "returns": "nothing"}
    tried("due_after", 0, valid=lambda found: isinstance(found, bool), returns="true or false")
    for place in _places():
        memory = tried("memory", place, valid=_are_tensors, returns="tensors by name")
        parameter = _tensor(*place.parameter.shape)
        tried("observe", place, parameter, parameter / 2, memory, **nothing)
        tried("perturb", place, parameter, parameter / 3, memory, **nothing)


TRIALS: dict[type[Part], Callable[[Tried, Run, str | None], None]] = {
    Activation: _try_activation,
    Constraint: _try_constraint,
    Dataset: _try_dataset,
    Intervention: _try_change,
    Model: _try_model,
    Objective: _try_objective,
    Optimiser: _try_optimiser,
    Perturbation: _try_change,
    Regulariser: _try_regulariser,
    Replacement: _try_replacement,
    Utility: _try_utility,
}
"""How each kind of part is tried."""


def first_task(run: Run, root: str | None) -> Task:
    """The first task of a data set of the user's own; of any other, one of made-up examples."""
    dataset = run.dataset
    if is_own(dataset) or is_own(dataset.objective):
        return dataset.open(run.seed, root).task(0)
    size = dataset.batch_size
    rows = np.linspace(0, 1, size * dataset.inputs, dtype=np.float32).reshape(size, dataset.inputs)
    if dataset.objective.name == "cross_entropy":
        targets = np.arange(size, dtype=np.int32) % dataset.outputs
    else:
        targets = np.ones((size, dataset.outputs), np.float32)
    return Task(0, 0, rows, targets, np.arange(size, dtype=np.int32))


def _shapes(run: Run) -> list[tuple[int, ...]]:
    """The shapes that the activations of a made-up layer may have, for a batch if the run has batches."""
    size = run.dataset.batch_size
    return [(UNITS,), (size, UNITS)] if size > 1 else [(UNITS,)]


def _tensor(*shape: int) -> Any:
    """A made-up float32 tensor with values on both sides of 0."""
    import torch

    return torch.linspace(-1.5, 2, int(np.prod(shape))).reshape(shape)


def _is_learnable(shape: tuple[int, ...], found: Any) -> bool:
    return _is_tensor(found, shape) and found.requires_grad


def _is_term(shape: tuple[int, ...], found: Any) -> bool:
    return _is_number(found) or _is_tensor(found, shape) or _is_tensor(found, ())


def _is_tensor(found: Any, shape: tuple[int, ...]) -> bool:
    import torch

    return _has_shape(found, shape) and found.dtype == torch.float32


def _has_shape(found: Any, shape: tuple[int, ...] | None = None) -> bool:
    import torch

    return isinstance(found, torch.Tensor) and shape in (None, tuple(found.shape))


def _are_tensors(found: Any) -> bool:
    return isinstance(found, dict) and all(_has_shape(one) for one in found.values())


def _is_array(found: Any) -> bool:
    return isinstance(found, np.ndarray)


def _is_number(found: Any) -> bool:
    return isinstance(found, (int, float, np.number)) and not isinstance(found, bool)


def _are_numbers(found: Any, depth: int) -> bool:
    return (
        isinstance(found, (list, tuple))
        and len(found) in (0, depth)
        and all(_is_number(one) or _has_shape(one, ()) for one in found)
    )


def _are_units(found: Any, depth: int) -> bool:
    return (
        isinstance(found, (list, tuple))
        and len(found) == depth
        and all(isinstance(layer, (list, tuple, np.ndarray)) for layer in found)
        and all(hasattr(unit, "__index__") and 0 <= int(unit) < UNITS for layer in found for unit in layer)
    )
