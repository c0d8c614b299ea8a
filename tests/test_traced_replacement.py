"""Replacement methods of a user's own: their updates are traced, their choices stay in Python."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from oracle import Examples, assert_near, random_task, small_run
from test_native import TOLERANCE, assert_identical, ignore

from plasticity.engines import native
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.network import Network, initial_network
from plasticity.part import integer, number
from plasticity.replacement import ContinualBackpropagation, Replacement
from plasticity.run import Run

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]


@dataclass(frozen=True, kw_only=True)
class Silent(Replacement):
    """As in the README: every `interval` steps, the units that were never active since the last time."""

    interval: int = integer(5, at_least=1)

    def initial_memory(self, units):
        return {"active": np.zeros(units, bool), "steps": np.zeros((), np.int64)}

    def update(self, memory, step):
        for steps, active, h in zip(memory["steps"], memory["active"], step.activations, strict=True):
            steps += 1
            active |= h > 0
        return [(steps % self.interval == 0).double() for steps in memory["steps"]]

    def choose(self, memory, step, due):
        silent = [(~active).nonzero().flatten().tolist() for active in memory["active"]]
        for active in memory["active"]:
            active.zero_()
        return [units if layer in self.layers else [] for layer, units in enumerate(silent, start=1)]


@dataclass(frozen=True, kw_only=True)
class Dormant(Replacement):
    """Units of a small share of their layer's activity and weights; sums, doubles, and a table of its own."""

    interval: int = integer(20, at_least=1)
    threshold: float = number(0.6, at_least=0)

    def initial_memory(self, units):
        return {
            "activity": np.zeros(units, np.float32),
            "weight": np.zeros(units, np.float64),
            "age": np.zeros(units, np.int64),
            "steps": np.zeros((), np.int64),
            "mean": np.zeros((), np.float32),
            "history": np.zeros((2, units), np.float32),
        }

    def update(self, memory, step):
        due = []
        for layer, h in enumerate(step.activations):
            size = h.abs() if h.ndim == 1 else h.abs().mean(dim=0)
            outgoing = step.linear[layer + 1].weight.abs().mean(dim=0)
            incoming = step.linear[layer].weight.abs().mean(dim=1)
            memory["activity"][layer].mul_(0.9).add_(size * outgoing, alpha=0.1)
            memory["weight"][layer] += (incoming.double() * 0.5 ** memory["age"][layer].double()).sqrt()
            memory["age"][layer] += 1
            memory["steps"][layer] += 1
            memory["mean"][layer].copy_(memory["activity"][layer].mean())
            z = step.pre_activations[layer]
            late = memory["steps"][layer] >= self.interval
            due.append((late & (z > z.min()).any()).double() + 0.0 * memory["age"][layer].max().double())
        return due

    def choose(self, memory, step, due):
        chosen = []
        for layer, activity in enumerate(memory["activity"]):
            memory["history"][layer][1] = memory["history"][layer][0]
            memory["history"][layer][0] = activity
            memory["steps"][layer] = torch.zeros((), dtype=torch.int64)  # another tensor in its place
            share = activity / (memory["mean"][layer] + 1e-9)
            if step.number % 3 == 0:  # weights are there, too
                share = share + 0 * step.linear[layer].weight.abs().sum(dim=1) + 0 * step.linear[layer].bias
            units = (share < self.threshold).nonzero().flatten().tolist()[:2]
            chosen.append(units if layer + 1 in self.layers else [])
        return chosen


class Least(Replacement):
    """The least active unit, after every step in which a draw says so."""

    def choose(self, memory, step, due):
        sizes = [h.abs() if h.ndim == 1 else h.abs().mean(dim=0) for h in step.activations]
        return [
            [int((size + 0.1 * step.draw(layer)).argmin())] if step.chance(layer) < 0.2 else []
            for layer, size in enumerate(sizes)
        ]


class ByHand(ContinualBackpropagation):
    """Continual backpropagation, traced from its own definition."""

    before_replacement = Replacement.before_replacement


METHODS = [
    Silent(),
    Dormant(),
    Dormant(layers=(2,)),
    Least(),
    ByHand(rate=0.05, maturity_threshold=5, utility="adaptable_contribution"),
]


def run_of(method: Replacement, batch_size: int = 1, **others: object) -> Run:
    run = small_run(
        inputs=9, widths=(17, 5), outputs=4, step_size=0.02, seed=2, batch_size=batch_size, **others
    )
    return replace(run, replacement=method)


def assert_agree(found: Network, expected: Network, rtol: float = TOLERANCE, atol: float = TOLERANCE) -> None:
    assert found.memory.keys() == expected.memory.keys()
    arrays = found.arrays()
    for name, array in expected.arrays().items():
        other, is_exact = arrays[name], array.dtype.kind in "ib"
        assert other.dtype == array.dtype and other.shape == array.shape, name
        if is_exact:
            assert np.array_equal(other, array), name
        else:
            assert_near(other, array, rtol, atol, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_steps_and_choices_equal_the_reference(method, batch_size):
    """Each task from the reference's network."""
    if batch_size > 1 and isinstance(method, Silent):
        pytest.skip("it takes no batches, in any engine")
    run = run_of(
        method, batch_size, activation="tanh" if isinstance(method, Dormant) else "relu", weight_decay=0.01
    )
    assert NativeEngine().unsupported(run) is None
    reference, replaced = ReferenceLearner(run, initial_network(run)), 0
    for task in range(8):
        steps = random_task(run, 40 * batch_size, task)
        learner = NativeLearner(run, reference.network())
        found, expected = (each.learn(steps, ignore, losses=True) for each in (learner, reference))
        assert found.replaced.tolist() == expected.replaced.tolist()
        assert found.loss == pytest.approx(expected.loss, rel=TOLERANCE)
        assert found.losses.after == pytest.approx(expected.losses.after, rel=1e-3, abs=1e-4)
        assert found.losses.before == pytest.approx(expected.losses.before, rel=1e-3, abs=1e-4)
        np.testing.assert_allclose(found.weight_magnitude, expected.weight_magnitude, rtol=TOLERANCE)
        assert_agree(learner.network(), reference.network())
        replaced += expected.replaced.sum()
    assert replaced > 10


@pytest.mark.parametrize("method", [Dormant(), Least()], ids=["dormant", "least"])
def test_a_learner_made_from_a_network_equals_an_uninterrupted_one_bit_for_bit(method, monkeypatch):
    run = run_of(method, weight_decay=0.05)
    tasks = [random_task(run, 45, number) for number in range(3)]
    uninterrupted, network = NativeLearner(run, initial_network(run)), initial_network(run)
    for task in tasks:
        learner = NativeLearner(run, Network.from_arrays(network.arrays()))
        monkeypatch.setattr(native, "ADVANCE_EVERY", 7)  # and learning in pieces leaves no trace
        result = learner.learn(task, ignore)
        monkeypatch.undo()
        assert result.replaced.tolist() == uninterrupted.learn(task, ignore).replaced.tolist()
        network = learner.network()
    assert_identical(network, uninterrupted.network())


def test_a_choice_of_a_unit_that_there_is_not_is_an_error():
    class Beyond(Replacement):
        def choose(self, memory, step, due):
            return [[99], []]

    run = run_of(Beyond())
    with pytest.raises(IndexError):
        NativeLearner(run, initial_network(run)).learn(random_task(run, 5), ignore)


class Mixing(Replacement):
    def initial_memory(self, units):
        return {"mean": np.zeros((), np.float32)}

    def update(self, memory, step):
        for mean in memory["mean"]:
            mean.add_(step.activations[0].mean())
        return []

    choose = Least.choose


class Tabulating(Replacement):
    def initial_memory(self, units):
        return {"table": np.zeros((2, units), np.float32)}

    def update(self, memory, step):
        for table, h in zip(memory["table"], step.activations, strict=True):
            table[0] += h
        return []

    choose = Least.choose


class Weighing(Replacement):
    def update(self, memory, step):
        return [layer.weight.square().sum().double() for layer in step.linear[:-1]]

    choose = Least.choose


class Counting(Replacement):
    def update(self, memory, step):
        return [step.number % 5 == 0 for _ in step.activations]

    choose = Least.choose


@pytest.mark.parametrize(
    "method, reason",
    [
        (Mixing(), "an update of layer 2 that looks at layer 1"),
        (Tabulating(), 'memory["table"], float32 of shape [2, 17] at test_traced_replacement.py:'),
        (Weighing(), "step.linear[0].weight at test_traced_replacement.py:"),
        (Counting(), "step.number at test_traced_replacement.py:"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_update_may_not_look_at_is_named(method, reason):
    found = NativeEngine().unsupported(run_of(method))
    assert found.startswith(f"replacement={method.name} has no native form: {reason}")


CHOOSING = {
    "redo": {"interval": 20, "threshold": 0.5},
    "regrama": {"interval": 20, "threshold": 0.2},
    "random": {"rates": [0.01, 0.02]},
}


@pytest.mark.parametrize("name", CHOOSING)
def test_methods_of_the_field_are_traced_and_equal_the_reference(name):
    run = Run(
        model={"width": 9, "depth": 2}, replacement={"name": name, **CHOOSING[name]},
        dataset=Examples(inputs=7, outputs=3, examples_per_task=300),
        optimiser={"name": "sgd", "step_size": 0.05},
    )  # fmt: skip
    assert NativeEngine().unsupported(run) is None
    native, reference = (learner(run, initial_network(run)) for learner in (NativeLearner, ReferenceLearner))
    for turn in range(2):
        task = random_task(run, 300, turn)
        found, expected = (one.learn(task, lambda steps: None) for one in (native, reference))
        assert found.replaced.tolist() == expected.replaced.tolist() and found.replaced.sum() > 3
    arrays = reference.network().arrays()
    for kind, array in native.network().arrays().items():
        np.testing.assert_allclose(array, arrays[kind], rtol=1e-3, atol=1e-4, err_msg=kind)
