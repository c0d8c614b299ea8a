"""Optimisers and regularisers of a user's own in the native engine: programs that move every parameter."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from oracle import random_task, small_run
from test_native import assert_identical, ignore, sparse, variants

from plasticity.engines import native
from plasticity.engines.kernel import binding
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.network import Network, initial_network
from plasticity.optimisers import SGD, Optimiser
from plasticity.part import number
from plasticity.regularisers import L2, NoRegulariser, Regulariser
from plasticity.run import Run

torch.set_num_threads(1)

pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


@dataclass(frozen=True, kw_only=True)
class L2Init(Regulariser):
    """As in the README."""

    strength: float = number(0.1, at_least=0)

    def term(self, parameter, initial):
        return self.strength * (parameter - initial)


class WeightsAlone(Regulariser):
    """Of weights by their size and their layer's mean; none of biases."""

    def term(self, parameter, initial):
        if parameter.ndim == 1:
            return 0.0
        return 0.1 * parameter.tanh() * parameter.abs().mean() / parameter.shape[1]


@dataclass(frozen=True, kw_only=True)
class Adam(Optimiser):
    """Of Kingma and Ba (2015), with a count for each parameter."""

    step_size: float = number(0.002, above=0)

    def memory(self, parameter):
        return {
            "mean": torch.zeros_like(parameter),
            "square": torch.zeros_like(parameter),
            "steps": torch.zeros((), dtype=torch.int64),
        }

    def step(self, parameter, gradient, memory):
        memory["steps"] += 1
        memory["mean"].mul_(0.9).add_(gradient, alpha=0.1)
        memory["square"].mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        mean = memory["mean"] / (1 - 0.9 ** memory["steps"])
        square = memory["square"] / (1 - 0.99 ** memory["steps"])
        parameter.sub_(mean / (square.sqrt() + 1e-3), alpha=self.step_size)


class Sign(Optimiser):
    """With a slow copy of the parameters, kept in another way for biases."""

    def memory(self, parameter):
        return {"slow": parameter.clone()} if parameter.ndim == 2 else {}

    def step(self, parameter, gradient, memory):
        parameter -= 0.001 * gradient.sign() + 0.01 * gradient
        if "slow" in memory:
            memory["slow"].lerp_(parameter, 0.1)
            parameter.mul_(0.9).add_(memory["slow"], alpha=0.1)


def run_of(optimiser: Optimiser, regulariser: Regulariser, batch_size: int = 1, **others: object) -> Run:
    options = {"widths": (17, 5), "rate": 0.03, "maturity_threshold": 4, "bias_compensation": True} | others
    run = small_run(inputs=9, outputs=4, seed=3, batch_size=batch_size, **options)
    return replace(run, optimiser=optimiser, regulariser=regulariser)


def assert_agree(found: Network, expected: Network) -> None:
    assert found.memory.keys() == expected.memory.keys()
    for name, array in expected.arrays().items():
        other = found.arrays()[name]
        assert other.dtype == array.dtype and other.shape == array.shape, name
        np.testing.assert_allclose(other, array, rtol=5e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    "optimiser, regulariser",
    [
        (SGD(step_size=0.02), L2Init()),
        (Adam(), NoRegulariser()),
        (Adam(), L2(strength=0.05)),
        (Sign(), WeightsAlone()),
    ],
    ids=lambda part: part.name.rpartition(".")[2],
)
def test_steps_equal_the_reference(optimiser, regulariser, batch_size):
    """Each task from the reference's network; every other one in another order of its inputs."""
    run = run_of(optimiser, regulariser, batch_size, activation="relu" if batch_size == 1 else "gelu")
    assert NativeEngine().unsupported(run) is None
    reference, replaced, compared = ReferenceLearner(run, initial_network(run)), 0, 0
    for position in range(20 if batch_size == 1 else 4):
        task = random_task(run, 25 * batch_size, position)
        task = sparse(task) if position % 2 else task
        learner = NativeLearner(run, reference.network())
        found, expected = (each.learn(task, ignore) for each in (learner, reference))
        if found.replaced.tolist() != expected.replaced.tolist():
            continue  # two units as useful as each other
        compared += 1
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
        np.testing.assert_allclose(found.weight_magnitude, expected.weight_magnitude, rtol=1e-5)
        if all(
            map(np.array_equal, learner.network().remembered("age"), reference.network().remembered("age"))
        ):
            assert_agree(learner.network(), reference.network())
        replaced += int(expected.replaced.sum())
    assert compared >= 0.9 * position and replaced > 5 * compared


def test_adam_over_2000_steps_equals_the_reference():
    run = run_of(Adam(), L2Init(strength=1e-3), widths=(7, 6), layers=())
    reference, learner = (kind(run, initial_network(run)) for kind in (ReferenceLearner, NativeLearner))
    for position in range(20):
        task = random_task(run, 100, position)
        found, expected = (each.learn(task, ignore) for each in (learner, reference))
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
    for one, other in zip(learner.network().weights, reference.network().weights, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("optimiser", [Adam(), Sign()], ids=["adam", "sign"])
def test_a_learner_made_from_a_network_equals_an_uninterrupted_one_bit_for_bit(optimiser):
    run = run_of(optimiser, L2Init())
    tasks = [sparse(random_task(run, 40, number), number) for number in range(3)]
    uninterrupted, network = NativeLearner(run, initial_network(run)), initial_network(run)
    for task in tasks:
        learner = NativeLearner(run, Network.from_arrays(network.arrays()))
        learner.learn(task, ignore), uninterrupted.learn(task, ignore)
        network = learner.network()
    assert_identical(network, uninterrupted.network())


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
def test_programs_for_all_processors_agree_bit_for_bit(monkeypatch):
    run, networks = run_of(Adam(), WeightsAlone(), 3), []
    for name in variants():
        monkeypatch.setenv(binding.VARIANT, name)
        learner = NativeLearner(run, initial_network(run))
        learner.learn(random_task(run, 60), ignore)
        networks.append(learner.network())
    for network in networks[1:]:
        assert_identical(network, networks[0])


class Clipped(Regulariser):
    def term(self, parameter, initial):
        return parameter.sum(dim=0) * parameter


class Halves(Optimiser):
    def memory(self, parameter):
        return {"half": torch.zeros_like(parameter, dtype=torch.float16)}

    def step(self, parameter, gradient, memory):
        memory["half"] += gradient


@pytest.mark.parametrize(
    "key, run, reason",
    [
        (
            "regulariser",
            run_of(Adam(), Clipped()),
            "Tensor.sum with such arguments at test_traced_parameters.py:",
        ),
        (
            "optimiser",
            run_of(Halves(), L2Init()),
            'memory["half"], float16 of shape [17, 9] at test_traced_par',
        ),
    ],
    ids=["regulariser", "optimiser"],
)
def test_what_has_no_form_is_named(key, run, reason):
    part = getattr(run, key)
    assert NativeEngine().unsupported(run).startswith(f"{key}={part.name} has no native form: {reason}")
