"""The streams whose labels change, and the other sets of images: what they show, and runs of them."""

import json

import numpy as np
import pytest
from conftest import kill_after_checkpoint, uninterrupted

from plasticity.composition.compose import compose
from plasticity.datasets import (
    BitFlipping,
    LabelPermutedMnist,
    PermutedMnist,
    RandomLabelMnist,
    SparseRows,
    image_sets,
)
from plasticity.errors import ConfigError
from plasticity.run import Run


@pytest.fixture(scope="module")
def digits():
    return image_sets.load("mnist")


def permuted(seed=0, **values):
    return LabelPermutedMnist(**values).open(seed, None)


def shuffled(seed=0, **values):
    return RandomLabelMnist(**values).open(seed, None)


def assert_same(task, other):
    for name in ("number", "first_step"):
        assert getattr(task, name) == getattr(other, name)
    for name in ("order", "targets"):
        assert np.array_equal(getattr(task, name), getattr(other, name))
    assert task.permutation is None and other.permutation is None


# --- Label-permuted --------------------------------------------------------------------------------------


def test_first_task_has_the_labels_as_they_are_and_images_are_never_changed(digits):
    tasks = permuted()
    assert np.array_equal(tasks.task(0).targets, digits.labels)
    for number in (0, 3):
        task = tasks.task(number)
        for position in (0, 7, 2_499):
            image = digits.images[task.order[position]].astype(np.float32) / np.float32(255)
            assert np.array_equal(task.example(position), image)


def test_labels_are_permuted_as_classes(digits):
    tasks = permuted(seed=2)
    seen = set()
    for number in range(1, 30):
        names = tasks.names(number)
        assert sorted(names.tolist()) == list(range(10))
        targets = tasks.task(number).targets
        assert targets.dtype == np.int32
        assert all((targets[digits.labels == digit] == names[digit]).all() for digit in range(10))
        seen.add(tuple(names.tolist()))
    assert len(seen) == 29
    places = np.stack([tasks.names(number) for number in range(1, 2_001)])
    assert (abs((places == np.arange(10)).mean(axis=0) - 0.1) < 6 * 0.3 / np.sqrt(2_000)).all()


def test_a_task_shows_2500_different_images_of_all_in_a_new_order():
    tasks = permuted()
    orders = [tasks.task(number).order for number in range(3)]
    for order in orders:
        assert len(order) == len(set(order.tolist())) == 2_500
        assert abs(order.mean() - 30_000) < 6 * 60_000 / np.sqrt(12 * 2_500)
    assert len(np.intersect1d(orders[0], orders[1])) < 200  # some 104 of each
    assert [tasks.task(number).first_step for number in (0, 1, 7)] == [0, 2_500, 17_500]


@pytest.mark.parametrize("stream", [permuted, lambda seed: shuffled(seed, epochs=2, images_per_task=32)])
def test_task_needs_no_task_before_it_and_seed_decides_it(stream):
    in_turn = stream(3)
    for number in [0, 1, 2, 1, 5, 0]:
        assert_same(in_turn.task(number), stream(3).task(number))
    one, other = stream(3).task(4), stream(4).task(4)
    assert not np.array_equal(one.targets, other.targets) and not np.array_equal(one.order, other.order)


# --- Random labels -----------------------------------------------------------------------------------------


def test_every_task_keeps_the_images_and_counts_and_shuffles_the_labels(digits):
    tasks = shuffled(seed=1, epochs=1)
    own = digits.labels[tasks.chosen]
    previous = own
    for number in range(4):
        task = tasks.task(number)
        assert sorted(task.order.tolist()) == sorted(tasks.chosen.tolist())
        labels = task.targets[tasks.chosen]
        assert np.array_equal(np.bincount(labels, minlength=10), np.bincount(own, minlength=10))
        for before in (own, previous):  # they agree only by chance
            assert abs((labels == before).mean() - 0.1) < 6 * np.sqrt(0.09 / 1_200)
        previous = labels
    assert len(set(tasks.chosen.tolist())) == 1_200 and tasks.chosen.max() > 59_000


def test_every_epoch_shows_every_image_once_in_another_order():
    tasks = shuffled(seed=1, images_per_task=160, epochs=6)
    task = tasks.task(2)
    epochs = task.order.reshape(6, 160)
    assert (np.sort(epochs) == np.sort(tasks.chosen)).all()
    agree = [(a == b).sum() for i, a in enumerate(epochs) for b in epochs[:i]]
    assert max(agree) < 10  # one is expected in place
    assert (task.examples, task.first_step) == (960, 2 * 60)


def test_sizes_of_the_protocol():
    run = Run.of({"dataset": {"name": "random_label_mnist"}, "model": {"depth": 2}})
    assert (run.steps, run.dataset.records, run.dataset.steps_per_task) == (50 * 400 * 75, 50, 30_000)
    assert run.layer_sizes == [784, 100, 100, 10]
    run = Run.of({"dataset": {"name": "label_permuted_mnist"}})
    assert (run.steps, run.dataset.records) == (1_000_000, 400)


# --- Pixels, and sets of images ------------------------------------------------------------------------------


def test_signed_pixels_are_twice_the_others_less_one():
    unit, signed = PermutedMnist().open(0, None), PermutedMnist(pixels="signed").open(0, None)
    for position in (0, 5):
        one, other = (tasks.task(1).example(position) for tasks in (unit, signed))
        assert other.dtype == np.float32 and other.min() == -1 and other.max() <= 1
        np.testing.assert_allclose(other, 2 * one.astype(np.float64) - 1, atol=1e-7)
    assert isinstance(unit.rows, SparseRows) and not isinstance(signed.rows, SparseRows)


@pytest.mark.parametrize(
    ("images", "classes", "number"), [("kmnist", 10, 60_000), ("emnist_balanced", 47, 112_800)]
)
def test_a_run_has_as_many_outputs_and_examples_as_its_images(images, classes, number):
    def run(key, count):
        name = "permuted_mnist" if key == "examples_per_task" else "random_label_mnist"
        return Run.of({"dataset": {"name": name, "images": images, key: count, "batch_size": 1}})

    for key in ("examples_per_task", "images_per_task"):
        assert run(key, number).layer_sizes[-1] == classes
    if number == 60_000:
        for key in ("examples_per_task", "images_per_task"):
            with pytest.raises(ConfigError, match=f"dataset.{key}=60001 is refused: .* at most 60000"):
                run(key, 60_001)


def test_the_shape_of_an_example():
    assert PermutedMnist().shape == (1, 28, 28)
    assert BitFlipping(inputs=21, flipping_bits=15).shape == (21,)


def test_the_tuned_file_of_the_other_protocol():
    run = compose("tuned=ipmnist", "replacement=none")
    assert run.layer_sizes == [784, 300, 150, 10]
    assert (run.dataset.tasks, run.dataset.examples_per_task, run.dataset.pixels) == (200, 5_000, "signed")
    assert run.model.initial == "uniform" and run.activation.name == "relu"


# --- Runs ------------------------------------------------------------------------------------------------

TINY = [
    "model.width=6",
    "model.depth=2",
    "replacement.rate=0.01",
    "dataset.tasks=20",
    "checkpoint_seconds=1e-6",
]
RUNS = {
    "labels": ["dataset=label_permuted_mnist", "dataset.examples_per_task=2000"],
    "random": ["dataset=random_label_mnist", "dataset.images_per_task=64", "dataset.epochs=20"],
    "pairs": [
        "dataset=class_pairs",
        "dataset.images=mnist",
        "dataset.images_per_class=50",
        "dataset.epochs=20",
        "dataset.batch_size=10",
    ],
    "signed": ["dataset.pixels=signed", "dataset.examples_per_task=500", "model.initial=uniform"],
}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_resumes_to_the_same_numbers(command, tmp_path, name):
    run = [*TINY, *RUNS[name]]
    folder = kill_after_checkpoint(command, *run, pause=0.05)
    assert command(*run).returncode == 0
    kept = json.loads((folder / "state.json").read_text())
    assert kept["status"] == "finished" and "started over" not in str(kept["notes"])
    assert kept["provenance"]["engine"] == "native"
    assert command.tables() == uninterrupted(tmp_path / "whole", *run)
