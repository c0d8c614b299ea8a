"""Random streams: one per purpose, addressed by position, so that a draw never depends on earlier calls.

Each stream is Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") keyed by the
run's seed and the purpose, with the position in its counter. NumPy guarantees the raw words of its bit
generators across versions, but not what its distributions make of them: the few distributions that training
needs are therefore implemented here, on top of the words.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of every result: never change one."""

    INITIAL_WEIGHTS = 1
    PERMUTATION = 2
    EXAMPLE_ORDER = 3
    REPLACEMENT = 4
    RANDOM_UTILITY = 5
    PROBE = 6
    FLIPPING_BITS = 7
    RANDOM_BITS = 8
    TARGET_NETWORK = 9
    CHANCE = 10
    LABELS = 11
    CHOSEN_IMAGES = 12
    CLASS_PAIRS = 13
    RESET = 14
    PERTURBATION = 15
    NOISE = 20


def words(seed: int, purpose: Purpose, position: tuple[int, ...], count: int) -> np.ndarray:
    """The first `count` 64-bit words at a position of a stream.

    Args:
        seed: the run's seed, 0 ≤ seed < 2⁶³.
        purpose: which stream.
        position: up to three coordinates, such as (task,) or (layer, unit, step).
        count: number of words.

    Returns:
        uint64, [count]
    """
    coordinates = (*position, 0, 0, 0)[:3]
    # NumPy counts up before each block of four words: the first one comes from counter[0] = 1.
    return np.random.Philox(counter=[0, *coordinates], key=[seed, purpose]).random_raw(count)


def uniform(bound: float, seed: int, purpose: Purpose, position: tuple[int, ...], count: int) -> np.ndarray:
    """Draws from U(−bound, bound): float32, [count].

    The upper 24 bits of a word, k, give bound · (k / 2²³ − 1), in float32 with a single rounding.
    """
    fraction = (words(seed, purpose, position, count) >> np.uint64(40)).astype(np.float32)
    return np.float32(bound) * (fraction * np.float32(2.0**-23) - np.float32(1.0))


def unit_interval(seed: int, purpose: Purpose, position: tuple[int, ...], count: int) -> np.ndarray:
    """Draws from U[0, 1): float32, [count], each the upper 24 bits of a word divided by 2²⁴."""
    return (words(seed, purpose, position, count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def standard_normal(seed: int, purpose: Purpose, position: tuple[int, ...], count: int) -> np.ndarray:
    """Draws from the standard normal distribution: float32, [count].

    Box and Muller's: the upper half of a word, k, gives the radius √(−2 log((k + ½) / 2³²)), the lower half the
    angle 2π k / 2³², of a point whose two coordinates are draws, so that none is beyond 6.8. It is computed in
    double precision, in which logarithms and cosines may differ in the last digit between processors, and then
    rounded.
    """
    found = words(seed, purpose, position, (count + 1) // 2)
    radius = np.sqrt(-2 * np.log(((found >> np.uint64(32)) + 0.5) * 2.0**-32))
    angle = (found & np.uint64(2**32 - 1)) * (2 * np.pi * 2.0**-32)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].astype(np.float32)


def sample(population: int, count: int, seed: int, purpose: Purpose, position: tuple[int, ...]) -> np.ndarray:
    """The first `count` items of a random order of `population` items: int32, [count], all different.

    They are the items with the smallest words, in the order of their words. With count = population, this is a
    uniformly random permutation.
    """
    keys = words(seed, purpose, position, population)
    # Partition before sorting: an order of 10,000 of 60,000 images costs a third of sorting them all.
    smallest = np.argpartition(keys, count - 1)[:count] if count < population else np.arange(population)
    return smallest[np.argsort(keys[smallest], kind="stable")].astype(np.int32)
