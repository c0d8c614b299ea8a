import numpy as np
import pytest

from plasticity.datasets import image_sets
from plasticity.datasets.permuted_mnist import PermutedDigits, PermutedMnist
from plasticity.run import Run


@pytest.fixture(scope="module")
def digits() -> image_sets.LabelledImages:
    return image_sets.load("mnist")


def stream(seed: int = 0, **values) -> PermutedDigits:
    return PermutedMnist(**values).open(seed, None)


def test_example_is_the_image_over_255_permuted_by_hand(digits):
    task = stream().task(5)
    for step in (0, 1, 9_999):
        image = digits.images[task.order[step]]
        by_hand = np.zeros(784, np.float32)
        for pixel in range(784):
            by_hand[task.permutation[pixel]] = np.float32(int(image[pixel])) / np.float32(255)
        example = task.example(step)
        assert example.dtype == np.float32
        assert np.array_equal(example, by_hand)


def test_every_example_of_a_task_is_an_image_with_its_label(digits):
    task = stream().task(2)
    for step in range(0, 10_000, 97):
        row = task.order[step]
        unpermuted = task.example(step)[task.permutation]
        assert np.array_equal(np.rint(unpermuted * 255).astype(np.uint8), digits.images[row])
        assert task.targets[row] == digits.labels[row]


def test_pixels_reach_0_and_1_and_nothing_else_is_done_to_them():
    shown = np.stack([stream().task(0).example(step) for step in range(200)])
    assert shown.min() == 0 and shown.max() == 1
    assert np.isin(shown, np.arange(256, dtype=np.float32) / np.float32(255)).all()


def test_task_uses_10000_different_images_of_all_60000():
    tasks = stream()
    orders = [tasks.task(number).order for number in range(3)]
    for order in orders:
        assert order.shape == (10_000,)
        assert len(np.unique(order)) == 10_000
    # Random thirds of the images, six times each: about 60,000 · (5/6)³ ≈ 34,722 are in none of three tasks.
    seen = np.unique(np.concatenate(orders))
    assert abs(len(seen) - (60_000 - 34_722)) < 500
    assert seen.min() < 60 and seen.max() >= 59_940


def test_order_is_random_not_sorted():
    order = stream().task(0).order.astype(np.int64)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    assert abs(order[:1_000].mean() - 30_000) < 5 * 60_000 / np.sqrt(12 * 1_000)


def test_fewer_examples_are_the_first_of_the_same_order():
    assert np.array_equal(stream(examples_per_task=50).task(1).order, stream().task(1).order[:50])


def test_permutations_are_whole_and_differ_between_tasks():
    tasks = stream()
    permutations = [tasks.task(number).permutation for number in range(4)]
    for permutation in permutations:
        assert sorted(permutation.tolist()) == list(range(784))
    for earlier, later in zip(permutations, permutations[1:], strict=False):
        assert (earlier == later).sum() < 10  # one is expected in place


def test_seed_decides_the_tasks():
    first, again, other = stream(seed=3).task(0), stream(seed=3).task(0), stream(seed=4).task(0)
    assert np.array_equal(first.permutation, again.permutation)
    assert np.array_equal(first.order, again.order)
    assert (first.permutation == other.permutation).sum() < 10
    assert (first.order == other.order).sum() < 10


def test_task_needs_no_task_before_it():
    at_once, tasks = stream(seed=3).task(5), stream(seed=3)
    for number in range(6):
        in_turn = tasks.task(number)
    assert np.array_equal(at_once.permutation, in_turn.permutation)
    assert np.array_equal(at_once.order, in_turn.order)


def test_steps_are_counted_through_the_run():
    tasks = stream(examples_per_task=50)
    assert [tasks.task(number).first_step for number in (0, 1, 7)] == [0, 50, 350]
    assert [tasks.task(number).examples for number in (0, 7)] == [50, 50]
    assert Run.of({}).steps == 11_000_000


def test_a_batch_is_one_step():
    tasks = stream(examples_per_task=50, batch_size=5)
    assert [tasks.task(number).first_step for number in (0, 1, 7)] == [0, 10, 70]
    assert [tasks.task(number).examples for number in (0, 7)] == [50, 50]
    assert np.array_equal(tasks.task(7).order, stream(examples_per_task=50).task(7).order)
    assert Run.of({"dataset": {"batch_size": 100}}).steps == 110_000


def test_streams_of_one_process_share_the_images():
    assert stream(seed=0).rows.value is stream(seed=1).rows.value
