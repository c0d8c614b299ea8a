import numpy as np
import pytest

from plasticity.streams import Purpose, sample, uniform, unit_interval, words

LARGEST_SEED = 2**63 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """One block of Philox4x64-10, from its definition (Salmon et al. 2011), in whole numbers."""
    word = 2**64
    for _ in range(10):
        high_0, low_0 = divmod(0xD2E7470EE14C6C93 * counter[0], word)
        high_1, low_1 = divmod(0xCA5A826395121157 * counter[2], word)
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0]
        key = [(key[0] + 0x9E3779B97F4A7C15) % word, (key[1] + 0xBB67AE8584CAA73B) % word]
    return counter


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [
        (
            [0, 0, 0, 0],
            [0, 0],
            [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
        ),
        (
            [2**64 - 1] * 4,
            [2**64 - 1] * 2,
            [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
        ),
        (
            [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
            [0x452821E638D01377, 0xBE5466CF34E90C6C],
            [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
        ),
    ],
)
def test_philox_of_this_file_gives_the_known_answers(counter, key, block):
    assert philox(counter, key) == block


@pytest.mark.parametrize("seed", [0, 1, LARGEST_SEED])
@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("position", [(0,), (7,), (4, 99, 10_999_999)])
def test_words_are_philox_at_seed_purpose_and_position(seed, purpose, position):
    coordinates = [*position, 0, 0][:3]
    blocks = [philox([block, *coordinates], [seed, int(purpose)]) for block in (1, 2, 3)]
    assert words(seed, purpose, position, 10).tolist() == [word for block in blocks for word in block][:10]


def test_purposes_keep_their_numbers():
    # They are part of every result.
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "INITIAL_WEIGHTS": 1,
        "PERMUTATION": 2,
        "EXAMPLE_ORDER": 3,
        "REPLACEMENT": 4,
        "RANDOM_UTILITY": 5,
        "PROBE": 6,
        "FLIPPING_BITS": 7,
        "RANDOM_BITS": 8,
        "TARGET_NETWORK": 9,
        "CHANCE": 10,
        "LABELS": 11,
        "CHOSEN_IMAGES": 12,
        "CLASS_PAIRS": 13,
        "RESET": 14,
        "PERTURBATION": 15,
        "NOISE": 20,
    }


def test_draws_depend_on_nothing_but_their_position():
    alone = uniform(1.0, 3, Purpose.REPLACEMENT, (2, 5, 1_000), 50)
    uniform(1.0, 3, Purpose.REPLACEMENT, (2, 5, 999), 17)
    sample(100, 10, 3, Purpose.PERMUTATION, (2,))
    np.random.default_rng(0).random(10)
    assert np.array_equal(uniform(1.0, 3, Purpose.REPLACEMENT, (2, 5, 1_000), 50), alone)
    assert np.array_equal(uniform(1.0, 3, Purpose.REPLACEMENT, (2, 5, 1_000), 20), alone[:20])


def test_every_coordinate_seed_and_purpose_makes_another_stream():
    addresses = [
        (0, Purpose.REPLACEMENT, (0, 0, 0)), (1, Purpose.REPLACEMENT, (0, 0, 0)),
        (0, Purpose.RANDOM_UTILITY, (0, 0, 0)), (0, Purpose.REPLACEMENT, (1, 0, 0)),
        (0, Purpose.REPLACEMENT, (0, 1, 0)), (0, Purpose.REPLACEMENT, (0, 0, 1)),
    ]  # fmt: skip
    drawn = np.concatenate([words(*address, 100) for address in addresses])
    assert len(np.unique(drawn)) == 600


@pytest.mark.parametrize("bound", [0.3, 2**0.5, 5 / 3 * (3 / 784) ** 0.5])
def test_uniform_is_rounded_once(bound):
    drawn = uniform(bound, 11, Purpose.INITIAL_WEIGHTS, (0,), 10_000)
    k = words(11, Purpose.INITIAL_WEIGHTS, (0,), 10_000) >> np.uint64(40)
    # In double precision a 24-bit number times a 24-bit fraction is exact: only the cast rounds.
    exact = float(np.float32(bound)) * (k.astype(np.float64) / 2**23 - 1)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, exact.astype(np.float32))


def test_unit_interval_is_exact():
    drawn = unit_interval(11, Purpose.RANDOM_UTILITY, (0, 5), 10_000)
    k = words(11, Purpose.RANDOM_UTILITY, (0, 5), 10_000) >> np.uint64(40)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn.astype(np.float64), k.astype(np.float64) / 2**24)


def chi_square(values: np.ndarray, cells: int) -> float:
    """Of whole numbers below `cells`, all expected equally often; in standard deviations from its mean."""
    counts = np.bincount(values, minlength=cells)
    assert len(counts) == cells
    statistic = ((counts - len(values) / cells) ** 2).sum() / (len(values) / cells)
    return float((statistic - (cells - 1)) / (2 * (cells - 1)) ** 0.5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_uniform_fills_its_interval_evenly(seed):
    drawn = uniform(2.0, seed, Purpose.INITIAL_WEIGHTS, (0,), 100_000).astype(np.float64)
    assert drawn.min() >= -2 and drawn.max() < 2
    assert abs(chi_square(((drawn + 2) * 25).astype(int), 100)) < 6
    pairs = ((drawn + 2) * 5).astype(int)
    assert abs(chi_square(pairs[0::2] * 20 + pairs[1::2], 400)) < 6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_draws_at_successive_steps_fill_the_unit_interval_evenly(seed):
    drawn = np.concatenate([unit_interval(seed, Purpose.RANDOM_UTILITY, (1, s), 5) for s in range(4_000)])
    assert drawn.min() >= 0 and drawn.max() < 1
    assert abs(chi_square((drawn.astype(np.float64) * 100).astype(int), 100)) < 6


def test_sample_of_all_is_a_permutation():
    order = sample(784, 784, 5, Purpose.PERMUTATION, (3,))
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(784))
    assert order.tolist() != list(range(784))


@pytest.mark.parametrize("count", [1, 2, 100, 999, 1_000])
def test_sample_is_the_start_of_the_order_of_all_words(count):
    keys = words(5, Purpose.EXAMPLE_ORDER, (3,), 1_000).tolist()
    order = sorted(range(1_000), key=lambda item: keys[item])
    assert sample(1_000, count, 5, Purpose.EXAMPLE_ORDER, (3,)).tolist() == order[:count]


def test_every_item_of_a_sample_comes_equally_often_at_every_place():
    drawn = np.stack([sample(10, 4, 1, Purpose.EXAMPLE_ORDER, (task,)) for task in range(20_000)])
    for place in range(4):
        assert abs(chi_square(drawn[:, place], 10)) < 6
    # 90 ordered pairs of different items, as often as one another.
    pairs, counts = np.unique(drawn[:, 0] * 10 + drawn[:, 1], return_counts=True)
    assert len(pairs) == 90
    assert abs(chi_square(np.repeat(np.arange(90), counts), 90)) < 6
