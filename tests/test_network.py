from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from oracle import small_run

from plasticity.activations import Activation
from plasticity.networks.network import Network, initial_network
from plasticity.part import find, names
from plasticity.run import Run


def initial(**values) -> Network:
    return initial_network(Run.of(values))


def test_base_network_has_119400_weights_and_starts_at_0_but_for_them():
    network = initial()
    assert [weight.shape for weight in network.weights] == [(100, 784), *[(100, 100)] * 4, (10, 100)]
    assert sum(weight.size for weight in network.weights) == 119_400
    assert [bias.shape for bias in network.biases] == [(100,)] * 5 + [(10,)]
    for kind, dtype in (("utility", np.float32), ("mean_activation", np.float32), ("age", np.int64)):
        assert [array.shape for array in network.remembered(kind)] == [(100,)] * 5
        assert all(array.dtype == dtype and not array.any() for array in network.remembered(kind))
    assert all(bias.dtype == np.float32 and not bias.any() for bias in network.biases)
    assert all(debt.dtype == np.float64 and debt.shape == () for debt in network.remembered("debt"))
    assert [debt.tolist() for debt in network.remembered("debt")] == [0.0] * 5
    assert len(network.memory) == 4 * 5


def test_layers_of_different_widths():
    network = initial(model={"widths": [7, 4]})
    assert [weight.shape for weight in network.weights] == [(7, 784), (4, 7), (10, 4)]
    assert [bias.shape for bias in network.biases] == [(7,), (4,), (10,)]
    for kind in ("utility", "mean_activation", "age"):
        assert [array.shape for array in network.remembered(kind)] == [(7,), (4,)]
    bounds = [sqrt(2) * sqrt(3 / 784), sqrt(2) * sqrt(3 / 7), sqrt(3 / 4)]
    for weight, bound in zip(network.weights, bounds, strict=True):
        # The largest of n ≥ 28 uniform draws is in the upper fifth of the bound but for a chance of 0.8^28 = 0.2 %.
        assert 0.8 * bound < np.abs(weight).max() <= np.float32(bound)


GAIN = {
    "relu": sqrt(2), "tanh": 5 / 3, "selu": 3 / 4, "sigmoid": 1.0, "leaky_relu": sqrt(2 / 1.0001),
    "elu": sqrt(2), "swish": sqrt(2), "gelu": sqrt(2),
    "crelu": sqrt(2), "smooth_leaky": sqrt(2 / 1.01),
}  # fmt: skip


def test_uniform_start_is_that_of_pytorchs_linear_layers_biases_included():
    """U(−1/√inputs, 1/√inputs), whatever the activation; weights and biases are drawn separately."""
    network = initial(model={"widths": [300, 150], "initial": "uniform"}, activation="selu")
    for weight, bias in zip(network.weights, network.biases, strict=True):
        bound = 1 / sqrt(weight.shape[1])
        for values in (weight, bias):
            assert values.dtype == np.float32 and abs(values).max() <= np.float32(bound)
            assert abs(values.mean()) < 6 * bound / sqrt(3 * values.size)
            if values.size > 100:
                assert abs(values).max() > 0.95 * bound
        assert len(np.intersect1d(weight, bias)) < 30  # of 24 bits each: some 4 by chance
    run = small_run(inputs=5, widths=(7, 4))
    uniform = replace(run, model=replace(run.model, initial="uniform"))
    assert uniform.model.replacement_bound(run.activation, 7) == 1 / sqrt(7)
    assert run.model.replacement_bound(run.activation, 7) == run.activation.replacement_bound(7)


def test_every_activation_has_its_gain():
    gains = {name: find(Activation, name, "activation").gain for name in names(Activation)}
    assert gains == pytest.approx(GAIN, rel=1e-15)
    bounds = {name: find(Activation, name, "activation")().initial_bound(48) for name in GAIN}
    assert bounds == pytest.approx({name: gain / 4 for name, gain in GAIN.items()}, rel=1e-15)


def test_replaced_units_start_with_the_gain_of_their_activation_but_for_selu():
    bounds = {
        name: find(Activation, name, "activation")().replacement_bound(48) for name in names(Activation)
    }
    gains = GAIN | {"selu": 1.0}
    assert bounds == pytest.approx({name: gain / 4 for name, gain in gains.items()}, rel=1e-15)


@pytest.mark.parametrize(("activation", "gain"), GAIN.items())
def test_weights_start_uniform_within_the_bound_of_their_layer(activation, gain):
    network = initial(activation={"name": activation}, model={"width": 80, "depth": 2})
    hidden = 2 * 80 if activation == "crelu" else 80
    bounds = [gain * sqrt(3 / 784), gain * sqrt(3 / hidden), sqrt(3 / hidden)]  # gain 1 for the output layer
    for weight, bound in zip(network.weights, bounds, strict=True):
        assert weight.dtype == np.float32
        assert np.abs(weight).max() <= np.float32(bound)
        # The largest of n uniform draws is expected at n / (n + 1) of the bound; n is 800 or more.
        assert np.abs(weight).max() > 0.98 * bound
        # Mean 0 ± 5 standard errors b / √(3 n); variance b² / 3 ± 5 of b² · √(4 / 45 n).
        assert abs(weight.mean()) < 5 * bound / sqrt(3 * weight.size)
        assert abs(weight.var() - bound**2 / 3) < 5 * bound**2 * sqrt(4 / 45 / weight.size)


def test_layers_and_seeds_start_differently_and_a_seed_always_the_same():
    network, again, other = initial(), initial(), initial(seed=1)
    assert len({weight[:10, :100].tobytes() for weight in network.weights}) == 6
    for weight, same, different in zip(network.weights, again.weights, other.weights, strict=True):
        assert np.array_equal(weight, same)
        assert not np.isin(weight.flat[:100], different.flat[:100]).any()


def test_first_layer_does_not_depend_on_the_layers_behind_it():
    shallow, deep = initial(model={"depth": 1}), initial(model={"depth": 5})
    assert np.array_equal(shallow.weights[0], deep.weights[0])


def test_network_survives_its_flat_form():
    # More than ten layers: their names do not sort as their numbers do.
    network = initial_network(small_run(inputs=4, width=3, depth=12, outputs=2))
    for layer in range(12):
        network.remembered("utility")[layer][:] = layer
        network.remembered("mean_activation")[layer][:] = layer + 0.5
        network.remembered("age")[layer][:] = 2**40 + layer
        network.remembered("debt")[layer][...] = layer / 13
        network.biases[layer][:] = -layer
        network.memory[f"weights.momentum.{layer}"] = np.full((3, 4), layer + 0.25, np.float32)
    named = network.arrays()
    assert len(named) == 13 + 13 + 12 * 4 + 12
    back = Network.from_arrays(dict(reversed(named.items())))
    assert set(back.memory) == set(network.memory)
    arrays = [(back.weights, network.weights), (back.biases, network.biases)]
    for kind in ("utility", "mean_activation", "age", "debt", "weights.momentum"):
        arrays.append((back.remembered(kind), network.remembered(kind)))
    for found_layers, expected_layers in arrays:
        assert len(found_layers) == len(expected_layers)
        for found, expected in zip(found_layers, expected_layers, strict=True):
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
    assert float(back.remembered("debt")[11]) == 11 / 13
