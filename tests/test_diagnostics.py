import subprocess
import sys
from math import exp, log, sqrt

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from updates import adam_of_torch

from plasticity import diagnostics
from plasticity.diagnostics import (
    absolute_approximate_rank,
    approximate_rank,
    curvature_rank,
    curvature_ranks,
    dead_units,
    distance_from_initialisation,
    dormant_units,
    duplicate_units,
    effective_rank,
    errors_and_inputs,
    gradient_gram,
    gradient_norm,
    linearised_units,
    probing_accuracy,
    rank,
    singular_values,
    stable_rank,
    step_plasticity,
    utility_summary,
    weight_magnitude,
    zero_gradients,
)
from plasticity.streams import Purpose, uniform

OF_A_LAYER = [
    dead_units, dormant_units, linearised_units, duplicate_units,
    rank, effective_rank, approximate_rank, absolute_approximate_rank, stable_rank,
]  # fmt: skip
RANKS = [rank, effective_rank, approximate_rank, absolute_approximate_rank, stable_rank]
NOT_FINITE = [np.nan, np.inf, -np.inf]


def matrix(examples: int, units: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((examples, units)).astype(np.float32)


def with_singular_values(sigma: list[float], examples: int = 50, units: int = 20) -> np.ndarray:
    """A float32 matrix of these singular values, then zeros."""
    left = np.linalg.qr(matrix(examples, len(sigma), 1).astype(np.float64))[0]
    right = np.linalg.qr(matrix(units, len(sigma), 2).astype(np.float64))[0]
    return (left * sigma @ right.T).astype(np.float32)


# --- Units ---


def test_units_that_are_0_on_every_example_are_dead():
    h = np.array([[0, 1, 0, -0.0], [0, 0, 1e-30, 0], [0, 2, 0, 0]], np.float32)
    assert dead_units(h) == 2


def test_units_of_little_mean_activation_are_dormant():
    # Mean |h| is 3.9, 0.1, 0 and 0: the layer's mean is 1, and 0.1, 0, 0 are shares of it.
    h = np.array([[3.9, 0.1, 0, 0], [-3.9, -0.1, 0, 0]], np.float32)
    assert dormant_units(h) == 0.5
    assert dormant_units(h, threshold=0.11) == 0.75
    assert dormant_units(h, threshold=0) == 0.5


def test_a_unit_at_the_threshold_is_dormant():
    # Mean |h| is 1 and 7, their mean 4: exactly a quarter of it.
    h = np.array([[1, 7]], np.float32)
    assert dormant_units(h, threshold=0.25) == 0.5
    assert dormant_units(h, threshold=0.2499) == 0


def test_units_on_the_linear_side_of_nine_examples_in_ten_are_linearised():
    z = np.ones((10, 4), np.float32)
    z[0, 1] = 0  # 0 is not above 0: nine of ten
    z[:2, 2] = -1  # eight of ten
    z[:, 3] = -1
    assert linearised_units(z) == 0.5
    assert linearised_units(z, share=0.8) == 0.75
    assert linearised_units(z, share=1.0) == 0.25


def test_all_but_the_last_of_equal_units_are_duplicates():
    one, other = np.array([1, 2, 3, 0], np.float32), np.array([3, 0, -1, 5], np.float32)
    alike = np.stack([one, other, 4 * one, 1e-20 * one, -one, np.zeros(4, np.float32)], axis=1)
    assert duplicate_units(alike) == pytest.approx(2 / 6)


@pytest.mark.parametrize(("angle", "share"), [(0.31, 0.5), (0.32, 0)])
def test_duplicates_begin_at_a_cosine_of_0_95(angle, share):
    # arccos 0.95 = 0.3176
    h = np.array([[1, np.cos(angle)], [0, np.sin(angle)]], np.float32)
    assert duplicate_units(h) == share


def test_a_layer_that_is_all_zero_is_dead_and_dormant_and_has_no_duplicates():
    zero = np.zeros((20, 4), np.float32)
    assert (dead_units(zero), dormant_units(zero), linearised_units(zero), duplicate_units(zero)) == (
        4,
        1,
        0,
        0,
    )


def test_a_single_unit():
    unit = np.array([[1], [0], [2]], np.float32)
    assert (dead_units(unit), dormant_units(unit), duplicate_units(unit)) == (0, 0, 0)
    assert linearised_units(unit, share=0.66) == 1
    assert {measure(unit) for measure in RANKS} == {1.0}


# --- Ranks ---


@pytest.mark.parametrize("shape", [(200, 30), (30, 200), (25, 25)])
@pytest.mark.parametrize("scale", [1, 1e-25, 1e25])
def test_singular_values_are_those_of_the_matrix(shape, scale):
    h = (matrix(*shape) * np.float32(scale)) @ np.diag(2.0 ** -(np.arange(shape[1]) % 9)).astype(np.float32)
    exact = np.linalg.svd(h.astype(np.float64), compute_uv=False)
    assert np.allclose(singular_values(h), exact, rtol=1e-10, atol=1e-8 * exact[0])


@pytest.mark.parametrize("shape", [(200, 30), (30, 200)])
@pytest.mark.parametrize("directions", [1, 7, 30])
def test_rank_is_that_of_numpy(shape, directions):
    h = matrix(shape[0], directions) @ matrix(directions, shape[1], 1)
    assert rank(h) == np.linalg.matrix_rank(h) == directions


@pytest.mark.parametrize(("smallest", "expected"), [(1.25, 3), (0.8, 2)])
def test_a_singular_value_counts_above_the_tolerance(smallest, expected):
    # The tolerance is σ_max · max(examples, units) · 2⁻²³; the matrix is diagonal, so that it is exact.
    h = np.zeros((1_000, 3), np.float32)
    h[0, 0], h[1, 1], h[2, 2] = 8, 1, 8 * 1_000 * 2.0**-23 * smallest
    assert rank(h) == expected


def test_effective_rank_by_hand():
    # p = ½, ¼, ¼: the entropy is 1.5 ln 2.
    assert effective_rank(with_singular_values([2, 1, 1])) == pytest.approx(2**1.5, rel=1e-5)
    p = np.array([0.7, 0.2, 0.1])
    expected = exp(-sum(x * log(x) for x in p))
    assert effective_rank(with_singular_values(list(30 * p))) == pytest.approx(expected, rel=1e-5)


def test_approximate_ranks_by_hand():
    # σ² is 100, 1, 1, 1e-4: 100 / 102 is 98.0 %, 101 / 102 is 99.02 %. σ is 10, 1, 1, 0.01: 12 / 12.01 is
    # 99.9 %, 11 / 12.01 is 91.6 %.
    h = with_singular_values([10, 1, 1, 0.01])
    assert approximate_rank(h) == 2
    assert absolute_approximate_rank(h) == 3


def test_a_hundredth_part_can_be_left_out_and_no_more():
    assert approximate_rank(np.eye(100, dtype=np.float32)) == 99
    assert absolute_approximate_rank(np.eye(100, dtype=np.float32)) == 99
    assert approximate_rank(np.eye(99, dtype=np.float32)) == 99


def test_stable_rank_is_frobenius_over_spectral():
    h = matrix(40, 12)
    assert stable_rank(h) == pytest.approx((np.linalg.norm(h) / np.linalg.norm(h, 2)) ** 2, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_ranks_of_relu_activations_are_those_of_numpys_singular_values(seed):
    h = np.maximum(matrix(1_000, 10, seed) @ matrix(10, 100, seed + 10) - 1, 0)
    sigma = np.linalg.svd(h.astype(np.float64), compute_uv=False)
    p, squares = sigma / sigma.sum(), sigma**2 / np.sum(sigma**2)
    expected = {
        "rank": np.linalg.matrix_rank(h),
        "effective_rank": pytest.approx(np.exp(-np.sum(p * np.log(p + 1e-300))), rel=1e-6),
        "approximate_rank": next(k for k in range(1, 101) if squares[:k].sum() >= 0.99),
        "absolute_approximate_rank": next(k for k in range(1, 101) if p[:k].sum() >= 0.99),
        "stable_rank": pytest.approx(1 / squares[0], rel=1e-6),
    }
    assert {measure.__name__: measure(h) for measure in RANKS} == expected
    known = singular_values(h)
    assert {measure.__name__: measure(h, known) for measure in RANKS} == expected


@pytest.mark.parametrize("measure", RANKS)
def test_every_rank_of_a_layer_that_is_all_zero_is_1(measure):
    assert measure(np.zeros((20, 4), np.float32)) == 1


@pytest.mark.parametrize("measure", RANKS)
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_ranks_do_not_depend_on_the_scale(measure, scale):
    h = matrix(50, 8)
    assert measure(h * np.float32(scale)) == pytest.approx(measure(h), rel=1e-6)


@pytest.mark.parametrize("measure", OF_A_LAYER)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_measure_of_a_layer_that_is_not_finite_is_nan(measure, value):
    h = matrix(20, 4)
    h[3, 2] = value
    assert np.isnan(measure(h))


# --- Weights and utilities ---


def test_weight_magnitude_adds_up_layers():
    weights = [np.array([[1, -2], [0, 0.5]], np.float32), np.array([[-4, 1]], np.float32)]
    assert weight_magnitude(weights[0]) == 3.5
    assert weight_magnitude(weights) == 8.5


def test_weight_magnitude_is_summed_in_double_precision():
    assert weight_magnitude(np.array([[2.0**24, 1, 1]], np.float32)) == 2**24 + 2


def test_distance_from_initialisation_by_hand():
    then = [np.array([[1, 1], [1, 1]], np.float32), np.array([0, 0], np.float32)]
    now = [np.array([[1, 3], [1, -3]], np.float32), np.array([0, 4], np.float32)]
    assert distance_from_initialisation(now, then) == 6
    assert distance_from_initialisation(now[0], then[0]) == pytest.approx(sqrt(20))
    assert distance_from_initialisation(then, then) == 0


def test_distance_is_only_between_equal_shapes():
    with pytest.raises(ValueError, match="shapes"):
        distance_from_initialisation(np.zeros((2, 2)), np.zeros(2))


@pytest.mark.parametrize("value", NOT_FINITE)
def test_distance_of_weights_that_are_not_finite_is_nan(value):
    assert np.isnan(distance_from_initialisation([np.array([1, value])], [np.array([1, value])]))


def test_utilities_in_four_numbers():
    summary = utility_summary(np.array([4, 1, 2, 9], np.float32))
    assert summary == {"mean": 4, "median": 3, "min": 1, "max": 9}
    assert set(utility_summary(np.array([5], np.float32)).values()) == {5.0}


@pytest.mark.parametrize("value", NOT_FINITE)
def test_utilities_that_are_not_finite_are_nan(value):
    assert all(np.isnan(number) for number in utility_summary(np.array([1, value, 2])).values())


# --- Gradients and curvature ---

SIZES = [12, 8, 8, 4]
EXAMPLES = 60


def network(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    pairs = list(zip(SIZES, SIZES[1:], strict=False))
    weights = [
        matrix(units, inputs, seed + k) / np.sqrt(np.float32(inputs))
        for k, (inputs, units) in enumerate(pairs)
    ]
    return weights, [matrix(1, units, seed + 10 + k)[0] / 10 for k, (_, units) in enumerate(pairs)]


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return matrix(EXAMPLES, SIZES[0], seed + 20), np.random.default_rng(seed).integers(0, SIZES[-1], EXAMPLES)


def explicit_gradients(weights, biases, examples, targets, activation, loss) -> list[np.ndarray]:
    """Every example's gradient for each layer's weights, one backward pass each: [examples, units, inputs]."""
    parameters = [torch.tensor(weight, dtype=torch.float64, requires_grad=True) for weight in weights]
    gradients = []
    for example, target in zip(
        torch.tensor(examples, dtype=torch.float64), torch.from_numpy(targets), strict=True
    ):
        z = example
        for layer, (weight, bias) in enumerate(zip(parameters, biases, strict=True)):
            z = weight @ (activation(z) if layer else z) + torch.tensor(bias, dtype=torch.float64)
        gradients.append(torch.autograd.grad(loss(z, target), parameters))
    return [torch.stack(layer).numpy() for layer in zip(*gradients, strict=True)]


def rank_at(gradients: np.ndarray, share: float = 0.99) -> int:
    """The approximate rank, by the singular values of all gradients: [examples, weights]."""
    values = np.linalg.svd(gradients, compute_uv=False) ** 2
    return next(k for k in range(1, len(values) + 1) if values[:k].sum() >= share * values.sum())


CASES = [(F.relu, F.cross_entropy), (torch.tanh, F.cross_entropy), (F.relu, F.mse_loss)]


@pytest.mark.parametrize(("activation", "loss"), CASES)
def test_errors_times_inputs_are_every_examples_gradient(activation, loss):
    (weights, biases), (examples, targets) = network(), data()
    if loss is F.mse_loss:
        targets = matrix(EXAMPLES, SIZES[-1], 99)
    errors, inputs = errors_and_inputs(weights, biases, examples, targets, activation, loss)
    explicit = explicit_gradients(weights, biases, examples, targets, activation, loss)
    for error, entries, gradient in zip(errors, inputs, explicit, strict=True):
        assert error.dtype == entries.dtype == np.float32
        assert np.allclose(np.einsum("eu,ei->eui", error, entries), gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("activation", "loss"), CASES[:2])
@pytest.mark.parametrize("seed", range(3))
def test_curvature_is_that_of_explicit_gradients(activation, loss, seed):
    (weights, biases), (examples, targets) = network(seed), data(seed)
    errors, inputs = errors_and_inputs(weights, biases, examples, targets, activation, loss)
    explicit = explicit_gradients(weights, biases, examples, targets, activation, loss)
    flat = [gradient.reshape(EXAMPLES, -1) for gradient in explicit]
    for error, entries, gradients in zip(errors, inputs, flat, strict=True):
        values = np.linalg.eigvalsh(gradient_gram(error, entries).astype(np.float64))[::-1]
        exact = np.linalg.svd(gradients, compute_uv=False) ** 2
        assert np.allclose(values[: len(exact)], exact, atol=1e-4 * exact.sum(), rtol=1e-4)
        assert curvature_rank(error, entries) == rank_at(gradients)
    expected = [rank_at(gradients) for gradients in flat], rank_at(np.hstack(flat))
    assert curvature_ranks(errors, inputs) == expected
    assert curvature_rank(errors, inputs) == expected[1]
    assert len({*expected[0], expected[1]}) > 1


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_curvature_of_a_layer_with_fewer_weights_than_examples(share):
    # 3 · 5 weights and 60 examples: the rank is bounded, and the factorisation with pivots is used.
    errors, inputs = matrix(EXAMPLES, 3), matrix(EXAMPLES, 5, 1) * np.float32([1, 0.3, 0.1, 0.03, 0])
    gradients = np.einsum("eu,ei->eui", errors.astype(np.float64), inputs).reshape(EXAMPLES, -1)
    assert curvature_rank(errors, inputs, share) == rank_at(gradients, share)


def test_curvature_does_not_depend_on_the_scale():
    errors, inputs = matrix(EXAMPLES, 8), matrix(EXAMPLES, 12, 1)
    expected = curvature_rank(errors, inputs)
    tiny, huge = np.float32(1e-25), np.float32(1e25)
    assert curvature_rank(errors * tiny, inputs) == expected
    assert curvature_rank(errors * huge, inputs * huge) == expected
    assert curvature_ranks([errors * tiny, errors], [inputs, inputs * tiny]) == ([expected] * 2, expected)
    # The first layer is negligible beside the second one.
    assert curvature_ranks([errors * tiny, errors[:, :1]], [inputs, inputs[:, :1]]) == ([expected, 1], 1)


def test_curvature_where_no_gradient_is_left_is_1():
    nothing, inputs = np.zeros((EXAMPLES, 8), np.float32), matrix(EXAMPLES, 12)
    assert curvature_rank(nothing, inputs) == 1
    assert curvature_ranks([nothing, nothing], [inputs, nothing]) == ([1, 1], 1)
    # A layer without gradients takes nothing from the others, however small theirs are.
    errors = matrix(EXAMPLES, 8, 1) * np.float32(1e-25)
    assert curvature_ranks([nothing, errors], [inputs, inputs])[1] == curvature_rank(errors, inputs)


def test_curvature_of_a_single_weight_or_example_is_1():
    assert curvature_rank(matrix(EXAMPLES, 1), matrix(EXAMPLES, 1, 1)) == 1
    assert curvature_rank(matrix(1, 8), matrix(1, 12, 1)) == 1


@pytest.mark.parametrize("value", NOT_FINITE)
def test_curvature_and_gradients_that_are_not_finite_are_nan(value):
    good, bad, inputs = matrix(EXAMPLES, 8), matrix(EXAMPLES, 8), matrix(EXAMPLES, 12)
    bad[3, 2] = value
    layers, total = curvature_ranks([good, bad], [inputs, inputs])
    assert layers[0] == curvature_rank(good, inputs)
    assert np.isnan([layers[1], total, curvature_rank(inputs, bad)]).all()
    assert np.isnan([gradient_norm(bad, inputs), zero_gradients(inputs, bad)]).all()


def test_gradient_norm_is_that_of_the_mean_loss():
    (weights, biases), (examples, targets) = network(), data()
    errors, inputs = errors_and_inputs(weights, biases, examples, targets, F.relu, F.cross_entropy)
    explicit = explicit_gradients(weights, biases, examples, targets, F.relu, F.cross_entropy)
    for error, entries, gradients in zip(errors, inputs, explicit, strict=True):
        assert gradient_norm(error, entries) == pytest.approx(
            np.linalg.norm(gradients.mean(axis=0)), rel=1e-5
        )


def test_zero_gradients_are_counted_over_examples_and_weights():
    errors = np.array([[1, 0, -1], [0, 0, 0], [1, 1, 1]], np.float32)
    inputs = np.array([[1, 0], [2, 3], [0, 4]], np.float32)
    products = np.einsum("eu,ei->eui", errors, inputs)
    assert zero_gradients(errors, inputs) == pytest.approx((products == 0).mean())
    assert zero_gradients(np.zeros((3, 2)), inputs) == 1


# --- Probing ---


def blobs(examples: int = 400, units: int = 6, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Classes that a linear classifier can tell apart."""
    targets = np.arange(examples, dtype=np.int32) % classes
    return 5 * np.eye(classes, units, dtype=np.float32)[targets] + matrix(examples, units) / 10, targets


def test_classes_that_are_linearly_separable_are_told_apart():
    h, targets = blobs()
    assert probing_accuracy(h, targets, seed=0) == 1


def test_a_probe_of_random_labels_finds_little():
    h, targets = matrix(2_000, 4), np.random.default_rng(1).integers(0, 10, 2_000)
    assert 0.08 < probing_accuracy(h, targets, seed=0) < 0.2


def test_without_activations_a_probe_learns_the_most_common_class():
    targets = np.array([2] * 60 + [1] * 40)
    assert probing_accuracy(np.zeros((100, 3), np.float32), targets, seed=0) == 0.6


def test_a_probe_of_a_single_unit_learns_its_sign():
    h = np.array([[-1], [1], [2], [-2]], np.float32)
    assert probing_accuracy(h, np.array([0, 1, 1, 0]), seed=0, classes=2) == 1


def probe_in_pytorch(h, targets, seed, position, classes, epochs) -> list[float]:
    """The accuracy of every epoch, by PyTorch's Linear, cross-entropy and Adam, in double precision."""
    units = h.shape[1]
    start = torch.from_numpy(uniform(1 / sqrt(units), seed, Purpose.PROBE, position, (units + 1) * classes))
    linear = torch.nn.Linear(units, classes, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(start[: units * classes].reshape(classes, units))
        linear.bias.copy_(start[units * classes :])
    step_on, accuracies = adam_of_torch(linear.parameters(), 0.1), []
    inputs, wanted = torch.from_numpy(h).double(), torch.from_numpy(targets).long()
    for _ in range(epochs):
        logits = linear(inputs)
        accuracies.append((logits.argmax(dim=1) == wanted).double().mean().item())
        step_on(F.cross_entropy(logits, wanted))
    return accuracies


@pytest.mark.parametrize("epochs", [1, 2, 5, 20])
def test_a_probe_is_adam_on_cross_entropy_from_its_own_stream(epochs):
    targets = np.random.default_rng(3).integers(0, 5, 500)
    h = matrix(500, 7) + matrix(5, 7, 1)[targets]
    accuracies = probe_in_pytorch(h, targets, 4, (3, 2, 1), 5, epochs)
    assert probing_accuracy(h, targets, 4, (3, 2, 1), classes=5, epochs=epochs) == max(accuracies)


@pytest.mark.parametrize("patience", [1, 2, 3, 6])
def test_a_probe_ends_after_some_epochs_without_a_new_best(patience):
    targets = np.random.default_rng(5).integers(0, 5, 300)
    h = 3 * matrix(300, 4)
    accuracies = probe_in_pytorch(h, targets, 0, (0,), 5, 50)
    best, since, seen = -1.0, 0, 0
    for accuracy in accuracies:
        seen, since = seen + 1, since + 1
        if accuracy > best:
            best, since = accuracy, 0
        if since == patience:
            break
    assert probing_accuracy(h, targets, 0, classes=5, patience=patience) == best
    assert seen < 50 and (patience > 1 or best < max(accuracies))


def test_a_probe_depends_on_its_seed_and_position_alone():
    targets = np.random.default_rng(3).integers(0, 10, 500)
    h = matrix(500, 7)
    torch.manual_seed(0)
    once = [probing_accuracy(h, targets, *address, epochs=1) for address in ((0, (1,)), (0, (2,)), (1, (1,)))]
    torch.manual_seed(1)
    again = [
        probing_accuracy(h, targets, *address, epochs=1) for address in ((0, (1,)), (0, (2,)), (1, (1,)))
    ]
    assert once == again
    assert len(set(once)) > 1


@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_probe_of_activations_that_are_not_finite_is_nan(value):
    h, targets = blobs()
    h[0, 0] = value
    assert np.isnan(probing_accuracy(h, targets, seed=0))


def test_a_probe_has_a_purpose_of_its_own():
    assert Purpose.PROBE == 6


# --- Steps ---


def test_the_share_of_its_loss_that_a_step_removes_by_hand():
    before = np.array([2.0, 1.0, 1.0, 0.0, 1e-9])
    after = np.array([0.5, 3.0, 0.0, 0.0, 5e-9])
    # 3/4; none, since the loss rose; all; all; 1 − 5e-9 / 1e-8.
    assert step_plasticity(before, after) == pytest.approx((0.75 + 0 + 1 + 1 + 0.5) / 5)
    assert np.isnan(step_plasticity(before, np.array([0.5, np.nan, 0, 0, 0])))


# --- The package ---


def test_everything_offered_is_there():
    assert all(callable(getattr(diagnostics, name)) for name in diagnostics.__all__)


def test_importing_the_diagnostics_does_not_import_pytorch():
    code = "import sys, plasticity.diagnostics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
