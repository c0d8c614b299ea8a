"""What someone who knows JAX would write instead: the same step, dense, compiled by XLA inside one scan.

It learns with plain SGD and replaces units as continual backpropagation does, with the contribution utility, ReLU
and cross-entropy; at most one unit of a layer per step, which is what the paper's rates come to.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from plasticity.datasets.task import Task
from plasticity.networks.network import Network
from plasticity.optimisers import SGD
from plasticity.replacement import ContinualBackpropagation
from plasticity.run import Run


def microseconds_per_step(run: Run, network: Network, task: Task, steps: int, repetitions: int) -> float:
    """The best of some repetitions on one core; compiling is not counted."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # XLA's threads inherit it: they start at its first use
    try:
        return _microseconds_per_step(run, network, task, steps, repetitions)
    finally:
        os.sched_setaffinity(0, cores)


def _microseconds_per_step(run: Run, network: Network, task: Task, steps: int, repetitions: int) -> float:
    inputs = jnp.asarray(np.stack([task.example(step) for step in range(steps)]))
    targets = jnp.asarray(task.targets[task.order[:steps]])
    learn = jax.jit(lambda state: lax.scan(_step(run), state, (inputs, targets))[1].sum())
    state = _start(network)
    learn(state).block_until_ready()
    best = float("inf")
    for _ in range(repetitions):
        began = time.perf_counter()
        learn(state).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return best / steps * 1e6


def _start(network: Network) -> dict[str, Any]:
    units = [len(bias) for bias in network.biases[:-1]]
    return {
        "weights": [jnp.asarray(weight) for weight in network.weights],
        "biases": [jnp.asarray(bias) for bias in network.biases],
        "utility": [jnp.zeros(number) for number in units],
        "age": [jnp.full(number, 1_000.0) for number in units],
        "debt": [jnp.zeros(()) for _ in units],
        "key": jax.random.key(0),
    }


def _step(run: Run) -> Callable[[Any, Any], Any]:
    method = run.replacement
    assert isinstance(method, ContinualBackpropagation)
    assert isinstance(run.optimiser, SGD)
    eta, step_size = method.decay_rate, run.optimiser.step_size

    def loss(parameters: Any, example: Any, target: Any) -> Any:
        weights, biases = parameters
        hidden = []
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            example = jax.nn.relu(weight @ example + bias)
            hidden.append(example)
        outputs = weights[-1] @ example + biases[-1]
        return jax.nn.logsumexp(outputs) - outputs[target], (outputs, hidden)

    def step(state: Any, data: Any) -> Any:
        example, target = data
        parameters = state["weights"], state["biases"]
        gradients, (outputs, hidden) = jax.grad(loss, has_aux=True)(parameters, example, target)
        weights, biases = jax.tree.map(lambda value, slope: value - step_size * slope, parameters, gradients)
        utility, ages, debts = [], [], []
        key, *keys = jax.random.split(state["key"], len(hidden) + 1)
        for layer, h in enumerate(hidden):
            age = state["age"][layer] + 1
            y = jnp.abs(h) * jnp.abs(weights[layer + 1]).mean(axis=0)
            u = eta * state["utility"][layer] + (1 - eta) * y
            mature = age > method.maturity_threshold
            debt = state["debt"][layer] + method.rate * mature.sum() * (layer + 1 in method.layers)
            unit = jnp.where(mature, u / (1 - eta**age), jnp.inf).argmin()
            fan_in = weights[layer].shape[1]
            bound = run.activation.replacement_bound(fan_in)

            def replace(values: Any, unit=unit, fan_in=fan_in, bound=bound, key=keys[layer]) -> Any:  # type: ignore[no-untyped-def]
                incoming, bias, outgoing, u, age = values
                row = jax.random.uniform(key, (fan_in,), minval=-bound, maxval=bound)
                return (
                    incoming.at[unit].set(row), bias.at[unit].set(0), outgoing.at[:, unit].set(0),
                    u.at[unit].set(0), age.at[unit].set(0),
                )  # fmt: skip

            values = weights[layer], biases[layer], weights[layer + 1], u, age
            values = lax.cond(debt >= 1, replace, lambda values: values, values)
            weights[layer], biases[layer], weights[layer + 1], u, age = values
            utility.append(u)
            ages.append(age)
            debts.append(debt - jnp.floor(debt))
        state = {
            "weights": weights, "biases": biases, "utility": utility, "age": ages, "debt": debts, "key": key,
        }  # fmt: skip
        return state, outputs.argmax() == target

    return step
