from math import sqrt

import numpy as np
import pytest
from oracle import small_config

from plasticity.activations import GAINS
from plasticity.config import run_config
from plasticity.network import State, initial_state


def initial(**values) -> State:
    return initial_state(run_config(values))


def test_base_network_has_119400_weights_and_starts_at_0_but_for_them():
    state = initial()
    assert [weight.shape for weight in state.weights] == [(100, 784), *[(100, 100)] * 4, (10, 100)]
    assert sum(weight.size for weight in state.weights) == 119_400
    assert [bias.shape for bias in state.biases] == [(100,)] * 5 + [(10,)]
    for kind, dtype in (("utility", np.float32), ("mean_activation", np.float32), ("age", np.int64)):
        assert [array.shape for array in getattr(state, kind)] == [(100,)] * 5
        assert all(array.dtype == dtype and not array.any() for array in getattr(state, kind))
    assert all(bias.dtype == np.float32 and not bias.any() for bias in state.biases)
    assert state.debt.dtype == np.float64 and state.debt.tolist() == [0.0] * 5


GAIN = {
    "relu": sqrt(2), "tanh": 5 / 3, "selu": 3 / 4, "sigmoid": 1.0, "leaky_relu": sqrt(2 / 1.0001),
    "elu": sqrt(2), "swish": sqrt(2), "gelu": sqrt(2),
}  # fmt: skip


def test_every_activation_has_its_gain():
    assert dict(GAINS) == pytest.approx(GAIN, rel=1e-15)


@pytest.mark.parametrize(("activation", "gain"), GAIN.items())
def test_weights_start_uniform_within_the_bound_of_their_layer(activation, gain):
    state = initial(activation={"name": activation}, model={"width": 80, "depth": 2})
    bounds = [gain * sqrt(3 / 784), gain * sqrt(3 / 80), sqrt(3 / 80)]  # gain 1 for the output layer
    for weight, bound in zip(state.weights, bounds, strict=True):
        assert weight.dtype == np.float32
        assert np.abs(weight).max() <= np.float32(bound)
        # Of n uniform draws the largest is expected n / (n + 1) of the bound; n is 800 or more.
        assert np.abs(weight).max() > 0.98 * bound
        # Mean 0 ± 5 standard errors b / √(3 n); variance b² / 3 ± 5 of b² · √(4 / 45 n).
        assert abs(weight.mean()) < 5 * bound / sqrt(3 * weight.size)
        assert abs(weight.var() - bound**2 / 3) < 5 * bound**2 * sqrt(4 / 45 / weight.size)


def test_layers_and_seeds_start_differently_and_a_seed_always_the_same():
    state, again, other = initial(), initial(), initial(seed=1)
    assert len({weight[:10, :100].tobytes() for weight in state.weights}) == 6
    for weight, same, different in zip(state.weights, again.weights, other.weights, strict=True):
        assert np.array_equal(weight, same)
        assert not np.isin(weight.flat[:100], different.flat[:100]).any()


def test_first_layer_does_not_depend_on_the_layers_behind_it():
    shallow, deep = initial(model={"depth": 1}), initial(model={"depth": 5})
    assert np.array_equal(shallow.weights[0], deep.weights[0])


def test_state_survives_its_flat_form():
    # More than ten layers: their names do not sort as their numbers do.
    state = initial_state(small_config(inputs=4, width=3, depth=12, outputs=2))
    for layer in range(12):
        state.utility[layer][:] = layer
        state.mean_activation[layer][:] = layer + 0.5
        state.age[layer][:] = 2**40 + layer
        state.biases[layer][:] = -layer
        state.debt[layer] = layer / 13
    named = state.arrays()
    assert len(named) == 13 + 13 + 12 * 3 + 1
    back = State.from_arrays(dict(reversed(named.items())))
    for kind in ("weights", "biases", "utility", "mean_activation", "age"):
        assert len(getattr(back, kind)) == len(getattr(state, kind))
        for found, expected in zip(getattr(back, kind), getattr(state, kind), strict=True):
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
    assert np.array_equal(back.debt, state.debt)
