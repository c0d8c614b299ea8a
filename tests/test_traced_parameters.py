"""Optimisers, regularisers and constraints of a user's own in the native engine: programs for every parameter."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from oracle import assert_near, random_task, small_run
from test_native import assert_identical, ignore, sparse, variants

from plasticity.constraints import Constraint, NoConstraint, WeightClipping
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

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]


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


class Box(Constraint):
    """Not the same for all parameters, and not 0 where a weight that there is not would be."""

    def __call__(self, parameter, place):
        if place.kind == "weights":
            parameter.copy_(torch.where(parameter.abs() < 0.02, 0.02, parameter).clamp(-0.6, 0.5))
        elif place.kind == "offsets":
            parameter.clamp_(max=0.05)
        elif place.kind == "gains":
            parameter.clamp_(0.9, 1.1)


@dataclass(frozen=True, kw_only=True)
class Ball(Constraint):
    """A layer's parameters keep to a ball; the output layer's are free."""

    radius: float = number(1.2, above=0)

    def __call__(self, parameter, place):
        if not place.is_output:
            parameter *= (self.radius / parameter.square().sum().sqrt()).clamp(max=1)


class OwnClipping(WeightClipping):
    """A subclass, which is traced."""


def run_of(
    optimiser: Optimiser,
    regulariser: Regulariser,
    batch_size: int = 1,
    constraint: Constraint = NoConstraint(),  # noqa: B008
    **others: object,
) -> Run:
    options = {"widths": (17, 5), "rate": 0.03, "maturity_threshold": 4, "bias_compensation": True} | others
    run = small_run(inputs=9, outputs=4, seed=3, batch_size=batch_size, **options)
    return replace(run, optimiser=optimiser, regulariser=regulariser, constraint=constraint)


def assert_agree(found: Network, expected: Network) -> None:
    assert found.memory.keys() == expected.memory.keys()
    for name, array in expected.arrays().items():
        other = found.arrays()[name]
        assert other.dtype == array.dtype and other.shape == array.shape, name
        assert_near(other, array, rtol=5e-5, atol=2e-5, err_msg=name)


RULES = [
    (SGD(step_size=0.02), L2Init(), NoConstraint(), "layer_norm"),
    (Adam(), NoRegulariser(), NoConstraint(), "none"),
    (Adam(), L2(strength=0.05), Box(), "layer_norm"),
    (Sign(), WeightsAlone(), NoConstraint(), "none"),
    (SGD(step_size=0.05), NoRegulariser(), Box(), "none"),
    (SGD(step_size=0.05), L2(strength=0.3), Ball(), "layer_norm"),
]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("optimiser, regulariser, constraint, normalisation", RULES)
def test_steps_equal_the_reference(optimiser, regulariser, constraint, normalisation, batch_size):
    """Each task from the reference's network; every other one in another order of its inputs."""
    activation = "relu" if batch_size == 1 else "gelu"
    run = run_of(
        optimiser, regulariser, batch_size, constraint, activation=activation, normalisation=normalisation
    )
    assert NativeEngine().unsupported(run) is None
    reference, replaced, compared = ReferenceLearner(run, initial_network(run)), 0, 0
    for position in range(4):
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


@pytest.mark.parametrize("weight_decay", [0.0, 0.4])
def test_a_traced_constraint_is_the_one_written_by_hand(weight_decay):
    clipping = WeightClipping(bound=1.1, output=False)
    learners = []
    for constraint in (clipping, OwnClipping(**vars(clipping))):
        regulariser = L2(strength=weight_decay) if weight_decay else NoRegulariser()
        run = run_of(SGD(step_size=0.05), regulariser, constraint=constraint)
        learners.append(NativeLearner(run, initial_network(run)))
    for position in range(4):
        by_hand, traced = (each.learn(random_task(run, 50, position), ignore) for each in learners)
        np.testing.assert_allclose(traced.weight_magnitude, by_hand.weight_magnitude, rtol=1e-5)
        assert traced.replaced.tolist() == by_hand.replaced.tolist()
    by_hand, traced = (learner.network() for learner in learners)
    assert max(np.abs(weight).max() for weight in traced.weights[:-1]) == np.float32(1.1 / 3)
    assert_agree(traced, by_hand)


def test_adam_over_500_steps_equals_the_reference():
    run = run_of(Adam(), L2Init(strength=1e-3), widths=(7,), layers=())
    reference, learner = (kind(run, initial_network(run)) for kind in (ReferenceLearner, NativeLearner))
    for position in range(5):
        task = random_task(run, 100, position)
        found, expected = (each.learn(task, ignore) for each in (learner, reference))
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
    for one, other in zip(learner.network().weights, reference.network().weights, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize(
    "optimiser, regulariser, constraint, normalisation",
    [
        (Adam(), L2Init(), NoConstraint(), "layer_norm"),
        (Sign(), L2Init(), Box(), "none"),
        (SGD(), L2(strength=0.3), Ball(), "layer_norm"),
    ],
    ids=["adam", "sign", "sgd"],
)
def test_a_learner_made_from_a_network_equals_an_uninterrupted_one_bit_for_bit(
    optimiser, regulariser, constraint, normalisation
):
    run = run_of(optimiser, regulariser, constraint=constraint, normalisation=normalisation)
    tasks = [sparse(random_task(run, 40, number), number) for number in range(3)]
    uninterrupted, network = NativeLearner(run, initial_network(run)), initial_network(run)
    for task in tasks:
        learner = NativeLearner(run, Network.from_arrays(network.arrays()))
        learner.learn(task, ignore), uninterrupted.learn(task, ignore)
        network = learner.network()
    assert_identical(network, uninterrupted.network())


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
def test_programs_for_all_processors_agree_bit_for_bit(monkeypatch):
    run, networks = run_of(Adam(), WeightsAlone(), 3, Box(), normalisation="layer_norm"), []
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


class OfUnits(Constraint):
    def __call__(self, parameter, place):
        parameter.clamp_(max=parameter.abs().mean(dim=-1, keepdim=True))


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
            "Tensor.sum with these arguments at test_traced_parameters.py:",
        ),
        (
            "optimiser",
            run_of(Halves(), L2Init()),
            'memory["half"], float16 of shape [17, 9] at test_traced_par',
        ),
        (
            "constraint",
            run_of(SGD(), NoRegulariser(), constraint=OfUnits()),
            "Tensor.mean with these arguments at test_traced_parameters.py:",
        ),
    ],
    ids=["regulariser", "optimiser", "constraint"],
)
def test_what_has_no_form_is_named(key, run, reason):
    part = getattr(run, key)
    assert NativeEngine().unsupported(run).startswith(f"{key}={part.name} has no native form: {reason}")
