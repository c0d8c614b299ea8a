"""Traced forms: what a part's code is traced to, against PyTorch, and against the reference engine."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from expressions import random_function
from oracle import random_task, small_run
from test_native import (
    assert_identical,
    compare,
    ignore,
    in_units_of_the_last_place,
    respond,
    run_with,
    segments,
    spread,
    variants,
)  # fmt: skip

from plasticity.activations import Activation
from plasticity.engines import native
from plasticity.engines.kernel import binding, build
from plasticity.engines.kernel.memory import aligned, padded
from plasticity.engines.native import NativeEngine, NativeLearner
from plasticity.engines.traced import library, trace
from plasticity.engines.traced.refusal import Refused
from plasticity.engines.traced.source import Program
from plasticity.networks.network import initial_network
from plasticity.part import names, number, subclasses, to_part
from plasticity.utilities import Measures, Utility

torch.set_num_threads(1)

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]


def responses(programs: Sequence[Program], z: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """h and slope that the programs of activations give."""
    found = []
    for program, address in zip(programs, library.addresses(programs, binding.kernel()), strict=True):
        arrays = {name: aligned(padded(len(z))) for name in ("z", "activation", "slope")}
        arrays["z"][: len(z)] = z
        run(program, address, arrays, len(z))
        found.append((arrays["activation"][: len(z)], arrays["slope"][: len(z)]))
    return found


def run(program: Program, address: int, arrays: dict[str, np.ndarray], units: int, places: int = 1) -> None:
    from ctypes import CFUNCTYPE, c_int32, c_void_p

    table = np.array([arrays[one.name].ctypes.data for one in program.arrays], np.uint64)
    shape = (c_int32 * 3)(units, 1, places)
    CFUNCTYPE(None, c_void_p, c_void_p)(address)(shape, table.ctypes.data)


def of_functions(functions: Sequence[Callable], z: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return responses([trace.activation(function, len(z)) for function in functions], z)


# --- Functions of a number ---------------------------------------------------------------------------------

EXACT = {
    "exp": (torch.exp, np.exp, -87, 88, 4),
    "expm1": (torch.expm1, np.expm1, -87, 88, 4),
    "log": (lambda z: z.log(), np.log, 1e-30, 1e30, 4),
    "log1p": (torch.log1p, np.log1p, -0.999, 1e6, 4),
    "sqrt": (torch.sqrt, np.sqrt, 0, 1e30, 0.51),
    "sin": (torch.sin, np.sin, -1e6, 1e6, 1),
    "cos": (torch.cos, np.cos, -1e6, 1e6, 1),
    "tanh": (torch.tanh, np.tanh, -12, 12, 4),
    "sigmoid": (torch.sigmoid, lambda z: np.exp(z) / (1 + np.exp(z)), -86, 30, 4),
    "erf": (torch.erf, np.vectorize(math.erf, otypes=[np.float64]), -4, 4, 4),
    "power": (lambda z: z**1.7, lambda z: z ** np.float64(np.float32(1.7)), 0, 1e20, 1),
    "power_of": (lambda z: 0.3**z, lambda z: np.float64(np.float32(0.3)) ** z, -60, 60, 1),
    "floor": (torch.floor, np.floor, -1e9, 1e9, 0.1),
    "ceil": (torch.ceil, np.ceil, -1e9, 1e9, 0.1),
    "trunc": (torch.trunc, np.trunc, -1e9, 1e9, 0.1),
    "round": (torch.round, np.rint, -1e9, 1e9, 0.1),
}
"""For each function: in PyTorch, exactly, on which numbers, and the error allowed, in units of the last place."""


@pytest.fixture
def quickly(monkeypatch):
    """Programs are built without optimisation, which would take minutes here and changes no result."""
    monkeypatch.setattr(build, "FLAGS", tuple(flag for flag in build.FLAGS if flag != "-O3"))


@pytest.mark.usefixtures("quickly")
def test_functions_are_as_exact_as_they_are_said_to_be():
    ranges = {(low, high) for _, _, low, high, _ in EXACT.values()}
    for low, high in ranges:
        of_range = {name: one for name, one in EXACT.items() if one[2:4] == (low, high)}
        z = spread(low, high)[::8]
        found = of_functions([one[0] for one in of_range.values()], z)
        for (name, (_, exact, _, _, most)), (h, _) in zip(of_range.items(), found, strict=True):
            wanted = exact(z.astype(np.float64))
            normal = (np.abs(wanted) > 2e-38) | (wanted == 0)
            assert in_units_of_the_last_place(h[normal], wanted[normal]) < most, name


@pytest.mark.usefixtures("quickly")
def test_functions_at_their_limits_are_pytorchs():
    z = np.array([0.0, -0.0, 1e37, -1e37, math.inf, -math.inf, math.nan, 89, -104, 1, -1], np.float32)
    functions = [one[0] for one in EXACT.values()] + [
        F.gelu,
        F.mish,
        F.softplus,
        F.elu,
        torch.sign,
        torch.frac,
    ]
    settled = {
        torch.sin: np.abs(z) < 1e6,
        torch.cos: np.abs(z) < 1e6,
        F.gelu: z != math.inf,  # where PyTorch has inf or NaN, as processors and numbers of elements differ
    }
    for function, (h, _) in zip(functions, of_functions(functions, z), strict=True):
        wanted = function(torch.from_numpy(z)).numpy()
        there = settled.get(function, np.full(len(z), True))
        np.testing.assert_allclose(h[there], wanted[there], rtol=1e-6, atol=1e-6, err_msg=str(function))


@pytest.mark.usefixtures("quickly")
def test_slopes_at_corners_are_pytorchs():
    corners = np.array([0, -0.0, 1, -1, 3, -3, 0.5, -0.5, 6, 20], np.float32)
    functions = [
        *(
            torch.abs,
            torch.relu,
            F.logsigmoid,
            F.softplus,
            F.relu6,
            F.hardtanh,
            F.softsign,
            F.elu,
            F.celu,
            F.selu,
        ),
        *(F.leaky_relu, F.softshrink, F.hardshrink, torch.sigmoid, torch.tanh),
    ]
    supported = []
    for function in functions:
        try:
            trace.activation(function, len(corners))
        except Refused:
            continue
        supported.append(function)
    assert len(supported) >= 12
    for function, (_, slope) in zip(supported, of_functions(supported, corners), strict=True):
        _, wanted = with_gradient(function, corners)
        np.testing.assert_allclose(slope, wanted, rtol=1e-6, atol=1e-6, err_msg=function.__name__)


@pytest.mark.usefixtures("quickly")
def test_random_parts_and_their_gradients_are_pytorchs():
    """300 of them, built at once."""
    functions = [random_function(seed) for seed in range(300)]
    z = np.random.default_rng(0).normal(0, 1.5, 400).astype(np.float32)
    for seed, (function, found) in enumerate(zip(functions, of_functions(functions, z), strict=True)):
        single, double = (with_gradient(function, z.astype(kind)) for kind in (np.float32, np.float64))
        for mine, theirs, exact in zip(found, single, double, strict=True):
            scale = np.maximum(np.abs(exact), 1)
            close = np.abs(mine - exact) <= 1e-4 * scale + 20 * np.abs(theirs - exact)
            assert close.mean() > 0.985, seed  # the rest: at a jump, which rounding may decide
            assert np.isfinite(mine).all()


def with_gradient(function: Callable, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h and slope as PyTorch computes them."""
    given = torch.from_numpy(z).requires_grad_()
    h = function(given)
    (slope,) = torch.autograd.grad(h.sum(), given) if h.requires_grad else (torch.zeros_like(given),)
    return h.detach().numpy(), slope.numpy()


def straight_through(z):
    return z + (z.round() - z).detach()


def gated(z):
    return z[:] * z.data.sigmoid()


@pytest.mark.usefixtures("quickly")
def test_nothing_goes_back_through_what_is_detached():
    z = spread(-4, 4)[::1000]
    for function, (h, slope) in zip(
        (straight_through, gated), of_functions([straight_through, gated], z), strict=True
    ):
        for mine, theirs in zip((h, slope), with_gradient(function, z), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", binding.numbers("activation"))
def test_a_traced_activation_is_the_one_written_by_hand(activation):
    z = spread(-8, 8)
    part = to_part(Activation, activation, "activation")
    ((h, slope),) = of_functions([part], z)
    for mine, by_hand in zip((h, slope), respond(activation, z), strict=True):
        np.testing.assert_allclose(mine, by_hand, rtol=2e-6, atol=4e-7)


# --- Parts in steps ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SlopedReLU(Activation):
    """As in the README."""

    gain = math.sqrt(2.0)
    slope: float = number(0.1, at_least=0, below=1)

    def __call__(self, z):
        return z.clamp(min=0) + self.slope * z.clamp(max=0)


class Rational(Activation):
    """Of many functions, and not 0 where a unit that there is not would be."""

    def __call__(self, z):
        return (torch.log1p(z.square()) + 0.01).sqrt() + F.mish(z)


class Mixed(Utility):
    """Looks at everything that there is."""

    def __call__(self, measures):
        novelty = (measures.novelty + 0.01).sqrt()
        return measures.activation.abs() * measures.outgoing + novelty / (measures.incoming + 0.1)


class OutgoingAlone(Utility):
    """The same for every example."""

    def __call__(self, measures):
        return measures.outgoing / (1 + measures.mean_activation.abs())


OWN = [
    {"activation": SlopedReLU(slope=0.2)},
    {"activation": Rational(), "utility": Mixed()},
    {"utility": Mixed(), "weight_decay": 0.05},
    {"utility": OutgoingAlone(), "observed": "misaligned", "accrual": "chance"},
]


def own_run(own: dict, batch_size: int = 1, width: int = 17) -> object:
    chosen = dict(own)
    activation, utility = chosen.pop("activation", "relu"), chosen.pop("utility", "contribution")
    run = small_run(
        inputs=9, width=width, depth=2, outputs=4, rate=0.02, maturity_threshold=3, decay_rate=0.9,
        step_size=0.05, seed=1, batch_size=batch_size, bias_compensation=True, **chosen,
    )  # fmt: skip
    return replace(
        run,
        activation=activation,
        replacement=replace(run.replacement, utility=utility),
        model=replace(run.model, initial="uniform"),
    )


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("own", OWN, ids=["sloped", "rational", "mixed", "outgoing"])
def test_own_activations_and_utilities_equal_the_reference(own, batch_size):
    run = own_run(own, batch_size)
    compared, replaced = compare(run, segments(run, number=10, steps=20 * batch_size))
    assert compared >= 8 and replaced > 20


@pytest.mark.parametrize("utility", [name for name in names(Utility) if name != "random"])
def test_a_traced_utility_is_the_one_written_by_hand(utility):
    known = next(kind for kind in subclasses(Utility) if kind.name == utility)
    run = own_run({"utility": known()})
    same = replace(run, replacement=replace(run.replacement, utility=type("Same", (known,), {})()))
    learners = [NativeLearner(one, initial_network(one)) for one in (run, same)]
    for task in segments(run, number=3, steps=20):
        for learner in learners:
            learner.learn(task, ignore)
    by_hand, traced = (learner.network() for learner in learners)
    for array in ("utility", "mean_activation", "age"):
        for one, other in zip(by_hand.remembered(array), traced.remembered(array), strict=True):
            np.testing.assert_allclose(other, one, rtol=2e-5, atol=1e-6)


@pytest.mark.skipif(len(variants()) < 2, reason="this processor has no choice of kernels")
def test_programs_for_all_processors_agree_bit_for_bit(monkeypatch):
    run = own_run(OWN[1])
    tasks, networks = segments(run, number=2, steps=60), []
    for name in variants():
        monkeypatch.setenv(binding.VARIANT, name)
        learner = NativeLearner(run, initial_network(run))
        for task in tasks:
            learner.learn(task, ignore)
        networks.append(learner.network())
    for network in networks[1:]:
        assert_identical(network, networks[0])


# --- What has no traced form -------------------------------------------------------------------------------


def loop(z):
    return torch.stack([one * 2 for one in z])


def branch(z):
    return z if z.sum() > 0 else -z


def norm(z):
    return z / torch.linalg.norm(z)


def array(z):
    return torch.from_numpy(np.exp(z.numpy()))


def softmax(z):
    return z * z.softmax(-1)


def constant(z):
    return z * torch.ones(7)


def caught(z):
    try:
        return z.cumsum(0)
    except Exception:
        return z


def mean(z):
    return z - z.mean()


def noisy(z):
    return z + torch.rand_like(z)


def without_gradients(z):
    with torch.no_grad():
        gate = z.sigmoid()
    return z * gate


def own_gradient(z):
    class Rounded(torch.autograd.Function):
        forward = staticmethod(lambda ctx, z: z.round())

    return Rounded.apply(z)


def in_place(z):
    z.detach().clamp_(min=0)
    return z


def broken(z):
    return z + undefined  # noqa: F821


REFUSED = {
    loop: "a loop over units at test_traced.py",
    branch: "a branch on a value at test_traced.py",
    norm: "torch.linalg.norm at test_traced.py",
    array: "a NumPy array of values at test_traced.py",
    softmax: "Tensor.softmax at test_traced.py",
    constant: "a tensor that it was not given at test_traced.py",
    caught: "Tensor.cumsum at test_traced.py",
    mean: "a sum over units",
    noisy: "torch.rand_like at test_traced.py",
    without_gradients: "Tensor.sigmoid without gradients at test_traced.py",
    own_gradient: "Tensor.round without gradients at test_traced.py",
    in_place: "an in-place change of a detached tensor at test_traced.py",
    broken: "NameError (name 'undefined' is not defined) at test_traced.py",
}


@pytest.mark.parametrize("function", REFUSED)
def test_what_cannot_be_traced_is_named_with_its_line(function):
    kind = type("Odd", (Activation,), {"__call__": lambda self, z: function(z)})
    reason = NativeEngine().unsupported(run_with("activation", kind()))
    found = reason.removeprefix(f"activation={__name__}.Odd has no native form: ")
    line = function.__code__.co_firstlineno
    assert found.startswith(REFUSED[function]) and found != reason
    if " at " in found:
        assert line < int(found.rpartition(":")[2]) <= line + 3


def test_a_utility_that_ranks_in_a_way_of_its_own_has_no_native_form():
    class Ranked(Utility):
        def __call__(self, measures: Measures) -> torch.Tensor:
            return measures.outgoing

        def ranking(self, utility, draw):
            return -utility

    reason = NativeEngine().unsupported(run_with("replacement.utility", Ranked()))
    assert reason.endswith("Ranked has no native form: a ranking of its own")


def test_a_part_that_asks_whether_there_is_a_batch_gets_an_answer():
    class Batched(Utility):
        def __call__(self, measures: Measures) -> torch.Tensor:
            h = measures.activation
            return (h if h.ndim == 1 else h.abs().mean(dim=0)) * measures.outgoing

    for batch_size in (1, 3):
        run = own_run({"utility": Batched()}, batch_size)
        assert compare(run, [random_task(run, 20 * batch_size, k) for k in range(3)])[0] >= 2
