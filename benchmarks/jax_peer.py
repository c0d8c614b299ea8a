"""What someone who knows JAX would write instead: the same step, dense, compiled by XLA inside one scan.

It replaces units as continual backpropagation does, with cross-entropy; at most one unit of a layer per step, which
is what the paper's rates come to.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.jax_parts import ACTIVATIONS, OPTIMISERS, TERMS, UTILITIES
from benchmarks.timing import Timing
from plasticity.datasets.task import Task
from plasticity.networks.network import Network, initial_parameters
from plasticity.run import Run


def timer(run: Run, network: Network, task: Task, timing: Timing) -> Callable[[], float]:
    """Compiles the steps of a run. What is returned gives the microseconds per step on one core: the best of some
    repetitions."""
    steps = min(timing.steps, task.examples)
    with _one_core():
        data = examples(task, steps)
        learn = jax.jit(lambda state: lax.scan(step(run), state, data)[1].sum())
        state = start(run, network)
        learn(state).block_until_ready()

    def repetition() -> float:
        began = time.perf_counter()
        learn(state).block_until_ready()
        return time.perf_counter() - began

    def microseconds() -> float:
        with _one_core():
            return min(repetition() for _ in range(timing.repetitions)) / steps * 1e6

    return microseconds


@contextmanager
def _one_core() -> Iterator[None]:
    """XLA's threads inherit it: they start at its first use."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def examples(task: Task, steps: int) -> tuple[Any, Any]:
    """The inputs and the targets of a task's first steps."""
    inputs = np.stack([task.example(step) for step in range(steps)])
    return jnp.asarray(inputs), jnp.asarray(task.targets[task.order[:steps]])


def start(run: Run, network: Network) -> dict[str, Any]:
    """What a step changes, as it is before the first."""
    units, initial = [len(bias) for bias in network.biases[:-1]], Network(initial_parameters(run))
    arrays, _ = OPTIMISERS[type(run.optimiser)]
    parameters = {
        "weights": [jnp.asarray(weight) for weight in network.weights],
        "biases": [jnp.asarray(bias) for bias in network.biases],
    }
    return {
        "parameters": parameters,
        "initial": {
            "weights": [jnp.asarray(weight) for weight in initial.weights],
            "biases": [jnp.asarray(bias) for bias in initial.biases],
        },
        "memory": {
            kind: [(jnp.zeros_like(array),) * arrays for array in of_layers]
            for kind, of_layers in parameters.items()
        },
        "steps": jnp.zeros(()),
        "utility": [jnp.zeros(number) for number in units],
        "age": [jnp.zeros(number) for number in units],
        "debt": [jnp.zeros(()) for _ in units],
        "key": jax.random.key(0),
    }


def step(run: Run) -> Callable[[Any, Any], Any]:
    """A step of a run: the state after it, and whether the example was classified correctly."""

    def loss(parameters: Any, example: Any, target: Any) -> Any:
        weights, biases = parameters["weights"], parameters["biases"]
        hidden = []
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            example = ACTIVATIONS[type(run.activation)](run.activation, weight @ example + bias)
            hidden.append(example)
        outputs = weights[-1] @ example + biases[-1]
        return jax.nn.logsumexp(outputs) - outputs[target], (outputs, hidden)

    def taken(state: Any, data: Any) -> Any:
        example, target = data
        gradients, (outputs, hidden) = jax.grad(loss, has_aux=True)(state["parameters"], example, target)
        return _replaced(run, _moved(run, state, gradients), hidden), outputs.argmax() == target

    return taken


def _moved(run: Run, state: Any, gradients: Any) -> Any:
    """The state after the optimiser's step."""
    _, moved = OPTIMISERS[type(run.optimiser)]
    parameters: dict[str, list[Any]] = {"weights": [], "biases": []}
    memory: dict[str, list[Any]] = {"weights": [], "biases": []}
    steps = state["steps"] + 1
    for kind, of_layers in state["parameters"].items():
        for layer, parameter in enumerate(of_layers):
            term = TERMS[type(run.regulariser)](run.regulariser, parameter, state["initial"][kind][layer])
            gradient = gradients[kind][layer] + term
            parameter, own = moved(run.optimiser, parameter, gradient, state["memory"][kind][layer], steps)
            parameters[kind].append(parameter)
            memory[kind].append(own)
    return state | {"parameters": parameters, "memory": memory, "steps": steps}


def _replaced(run: Run, state: Any, hidden: list[Any]) -> Any:
    """The state after replacement."""
    method: Any = run.replacement
    eta, judge = method.decay_rate, UTILITIES[type(method.utility)]
    weights, biases = list(state["parameters"]["weights"]), list(state["parameters"]["biases"])
    of_weights, of_biases = list(state["memory"]["weights"]), list(state["memory"]["biases"])
    utilities, ages, debts = [], [], []
    key, *keys = jax.random.split(state["key"], len(hidden) + 1)
    for layer, h in enumerate(hidden):
        age = state["age"][layer] + 1
        y = judge(method.utility, h, jnp.abs(weights[layer + 1]).mean(axis=0))
        u = eta * state["utility"][layer] + (1 - eta) * y
        mature = age > method.maturity_threshold
        debt = state["debt"][layer] + method.rate * mature.sum() * (layer + 1 in method.layers)
        unit = jnp.where(mature, u / (1 - eta**age), jnp.inf).argmin()
        fan_in = weights[layer].shape[1]
        bound = run.activation.replacement_bound(fan_in)

        def replace(values: Any, unit=unit, fan_in=fan_in, bound=bound, key=keys[layer]) -> Any:  # type: ignore[no-untyped-def]
            incoming, outgoing, of_unit, remembered_in, remembered_out = values
            row = jax.random.uniform(key, (fan_in,), minval=-bound, maxval=bound)
            clear = lambda array: array.at[unit].set(0)  # noqa: E731
            return (
                incoming.at[unit].set(row),
                outgoing.at[:, unit].set(0),
                jax.tree.map(clear, of_unit),
                jax.tree.map(clear, remembered_in),
                jax.tree.map(lambda array: array.at[:, unit].set(0), remembered_out),
            )

        values = (
            weights[layer], weights[layer + 1], (biases[layer], of_biases[layer], u, age),
            of_weights[layer], of_weights[layer + 1],
        )  # fmt: skip
        weights[layer], weights[layer + 1], of_unit, of_weights[layer], of_weights[layer + 1] = lax.cond(
            debt >= 1, replace, lambda values: values, values
        )
        biases[layer], of_biases[layer], u, age = of_unit
        utilities.append(u)
        ages.append(age)
        debts.append(debt - jnp.floor(debt))
    return state | {
        "parameters": {"weights": weights, "biases": biases},
        "memory": {"weights": of_weights, "biases": of_biases},
        "utility": utilities, "age": ages, "debt": debts, "key": key,
    }  # fmt: skip
