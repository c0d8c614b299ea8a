from math import sqrt

import numpy as np
import pytest
import torch
from oracle import Oracle, as_tensors, assert_agrees, random_task, shown, small_run

from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.layer import Passed
from plasticity.networks.network import Network, initial_network
from plasticity.part import names
from plasticity.run import Run
from plasticity.streams import Purpose, uniform, unit_interval
from plasticity.utilities import Utility

# --- Three steps by hand -------------------------------------------------------------------------------
#
# 3 inputs, 2 ReLU units, 2 outputs, squared error, so that ∂loss/∂y = y − t = e; step size and decay rate
# are 1/2, the maturity threshold is 1 and the replacement rate 1/2. Unit 1 is the first, unit 2 the second.

START = Network.of(
    weights=[
        np.array([[1, 0, 1 / 2], [1 / 2, 1 / 2, 0]], np.float32),
        np.array([[1, 1 / 2], [0, 1 / 2]], np.float32),
    ],
    biases=[np.zeros(2, np.float32), np.zeros(2, np.float32)],
    memory={
        "utility.0": np.zeros(2, np.float32),
        "mean_activation.0": np.zeros(2, np.float32),
        "age.0": np.zeros(2, np.int64),
        "debt.0": np.zeros(()),
    },
)

EXAMPLES = [([1, 1, 0], [1, 1]), ([1, 0, 1], [1 / 8, 11 / 8]), ([0, 0, 2], [-13 / 16, 7 / 16])]

DRAWS = [-1.1382341384887695, -0.6315460801124573, 0.8110837340354919]
"""Of seed 2, for layer 1, unit 2, step 1: three draws from U(−b, b), b = √2 · √(3 / 3)."""


def by_hand(bias_compensation: bool) -> ReferenceLearner:
    run = small_run(
        activation="relu", loss="squared_error", step_size=0.5, seed=2, rate=0.5, maturity_threshold=1,
        decay_rate=0.5, utility="contribution", bias_compensation=bias_compensation,
    )  # fmt: skip
    return ReferenceLearner(run, START)


def take(learner: ReferenceLearner, step: int) -> tuple[float, list[int]]:
    example, target = (torch.tensor(values, dtype=torch.float32) for values in EXAMPLES[step])
    loss, score, replaced = learner.step(example, target, step)
    assert score == loss  # of a squared error the score is the error
    return loss, replaced


def debts(learner: ReferenceLearner) -> list[float]:
    """The debt of each hidden layer."""
    return [float(debt) for debt in learner.network().remembered("debt")]


def assert_network(learner: ReferenceLearner, weights: list, biases: list, f, u, age, debt) -> None:
    network = learner.network()
    for found, expected in zip((*network.weights, *network.biases), (*weights, *biases), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(network.remembered("mean_activation")[0], f, rtol=1e-6)
    np.testing.assert_allclose(network.remembered("utility")[0], u, rtol=1e-6)
    assert network.remembered("age")[0].tolist() == age
    assert debts(learner) == [debt]


@pytest.mark.parametrize("bias_compensation", [False, True])
def test_three_steps_by_hand(bias_compensation):
    learner = by_hand(bias_compensation)
    assert uniform(sqrt(2), 2, Purpose.REPLACEMENT, (0, 1, 1), 3).tolist() == DRAWS

    # Step 0, x = (1, 1, 0): z = h = (1, 1), y = (3/2, 1/2), e = (1/2, −1/2), loss (1/4 + 1/4) / 2.
    # W2 −= 1/2 · e hᵀ = 1/4 · ((1, 1), (−1, −1)); b2 −= (1/4, −1/4).
    # δ = W2ᵀ e with the old W2 = (1/2, 1/4 − 1/4): unit 1's weights lose 1/4 · x, its bias 1/4; unit 2 none.
    # f = h / 2. mean|w_out| = (3/4 + 1/4) / 2 for both units, u = 1/2 · 1 · 1/2.
    # Age 1 is not above the threshold: no debt.
    assert take(learner, 0) == (0.25, [0])
    assert_network(
        learner,
        weights=[[[3 / 4, -1 / 4, 1 / 2], [1 / 2, 1 / 2, 0]], [[3 / 4, 1 / 4], [1 / 4, 3 / 4]]],
        biases=[[-1 / 4, 0], [-1 / 4, 1 / 4]],
        f=[1 / 2, 1 / 2], u=[1 / 4, 1 / 4], age=[1, 1], debt=0.0,
    )  # fmt: skip

    # Step 1, x = (1, 0, 1): h = z = (3/4 + 1/2 − 1/4, 1/2) = (1, 1/2).
    # y = (3/4 + 1/8 − 1/4, 1/4 + 3/8 + 1/4) = (5/8, 7/8), e = (1/2, −1/2), loss 1/4.
    # W2 −= 1/2 · ((1/2, 1/4), (−1/2, −1/4)) → ((1/2, 1/8), (1/2, 7/8)); b2 → (−1/2, 1/2).
    # δ = (3/8 − 1/8, 1/8 − 3/8) = (1/4, −1/4): unit 1's weights lose 1/8 · x, its bias 1/8; unit 2's gain it.
    # f = (1/4 + 1/2, 1/4 + 1/4) = (3/4, 1/2); y = (1 · 1/2, 1/2 · 1/2), u = (1/8 + 1/4, 1/8 + 1/8).
    # û = u / (1 − 1/4) = (1/2, 1/3). Two units of age 2 are eligible: debt 1/2 · 2 = 1, unit 2 is replaced.
    # Compensated, b2 gains f̂ · w_out = 1/2 / (3/4) · (1/8, 7/8) = (1/12, 7/12).
    assert take(learner, 1) == (0.25, [1])
    assert_network(
        learner,
        weights=[[[5 / 8, -1 / 4, 3 / 8], DRAWS], [[1 / 2, 0], [1 / 2, 0]]],
        biases=[[-3 / 8, 0], [-5 / 12, 13 / 12] if bias_compensation else [-1 / 2, 1 / 2]],
        f=[3 / 4, 0], u=[3 / 8, 0], age=[2, 0], debt=0.0,
    )  # fmt: skip

    # Step 2, x = (0, 0, 2): h = (3/4 − 3/8, 2 d), d the third draw. Unit 2 leads nowhere yet.
    # y = (3/16, 3/16) + b2; e = (1/2, 1/4), or compensated (28/48, 40/48) = (7/12, 5/6).
    # δ = (e₁ / 2 + e₂ / 2, 0): unit 1's third weight loses 1/2 · δ₁ · 2, its bias 1/2 · δ₁.
    # W2 −= 1/2 · e hᵀ: unit 1's lose 3/16 · e, unit 2's are −d · e.
    # f = (3/8 + 3/16, d). Only unit 1, of age 3, is eligible: debt 1/2, no unit is replaced.
    d = DRAWS[2]
    loss, replaced = take(learner, 2)
    assert replaced == [0]
    if bias_compensation:
        # u = (3/16 + 1/2 · 3/8 · (25/64 + 22/64) / 2, 1/2 · 2 d · d · (7/12 + 10/12) / 2)
        assert loss == pytest.approx((49 / 144 + 100 / 144) / 2, rel=1e-6)
        assert_network(
            learner,
            weights=[
                [[5 / 8, -1 / 4, -1 / 3], DRAWS],
                [[25 / 64, -7 / 12 * d], [22 / 64, -5 / 6 * d]],
            ],
            biases=[[-35 / 48, 0], [-17 / 24, 2 / 3]],
            f=[9 / 16, d], u=[525 / 2048, 17 / 24 * d * d], age=[3, 1], debt=0.5,
        )  # fmt: skip
    else:
        # u = (3/16 + 1/2 · 3/8 · (13/32 + 29/64) / 2, 1/2 · 2 d · d · (1/2 + 1/4) / 2)
        assert loss == pytest.approx((1 / 4 + 1 / 16) / 2, rel=1e-6)
        assert_network(
            learner,
            weights=[[[5 / 8, -1 / 4, 0], DRAWS], [[13 / 32, -d / 2], [29 / 64, -d / 4]]],
            biases=[[-9 / 16, 0], [-3 / 4, 3 / 8]],
            f=[9 / 16, d], u=[549 / 2048, 3 / 8 * d * d], age=[3, 1], debt=0.5,
        )  # fmt: skip


# --- Against the oracle --------------------------------------------------------------------------------


def side_by_side(run: Run, steps: int, tolerance: float = 1e-5) -> list[int]:
    """Steps a learner and the oracle together; the number of units replaced in each layer."""
    start = initial_network(run)
    learner, oracle = ReferenceLearner(run, start), Oracle(run, start)
    task = random_task(run, steps * run.dataset.batch_size)
    total = np.zeros(len(run.model.hidden_units), np.int64)
    for step in range(steps):
        example, target = shown(run, task, step)
        loss, score, replaced = learner.step(*as_tensors(example, target), step)
        expected = oracle.step(example, target, step)
        assert loss == pytest.approx(expected.loss, rel=tolerance, abs=tolerance)
        assert score == pytest.approx(expected.score, rel=tolerance, abs=tolerance)
        network = learner.network()
        # A replaced unit is the one whose age is 0: every other one is at least 1 step old.
        assert [np.flatnonzero(age == 0).tolist() for age in network.remembered("age")] == [
            sorted(units) for units in expected.chosen
        ]
        assert replaced == [len(units) for units in expected.chosen]
        assert_agrees(network, oracle, tolerance)
        total += replaced
    return total.tolist()


@pytest.mark.parametrize("bias_compensation", [False, True])
@pytest.mark.parametrize("utility", names(Utility))
@pytest.mark.parametrize(
    ("depth", "maturity", "rate", "number"), [(1, 0, 0.25, 1), (1, 1, 0.5, 1), (2, 0, 0.4, 2), (2, 1, 0.5, 1)]
)
def test_three_steps_equal_the_oracle(depth, maturity, rate, number, utility, bias_compensation):
    run = small_run(
        depth=depth, activation="tanh", rate=rate, maturity_threshold=maturity, decay_rate=0.9,
        utility=utility, bias_compensation=bias_compensation,
    )  # fmt: skip
    # Debts, unit by unit replaced: 1/2, 2/2, 1/2; 0, 2/2, 1/2; 4/5, 8/5, 7/5; 0, 2/2, 1/2.
    assert side_by_side(run, 3) == [number] * depth


@pytest.mark.parametrize("bias_compensation", [False, True])
@pytest.mark.parametrize("utility", names(Utility))
@pytest.mark.parametrize(("activation", "layers"), [("selu", (1, 2, 3)), ("relu", (2,))])
def test_forty_steps_equal_the_oracle(activation, layers, utility, bias_compensation):
    run = small_run(
        inputs=5, width=6, depth=3, outputs=4, activation=activation, step_size=0.02, layers=layers,
        weight_decay=0.01, rate=0.06, maturity_threshold=4, utility=utility,
        bias_compensation=bias_compensation,
    )  # fmt: skip
    replaced = side_by_side(run, 40, tolerance=1e-4)
    # 6 units · 0.06 · 36 steps, less those that are not mature again: at most 12.
    assert all(
        4 <= number <= 12 if layer in layers else number == 0 for layer, number in enumerate(replaced, 1)
    )


@pytest.mark.parametrize("accrual", ["debt", "chance"])
@pytest.mark.parametrize("observed", ["hidden", "misaligned"])
@pytest.mark.parametrize("depth", [1, 5])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_forty_steps_of_the_published_bit_flipping_code_equal_the_oracle(
    activation, depth, observed, accrual
):
    run = small_run(
        inputs=5, width=6, depth=depth, outputs=1, activation=activation, loss="squared_error", rate=0.1,
        maturity_threshold=4, utility="adaptable_contribution", observed=observed, accrual=accrual,
        bias_compensation=True, decay_rate=0.9, step_size=0.02, seed=2,
    )  # fmt: skip
    assert all(number >= 8 for number in side_by_side(run, 40, tolerance=1e-4))


def test_whole_units_are_replaced_without_chance_and_the_rest_is_forgotten():
    # 7 units · 0.4 = 2.8: two in each of ten steps. A debt would have come to 28.
    run = small_run(
        width=7, activation="tanh", rate=0.4, maturity_threshold=0, accrual="chance", decay_rate=0.9
    )
    assert side_by_side(run, 10) == [20]


def test_a_share_of_a_unit_is_the_probability_of_one():
    # 5 mature units · 0.02, less those that are not mature for 10 steps.
    run = small_run(width=5, depth=3, rate=0.02, maturity_threshold=10, accrual="chance", step_size=1e-3)
    learner, replaced = ReferenceLearner(run, initial_network(run)), np.zeros(3, np.int64)
    for step in range(1_000):
        replaced += [len(units) for units in follow(learner, [[1.0] * 5] * 3, step)]
    assert (abs(replaced - 1_000 * 0.1 / (1 + 10 * 0.02)) < 5 * sqrt(83)).all()
    assert len(set(replaced.tolist())) > 1  # a draw for each layer
    assert debts(learner) == [0, 0, 0]


@pytest.mark.parametrize("utility", names(Utility))
@pytest.mark.parametrize(
    ("activation", "loss", "bias_compensation"),
    [("tanh", "cross_entropy", True), ("relu", "squared_error", False)],
)
def test_forty_batches_equal_the_oracle(activation, loss, utility, bias_compensation):
    run = small_run(
        inputs=5, width=6, depth=2, outputs=4, activation=activation, loss=loss, batch_size=4,
        weight_decay=0.01, rate=0.06, maturity_threshold=4, utility=utility, decay_rate=0.9,
        bias_compensation=bias_compensation,
    )  # fmt: skip
    replaced = side_by_side(run, 40, tolerance=1e-4)
    # As many as with single examples: ages and debts count steps.
    assert all(4 <= number <= 12 for number in replaced)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_layers_of_different_widths_equal_the_oracle(batch_size):
    run = small_run(
        inputs=5, widths=(7, 4), outputs=3, activation="tanh", rate=0.06, maturity_threshold=4,
        utility="adaptable_contribution", bias_compensation=True, batch_size=batch_size,
    )  # fmt: skip
    # 36 steps of 0.06 · 7 and 0.06 · 4 units are 15.12 and 8.64, less those that are not mature again.
    first, second = side_by_side(run, 40, tolerance=1e-4)
    assert 7 <= first <= 15 and 4 <= second <= 8


# --- One rule at a time --------------------------------------------------------------------------------


def made(run: Run, **arrays) -> tuple[ReferenceLearner, Network]:
    """A learner whose start has the given arrays in place of its own, each a list by layer."""
    network = initial_network(run)
    named = network.arrays()
    for kind, layers in arrays.items():
        for layer, value in enumerate(layers):
            named[f"{kind}.{layer}"][...] = value
    return ReferenceLearner(run, network), network


def follow(learner: ReferenceLearner, activations: list, step: int = 0) -> list[list[int]]:
    """One step of replacement without a step of descent; the units replaced in each layer."""
    given = [torch.tensor(h, dtype=torch.float32) for h in activations]
    done = learner._done(step, [Passed(h, h, h) for h in given])
    with torch.no_grad():
        replaced = learner._replace(done, learner.run.replacement.after_step(learner.memory, done))
    chosen = [np.flatnonzero(age == 0).tolist() for age in learner.network().remembered("age")]
    assert replaced == [len(units) for units in chosen]
    return chosen


def one_layer(width: int, rate: float, maturity: int = 0, **replacement) -> Run:
    """With decay rate 0, û is the utility of the step itself; with w_out 1 it is |h|."""
    replacement = {"decay_rate": 0.0, **replacement}
    return small_run(width=width, outputs=1, rate=rate, maturity_threshold=maturity, **replacement)


@pytest.mark.parametrize(
    ("activations", "number", "chosen"),
    [
        ([1.0] * 6, 2, [0, 1]),
        ([2.0, 1.0, 3.0, -1.0, 1.0, 2.0], 2, [1, 3]),
        ([2.0, 1.0, 3.0, -1.0, 1.0, 0.5], 3, [1, 3, 5]),
        ([5.0, 5.0, 5.0, 5.0, 5.0, 4.0], 2, [0, 5]),
        ([0.0] * 100, 7, [0, 1, 2, 3, 4, 5, 6]),  # wide enough for a sort that is not stable to show
    ],
)
def test_among_equals_the_first_are_replaced(activations, number, chosen):
    width = len(activations)
    learner, _ = made(one_layer(width, rate=number / width), weights=[1, 1])
    assert follow(learner, [activations]) == [chosen]


def test_among_equals_the_first_that_is_mature_is_replaced():
    learner, _ = made(one_layer(4, rate=0.5, maturity=5), weights=[1, 1], age=[[4, 5, 9, 4]])
    assert follow(learner, [[0.0] * 4]) == [[1]]  # units 1 and 2 are eligible: 0.5 · 2


def test_units_are_ranked_by_utility_corrected_for_its_start():
    run = one_layer(2, rate=0.5, decay_rate=0.5)
    # Unit 0 is old: u = 1/2 · 0.6 + 1/2 · 0.6 = û = 0.6. Unit 1 is new: u = 1/2 · 0.8 = 0.4, û = 0.8.
    learner, _ = made(run, weights=[1, 1], age=[[60, 0]], utility=[[0.6, 0]])
    assert follow(learner, [[0.6, 0.8]]) == [[0]]
    assert learner.network().remembered("utility")[0][1] == pytest.approx(0.4, rel=1e-6)


def test_random_utility_ranks_by_the_draws_of_its_layer_and_step():
    run = small_run(width=5, depth=2, rate=0.4, maturity_threshold=0, utility="random", seed=3)
    for step in (0, 1, 10_999_999):
        learner, _ = made(run)
        chosen = follow(learner, [[1.0] * 5] * 2, step)
        draws = [unit_interval(3, Purpose.RANDOM_UTILITY, (layer, step), 5) for layer in (0, 1)]
        assert chosen == [sorted(np.argsort(drawn)[:2].tolist()) for drawn in draws]


def test_what_is_remembered_of_a_batch_is_the_mean_over_its_examples():
    # y is the mean of |h|, not |mean h|: 3, 1 and 1/2, and f the mean of h. With |h − f̂| it is 3, 0 and 1/2.
    batch = [[3.0, -1.0, 1.0], [-3.0, -1.0, 0.0]]
    for utility, expected in (("contribution", [3, 1, 1 / 2]), ("zero_contribution", [3, 0, 1 / 2])):
        learner, _ = made(one_layer(3, rate=0.0, utility=utility), weights=[1, 1])
        assert follow(learner, [batch]) == [[]]
        network = learner.network()
        assert network.remembered("utility")[0].tolist() == expected
        assert network.remembered("mean_activation")[0].tolist() == [0, -1, 1 / 2]
        assert network.remembered("age")[0].tolist() == [1, 1, 1]


def replacements(learner: ReferenceLearner, width: int, steps: int) -> list[int]:
    """Number of units replaced in each step."""
    return [len(follow(learner, [[1.0] * width], step)[0]) for step in range(steps)]


def test_debt_adds_up_until_a_unit_is_due():
    learner, _ = made(one_layer(4, rate=1 / 16))
    # 4 · 1/16 a step; a unit that was replaced is of age 1, above 0, in the next step.
    assert replacements(learner, 4, 9) == [0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert debts(learner) == [0.25]


def test_debt_keeps_what_is_left_of_it():
    learner, _ = made(one_layer(3, rate=1 / 4))
    # 3/4, 6/4 → 1 and 2/4, 5/4 → 1 and 1/4, 4/4 → 1 and 0.
    assert replacements(learner, 3, 4) == [0, 1, 1, 1]
    assert debts(learner) == [0.0]


def test_debt_grows_with_the_number_of_eligible_units():
    learner, _ = made(one_layer(4, rate=1 / 8, maturity=3), weights=[1, 1], age=[[0, 1, 2, 3]])
    seen = []
    for step in range(4):
        assert follow(learner, [[1.0] * 4], step) == [[0] if step == 3 else []]
        seen.append(debts(learner)[0])
    # 1, 2, 3 and 4 eligible units: 1/8, 3/8, 6/8, 10/8.
    assert seen == [1 / 8, 3 / 8, 6 / 8, 2 / 8]
    # The replaced one has to mature again: 3 eligible.
    follow(learner, [[1.0] * 4], 4)
    assert debts(learner) == [5 / 8]


def test_several_units_are_replaced_at_once():
    learner, _ = made(one_layer(6, rate=0.75), weights=[1, 1])
    # 4.5 units are due: the four least useful ones, and half a unit is kept.
    assert follow(learner, [[6.0, -1.0, 3.0, 2.0, 4.0, 5.0]]) == [[1, 2, 3, 4]]
    assert debts(learner) == [0.5]


def test_all_units_can_be_replaced_at_once():
    learner, _ = made(one_layer(3, rate=1.0))
    assert follow(learner, [[1.0, 2.0, 3.0]]) == [[0, 1, 2]]


def test_nothing_accrues_where_no_unit_is_eligible():
    learner, _ = made(one_layer(4, rate=1.0, maturity=10))
    assert replacements(learner, 4, 10) == [0] * 10
    assert debts(learner) == [0.0]
    assert replacements(learner, 4, 1) == [4]


def test_debt_continues_from_the_network():
    run = one_layer(4, rate=1 / 16)
    network = initial_network(run)
    network.memory["debt.0"][...] = 0.75
    learner = ReferenceLearner(run, network)
    assert replacements(learner, 4, 1) == [1]


def test_debt_is_kept_in_double_precision():
    # 1e-4 · 100 units is 0.01 a step. A hundred of them are 1.0000000000000007, of which the floor is 1: the
    # 100th step replaces. In single precision they would be 0.99999934.
    learner, _ = made(one_layer(100, rate=1e-4))
    assert replacements(learner, 100, 100) == [0] * 99 + [1]
    assert debts(learner) == [1.0000000000000007 - 1]
    # 1e-3 · 100 units is 0.1 a step. Ten of them are 0.9999999999999999, of which the floor is 0: the 11th
    # step replaces. In single precision they would be 1.0000001.
    learner, _ = made(one_layer(100, rate=1e-3))
    assert replacements(learner, 100, 11) == [0] * 10 + [1]


@pytest.mark.parametrize("threshold", [0, 1, 3])
def test_unit_is_eligible_once_its_age_is_above_the_threshold(threshold):
    learner, _ = made(one_layer(2, rate=1.0, maturity=threshold))
    # Ages 1, 2, … : the first above the threshold is threshold + 1; then all begin again.
    assert replacements(learner, 2, 2 * (threshold + 1)) == ([0] * threshold + [2]) * 2


def test_default_unit_is_replaced_in_its_101st_step_at_the_earliest():
    learner, _ = made(small_run(rate=1.0))
    assert replacements(learner, 2, 101) == [0] * 100 + [2]


# --- Two layers in one step ----------------------------------------------------------------------------


@pytest.mark.parametrize("bias_compensation", [False, True])
def test_adjacent_layers_choose_first_and_are_replaced_in_order(bias_compensation):
    run = small_run(
        inputs=2, depth=2, outputs=1, rate=0.5, maturity_threshold=0, decay_rate=0.0,
        utility="adaptation", bias_compensation=bias_compensation,
    )  # fmt: skip
    learner, _ = made(
        run,
        weights=[[[1, 1], [3, 1]], [[1, 5], [4, 1]], [[2, 3]]],
        biases=[[0.125, 0.25], [0.25, 0.375], [0.5]],
    )
    # The largest mean|w_in| is the least adaptable: unit 1 of layer 1 (2 against 1) and unit 0 of layer 2 (3
    # against 5/2). Had layer 1 been replaced before layer 2 chose, layer 2's would be 1/2 against 2: unit 1.
    assert follow(learner, [[0.5, 2.0], [1.0, 0.25]], step=9) == [[1], [0]]
    network = learner.network()
    first, second = (
        uniform(sqrt(2) * sqrt(3 / 2), 0, Purpose.REPLACEMENT, position, 2)
        for position in ((0, 1, 9), (1, 0, 9))
    )
    assert network.weights[0].tolist() == [[1, 1], first.tolist()]
    # Layer 1's unit loses its outgoing weights, then layer 2's unit gets new ones, also from that unit.
    assert network.weights[1].tolist() == [second.tolist(), [4, 0]]
    assert second[1] != 0
    assert network.weights[2].tolist() == [[0, 3]]
    # Layer 1's unit is worth 2 · (5, 1) to layer 2's biases, of which that of the replaced unit is cleared;
    # layer 2's is worth 1 · 2 to the output's.
    assert network.biases[0].tolist() == [0.125, 0]
    assert network.biases[1].tolist() == [0, 0.375 + (2 * 1 if bias_compensation else 0)]
    assert network.biases[2].tolist() == [0.5 + (1 * 2 if bias_compensation else 0)]


def test_utilities_of_a_step_do_not_see_its_replacements():
    run = small_run(
        inputs=2, depth=2, outputs=1, rate=0.5, maturity_threshold=0, decay_rate=0.0, utility="adaptation"
    )
    learner, _ = made(run, weights=[[[1, 1], [3, 1]], [[1, 5], [4, 1]], [[2, 3]]])
    follow(learner, [[0.5, 2.0], [1.0, 0.25]])
    # Layer 2's other unit had incoming weights 4 and 1 when it was measured, 4 and 0 afterwards.
    assert learner.network().remembered("utility")[1].tolist() == [0, pytest.approx(2 / 5, rel=1e-6)]


def test_two_units_of_a_layer_compensate_together():
    learner, _ = made(
        one_layer(3, rate=0.67, bias_compensation=True), weights=[1, [[2.0, 3.0, 5.0]]], biases=[0, 1]
    )
    assert follow(learner, [[2.0, -1.0, 4.0]]) == [[0, 1]]  # |h| · |w_out| = 4, 3, 20
    assert learner.network().biases[1].tolist() == [1 + 2 * 2 - 1 * 3]


def test_compensation_keeps_what_the_next_layer_gets_from_a_constant_unit():
    # Layer 2's units get W2 h + b2 of layer 1. The unit that is replaced was always 0.75, for 3 steps only:
    # f̂ is 0.75 although f is far from it yet.
    run = small_run(
        width=4, depth=2, rate=0.25, maturity_threshold=2, layers=(1,), utility="contribution",
        bias_compensation=True,
    )  # fmt: skip
    learner, network = made(run, biases=[0, [1, 2, 3, 4], 0])
    before, h = learner.network(), np.array([9.0, 0.75, -9.0, 9.0])
    assert [follow(learner, [h, [1.0] * 4], step)[0] for step in range(3)] == [[], [], [1]]
    after = learner.network()
    sum_before = before.weights[1] @ h + before.biases[1]
    assert not after.weights[1][:, 1].any()
    np.testing.assert_allclose(after.weights[1] @ h + after.biases[1], sum_before, rtol=1e-5)
    # Without it, the sums would have changed.
    assert np.abs(0.75 * before.weights[1][:, 1]).min() > 1e-3


# --- The state of a new unit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "bound"),
    [("selu", sqrt(3 / 400)), ("relu", sqrt(2) * sqrt(3 / 400)), ("tanh", 5 / 3 * sqrt(3 / 400)),
     ("sigmoid", sqrt(3 / 400))],
)  # fmt: skip
def test_new_weights_are_uniform_within_the_bound(activation, bound):
    run = small_run(inputs=400, width=50, activation=activation, rate=1.0, maturity_threshold=0)
    learner, start = made(run)
    follow(learner, [[1.0] * 50])
    new = learner.network().weights[0].astype(np.float64)
    assert np.abs(new).max() <= np.float32(bound)
    counts = np.histogram(new, bins=20, range=(-bound * 1.0001, bound * 1.0001))[0]
    # 20,000 draws, 1,000 to a bin, ± 5 standard deviations √950.
    assert np.abs(counts - 1_000).max() < 5 * sqrt(950)
    assert len(np.unique(new)) > 19_900
    # SELU's weights start within 3/4 of the bound that they are replaced with.
    gain = {"selu": 3 / 4}.get(activation, 1.0)
    assert 0.999 * gain * bound < np.abs(start.weights[0]).max() <= np.float32(gain * bound)


def test_hidden_layers_draw_from_the_bound_of_their_own_fan_in():
    run = small_run(inputs=300, width=50, depth=2, rate=1.0, maturity_threshold=0)
    learner, _ = made(run)
    follow(learner, [[1.0] * 50] * 2)
    for weight, fan_in in zip(learner.network().weights, (300, 50), strict=False):
        bound = sqrt(2) * sqrt(3 / fan_in)
        assert 0.99 * bound < np.abs(weight).max() <= np.float32(bound)


def test_new_unit_is_drawn_at_its_layer_unit_and_step():
    run = small_run(inputs=7, width=3, depth=2, rate=1.0, maturity_threshold=0, seed=5)
    learner, _ = made(run)
    follow(learner, [[1.0] * 3] * 2, step=123)
    for layer, fan_in in ((0, 7), (1, 3)):
        bound = sqrt(2) * sqrt(3 / fan_in)
        for unit in range(3):
            draws = uniform(bound, 5, Purpose.REPLACEMENT, (layer, unit, 123), fan_in)
            assert np.array_equal(learner.network().weights[layer][unit], draws)


def test_everything_else_of_a_new_unit_is_0_and_the_others_stay():
    learner, start = made(
        small_run(width=3, outputs=4, rate=0.34, maturity_threshold=0),
        biases=[[1, 2, 3], 7], utility=[[0.5, 0.1, 0.5]], mean_activation=[[0.4, 0.5, 0.6]],
        age=[[200, 300, 400]],
    )  # fmt: skip
    assert follow(learner, [[1.0, 0.0, 1.0]]) == [[1]]
    network = learner.network()
    remembered = [network.remembered(name)[0] for name in ("utility", "mean_activation", "age")]
    for zero in (network.biases[0], *remembered):
        assert (zero == 0).tolist() == [False, True, False]
    assert not network.weights[1][:, 1].any()
    assert not np.array_equal(network.weights[0][1], start.weights[0][1])
    for kept in (0, 2):
        assert np.array_equal(network.weights[0][kept], start.weights[0][kept])
        assert np.array_equal(network.weights[1][:, kept], start.weights[1][:, kept])
    assert network.biases[0].tolist() == [1, 0, 3]
    assert network.biases[1].tolist() == [7] * 4


@pytest.mark.parametrize("layers", [(), (1,), (2,), (3,), (1, 3)])
def test_layer_outside_the_set_keeps_its_utility_and_is_never_replaced(layers):
    run = small_run(
        width=4, depth=3, activation="tanh", rate=0.1, maturity_threshold=2, layers=layers, decay_rate=0.9
    )
    replaced = side_by_side(run, 20)
    assert [number > 0 for number in replaced] == [layer in layers for layer in (1, 2, 3)]
    learner, _ = made(run)
    for step in range(20):
        follow(learner, [[1.0] * 4] * 3, step)
    network = learner.network()
    for layer in {1, 2, 3} - set(layers):
        assert (network.remembered("utility")[layer - 1] > 0).all()
        assert network.remembered("age")[layer - 1].tolist() == [20] * 4
        assert debts(learner)[layer - 1] == 0


def test_learner_does_not_write_into_the_network_it_started_from():
    run = small_run(rate=1.0, maturity_threshold=0)
    learner, start = made(run)
    untouched = initial_network(run)
    follow(learner, [[1.0, 2.0]])
    for name, array in start.arrays().items():
        assert np.array_equal(array, untouched.arrays()[name]), name
