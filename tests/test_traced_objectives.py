"""Objectives of a user's own in the native engine: programs of the loss, the score and the errors of an example."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracle import assert_near, random_task, small_run
from test_native import assert_identical, ignore, sparse, variants

from plasticity.engines import native
from plasticity.engines.kernel import binding
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.network import Network, initial_network
from plasticity.objectives import CrossEntropy, Objective, SquaredError
from plasticity.part import number
from plasticity.run import Run

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]


@dataclass(frozen=True, kw_only=True)
class Smoothed(CrossEntropy):
    """With label smoothing; the score is that of the superclass."""

    smoothing: float = number(0.1, at_least=0, below=1)

    def loss(self, outputs, target):
        return F.cross_entropy(outputs, target, label_smoothing=self.smoothing)


class ByHand(Objective):
    """Focal loss, from the class's logit; the score is whether it is among the best two."""

    def loss(self, outputs, target):
        at = outputs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        surprise = outputs.logsumexp(dim=-1) - at
        return ((1 - (-surprise).exp()).square() * surprise).mean()

    def score(self, outputs, target):
        at = outputs.gather(-1, target.unsqueeze(-1))
        return (outputs > at).sum(dim=-1) < 2


class OneHot(Objective):
    """The Brier score, and its rest."""

    def loss(self, outputs, target):
        wanted = F.one_hot(target, 4).float()
        return (outputs.softmax(-1) - wanted).square().sum(dim=-1).mean()

    def score(self, outputs, target):
        return outputs.detach().softmax(-1).amax(-1)


class Margin(Objective):
    """How far the class's logit is from the largest, of one example only."""

    def loss(self, outputs, target):
        return (outputs.max() - outputs[target] + 0.1 * outputs[0].square()).clamp(min=0.05)

    def score(self, outputs, target):
        return outputs[target]


class Huber(Objective):
    """Of values, and their largest error."""

    higher_is_better = False

    def loss(self, outputs, target):
        return F.huber_loss(outputs, target, delta=0.7)

    def score(self, outputs, target):
        return (outputs - target).abs().amax(dim=-1)


class Logistic(Objective):
    """Of values between 0 and 1."""

    def loss(self, outputs, target):
        return F.binary_cross_entropy_with_logits(outputs, target.sigmoid())

    def score(self, outputs, target):
        return ((outputs > 0) == (target > 0)).float().mean(dim=-1)


class Counting(Objective):
    """Of whole numbers, which are no classes, by the first output."""

    def loss(self, outputs, target):
        return (outputs[..., 0] - 0.1 * target).square().mean()

    def score(self, outputs, target):
        return (outputs[..., 0] - 0.1 * target).abs()


class Same(CrossEntropy):
    """The kernel's own, traced."""


class SameError(SquaredError):
    """The kernel's own, traced."""


def run_of(objective: Objective, batch_size: int = 1, **others: object) -> Run:
    run = small_run(
        inputs=9,
        outputs=4,
        seed=3,
        batch_size=batch_size,
        widths=(17, 5),
        rate=0.03,
        maturity_threshold=4,
        **others,
    )
    return replace(run, dataset=replace(run.dataset, loss=objective))


def task_of(run: Run, examples: int, position: int, of_classes: bool):
    like = replace(run, dataset=replace(run.dataset, loss=CrossEntropy() if of_classes else SquaredError()))
    return random_task(like, examples, position)


OBJECTIVES = [
    (Smoothed(), True), (ByHand(), True), (OneHot(), True), (Margin(), True), (Huber(), False), (Logistic(), False),
]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("objective, of_classes", OBJECTIVES, ids=lambda one: getattr(one, "name", ""))
def test_steps_equal_the_reference(objective, of_classes, batch_size):
    """Each task from the reference's network."""
    run = run_of(objective, batch_size, activation="tanh" if batch_size > 1 else "relu")
    if batch_size > 1 and type(objective) is Margin:
        assert ": IndexError (" in NativeEngine().unsupported(run)
        return
    assert NativeEngine().unsupported(run) is None
    reference, compared = ReferenceLearner(run, initial_network(run)), 0
    for position in range(4):
        task = task_of(run, 25 * batch_size, position, of_classes)
        task = sparse(task) if position % 2 else task
        learner = NativeLearner(run, reference.network())
        found, expected = (each.learn(task, ignore, losses=True) for each in (learner, reference))
        assert learner.score(task) == pytest.approx(reference.score(task), rel=1e-4)
        if found.replaced.tolist() != expected.replaced.tolist():
            continue  # two units as useful as each other
        compared += 1
        assert found.score == pytest.approx(expected.score, rel=1e-4)
        assert found.losses.before == pytest.approx(expected.losses.before, rel=1e-4, abs=1e-6)
        assert found.losses.after == pytest.approx(expected.losses.after, rel=1e-4, abs=1e-6)
        for one, other in zip(learner.network().weights, reference.network().weights, strict=True):
            assert_near(one, other, rtol=1e-4, atol=1e-5)
    assert compared >= 4


@pytest.mark.parametrize("own, by_hand", [(Same(), CrossEntropy()), (SameError(), SquaredError())])
def test_a_traced_objective_is_the_one_written_by_hand(own, by_hand):
    runs = [run_of(objective, 2) for objective in (own, by_hand)]
    learners = [NativeLearner(run, initial_network(run)) for run in runs]
    for position in range(3):
        task = task_of(runs[0], 60, position, isinstance(own, CrossEntropy))
        traced, known = (learner.learn(task, ignore) for learner in learners)
        assert traced.score == pytest.approx(known.score, rel=1e-5)
        assert traced.loss == pytest.approx(known.loss, rel=1e-5)
    for one, other in zip(*(learner.network().weights for learner in learners), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_whole_numbers_need_be_classes_only_where_something_is_taken_at_them():
    run = run_of(Counting())
    task = task_of(run, 40, 0, True)
    task = replace(task, targets=task.targets * 7 - 3)
    learners = [kind(run, initial_network(run)) for kind in (NativeLearner, ReferenceLearner)]
    found, expected = (learner.learn(task, ignore) for learner in learners)
    assert (found.loss, found.score) == pytest.approx((expected.loss, expected.score), rel=1e-4)
    with pytest.raises(ValueError, match="indices from -3"):
        NativeLearner(run_of(ByHand()), initial_network(run)).learn(task, ignore)


def test_a_learner_made_from_a_network_equals_an_uninterrupted_one_bit_for_bit():
    run = run_of(ByHand())
    uninterrupted, network = NativeLearner(run, initial_network(run)), initial_network(run)
    for position in range(3):
        task = task_of(run, 40, position, True)
        learner = NativeLearner(run, Network.from_arrays(network.arrays()))
        one, other = (each.learn(task, ignore) for each in (learner, uninterrupted))
        assert (one.score, one.loss) == (other.score, other.loss)
        network = learner.network()
    assert_identical(network, uninterrupted.network())


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
def test_programs_for_all_processors_agree_bit_for_bit(monkeypatch):
    run, networks = run_of(OneHot(), 3), []
    for name in variants():
        monkeypatch.setenv(binding.VARIANT, name)
        learner = NativeLearner(run, initial_network(run))
        learner.learn(task_of(run, 60, 0, True), ignore)
        networks.append(learner.network())
    for network in networks[1:]:
        assert_identical(network, networks[0])


class Summed(SquaredError):
    def loss(self, outputs, target):
        return (outputs - target).square().sum()


class Sorted(SquaredError):
    def loss(self, outputs, target):
        return outputs.sort().values[0] * target.mean()


class Weighted(CrossEntropy):
    def loss(self, outputs, target):
        return F.cross_entropy(outputs, target, weight=torch.ones(4))


class Broken(CrossEntropy):
    def loss(self, outputs, target):
        return outputs.mean() + undefined  # noqa: F821


@pytest.mark.parametrize(
    "objective, batch_size, reason",
    [
        (Summed(), 2, "the loss of a batch is not the mean of its examples'"),
        (Sorted(), 1, "Tensor.sort at test_traced_objectives.py:"),
        (Weighted(), 1, "torch.nn.functional.cross_entropy with these arguments at test_traced_objectives.py:"),
        (Broken(), 1, "NameError (name 'undefined' is not defined) at test_traced_objectives.py:"),
    ],
    ids=["summed", "sorted", "weighted", "broken"],
)  # fmt: skip
def test_what_has_no_form_is_named(objective, batch_size, reason):
    found = NativeEngine().unsupported(run_of(objective, batch_size))
    assert found.startswith(f"dataset.objective={objective.name} has no native form: {reason}")
