"""Pairs of classes: which images a task shows and tests on, and what a test is for an engine."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import plasticity
from plasticity.datasets import ClassPairs, LabelPermutedMnist, PermutedMnist, RandomLabelMnist, images
from plasticity.datasets.image_sets import IMAGE_SETS, LabelledImages
from plasticity.engines import get
from plasticity.errors import ConfigError
from plasticity.machine import folders
from plasticity.networks.network import initial_network
from plasticity.run import Run

CLASSES, PER_CLASS, TESTS_PER_CLASS = 6, 12, 5
SHORT = {"images_per_class": 8, "epochs": 3, "batch_size": 4, "tasks": 15}


def made(number, draw, shape=(1, 28, 28), classes=CLASSES):
    """As many images of each class, in a random order, all of them different."""
    labels = draw.permutation(np.repeat(np.arange(classes, dtype=np.uint8), number))
    pixels = draw.integers(0, 256, (len(labels), *shape)).astype(np.uint8)
    return LabelledImages(pixels.reshape(len(labels), -1), labels)


TRAINING, TESTS = made(PER_CLASS, np.random.default_rng(1)), made(TESTS_PER_CLASS, np.random.default_rng(2))


@pytest.fixture
def few(monkeypatch):
    """A set of 6 classes in the place of KMNIST."""
    small = replace(IMAGE_SETS["kmnist"], classes=CLASSES, fewest=PER_CLASS)
    monkeypatch.setitem(IMAGE_SETS, "kmnist", small)
    load = lambda name, root, test=False: TESTS if test else TRAINING  # noqa: E731
    monkeypatch.setattr(images.image_sets, "load", load)
    images.labelled.cache_clear()
    yield
    images.labelled.cache_clear()
    images.images_and_labels.cache_clear()


def stream(seed=0, **values):
    return ClassPairs(images="kmnist", **SHORT | values).open(seed, None)


def positions(task, source):
    """Where the rows of a task are among the images of a set."""
    rows = task.rows if isinstance(task.rows, np.ndarray) else task.rows.dense(np.arange(len(task.targets)))
    pixels = np.rint(rows * 255).astype(np.uint8)
    assert np.array_equal(pixels.astype(np.float32) / np.float32(255), rows)
    places = {image.tobytes(): place for place, image in enumerate(source.images)}
    return [places.get(row.tobytes()) for row in pixels]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_pair_comes_once_and_either_class_may_be_the_first(few, seed):
    tasks = stream(seed)
    pairs = [tasks.pair(number) for number in range(15)]
    assert sorted(tuple(sorted(pair)) for pair in pairs) == list(combinations(range(CLASSES), 2))
    assert pairs != sorted(pairs) and 0 < sum(first < second for first, second in pairs) < 15
    assert pairs != [stream(seed + 1).pair(number) for number in range(15)]
    assert pairs[:4] == [stream(seed, tasks=4).pair(number) for number in range(4)]


def test_once_all_pairs_have_come_they_come_again_in_another_order(few):
    pairs = CLASSES * (CLASSES - 1) // 2
    once, again = stream(tasks=pairs), stream(tasks=3 * pairs, repeat=True)
    turns = [[tuple(sorted(again.pair(turn * pairs + place))) for place in range(pairs)] for turn in range(3)]
    assert turns[0] == [tuple(sorted(once.pair(place))) for place in range(pairs)]
    assert sorted(turns[0]) == sorted(turns[1]) == sorted(turns[2]) and turns[0] != turns[1] != turns[2]
    values = SHORT | {"name": "class_pairs", "images": "kmnist"}
    runs = [Run.of({"dataset": values | {"tasks": pairs, "repeat": repeat}}) for repeat in (False, True)]
    assert runs[0].identity == runs[1].identity


def test_a_task_shows_as_many_images_of_either_class_once_in_an_epoch(few):
    tasks, seen, orders = stream(), {}, []
    for number in range(15):
        task, pair = tasks.task(number), tasks.pair(number)
        places = positions(task, TRAINING)
        assert None not in places and len(set(places)) == 16  # all from those for training
        for row, place in enumerate(places):
            assert TRAINING.labels[place] == pair[task.targets[row]]
        assert task.targets.dtype == np.int32 and task.targets.sum() == 8
        epochs = task.order.reshape(3, 16)
        assert (np.sort(epochs) == np.arange(16)).all()
        orders += [tuple(epoch) for epoch in epochs]
        for label in (0, 1):  # a class shows the same images in all of its tasks
            of_class = {place for row, place in enumerate(places) if task.targets[row] == label}
            assert seen.setdefault(pair[label], of_class) == of_class
        assert (task.examples, task.first_step, task.permutation) == (48, number * 12, None)
    assert len(set(orders)) == 45


def test_a_test_shows_all_images_for_testing_of_the_two_classes_and_no_other(few):
    tasks = stream()
    for number in (0, 7, 14):
        test, pair = tasks.task(number).test, tasks.pair(number)
        places = positions(test, TESTS)
        assert sorted(places) == np.flatnonzero(np.isin(TESTS.labels, pair)).tolist()
        assert [TESTS.labels[place] for place in places] == [pair[target] for target in test.targets]
        assert sorted(test.order.tolist()) == list(range(2 * TESTS_PER_CLASS)) and test.test is None
        assert positions(test, TRAINING) == [None] * 10
        assert positions(tasks.task(number), TESTS) == [None] * 16


def test_a_task_needs_no_task_before_it(few):
    in_turn = stream(3)
    for number in (0, 1, 5, 1):
        one, other = in_turn.task(number), stream(3).task(number)
        assert np.array_equal(one.order, other.order) and np.array_equal(one.targets, other.targets)
        assert np.array_equal(one.rows, other.rows) and np.array_equal(one.test.rows, other.test.rows)


def test_sizes_of_the_protocol_and_what_is_refused():
    run = Run.of({"dataset": {"name": "class_pairs"}})
    assert run.layer_sizes == [784, 100, 100, 100, 100, 100, 2]
    assert (run.dataset.steps_per_task, run.dataset.records) == (3_000, 1_000)

    def refused(**values):
        with pytest.raises(ConfigError) as error:
            Run.of({"dataset": {"name": "class_pairs", **values}})
        return str(error.value)

    assert Run.of({"dataset": {"name": "class_pairs", "tasks": 1_081}}).dataset.tasks == 1_081
    assert refused(tasks=1_082) == (
        "dataset.tasks=1082 is refused: it must be at most 1081, the number of pairs of classes with "
        "dataset.images=emnist_balanced, unless dataset.repeat=true."
    )
    assert "at most 45, the number of pairs" in refused(images="cifar10")
    assert "dataset.images_per_class=600 is refused: it must be at most 500" in refused(images="cifar100")
    assert "at most 2400 with dataset.images=emnist_balanced" in refused(images_per_class=2_401)
    assert "dataset.batch_size=7 is refused" in refused(batch_size=7)


@pytest.mark.skipif(
    not any((folders.data() / "emnist_balanced").glob("*.gz")), reason="EMNIST is not in this machine's cache"
)
def test_the_real_images_of_two_classes():
    task = ClassPairs(images_per_class=2_400, epochs=1).open(0, None).task(1_000 - 1)
    assert np.bincount(task.targets).tolist() == [2_400, 2_400]
    assert np.bincount(task.test.targets).tolist() == [400, 400] and task.inputs(1).shape == (1, 784)


# --- Other sets ------------------------------------------------------------------------------------------------

COLOURS = made(PER_CLASS, np.random.default_rng(3), (3, 32, 32), 10)


@pytest.mark.parametrize("kind", [PermutedMnist, LabelPermutedMnist, RandomLabelMnist, ClassPairs])
def test_every_stream_takes_colour_images(monkeypatch, kind):
    monkeypatch.setattr(images.image_sets, "load", lambda name, root, test=False: COLOURS)
    images.labelled.cache_clear()
    images.images_and_labels.cache_clear()
    sizes = {
        RandomLabelMnist: {"images_per_task": 120, "epochs": 2, "batch_size": 8},
        ClassPairs: {**SHORT, "images": "cifar10"},
    }.get(kind, {"examples_per_task": 120})
    dataset = kind(**{"images": "cifar10", **sizes})
    assert dataset.shape == (3, 32, 32) and dataset.inputs == 3_072
    task = dataset.open(0, None).task(1)
    shown = np.stack([task.example(position) for position in range(5)])
    assert shown.shape == (5, 3_072) and np.array_equal(task.inputs(5), shown)
    if task.permutation is not None:
        assert sorted(task.permutation.tolist()) == list(range(3_072))
        shown = shown[:, task.permutation]
    places = {image.tobytes() for image in COLOURS.images}
    assert {row.tobytes() for row in np.rint(shown * 255).astype(np.uint8)} <= places
    images.labelled.cache_clear()
    images.images_and_labels.cache_clear()


# --- What engines make of a test ---------------------------------------------------------------------------------


def outputs_by_hand(network, rows):
    h = rows.astype(np.float64)
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = np.maximum(h @ weight.T + bias, 0)
    return h @ network.weights[-1].T + network.biases[-1]


RUNS = {
    "classes": {"dataset": {"name": "class_pairs", "images": "kmnist", **SHORT, "tasks": 2}},
    "values": {"dataset": {"name": "bit_flipping", "flip_after": 160, "record_every": 160, "examples": 320}},
}


def assert_scores(learner, name, test):
    outputs = outputs_by_hand(learner.network(), test.inputs(test.examples))
    targets = test.targets[test.order]
    if name == "classes":
        assert learner.score(test) == (outputs.argmax(axis=1) == targets).mean()
    else:
        assert learner.score(test) == pytest.approx(np.square(outputs - targets).mean(), rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_a_score_is_that_of_the_outputs_and_nothing_is_learnt(few, name):
    run = Run.of({**RUNS[name], "model": {"width": 7, "depth": 2}, "optimiser": {"step_size": 0.01}})
    tasks = run.dataset.open(0, None)
    for engine in ("native", "reference"):
        quiet, judged = (get(engine).learner(run, initial_network(run)) for _ in range(2))
        for number in range(2):
            task = tasks.task(number)
            found, expected = (learner.learn(task, lambda steps: None) for learner in (judged, quiet))
            assert (found.score, found.loss) == (expected.score, expected.loss)
            assert_scores(judged, name, task.test or tasks.task(1 - number))
        for one, other in zip(quiet.network().weights, judged.network().weights, strict=True):
            assert np.array_equal(one, other)


def test_rows_hold_the_accuracy_on_the_test(few):
    run = Run.of({**RUNS["classes"], "model": {"width": 20, "depth": 1}})
    rows = [learnt.row for learnt in plasticity.learn(run, engine="reference")]
    assert [row["task"] for row in rows] == [0, 1]
    learner, tasks = get("reference").learner(run, initial_network(run)), run.dataset.open(0, None)
    for number, row in enumerate(rows):
        learner.learn(tasks.task(number), lambda steps: None)
        assert row["test_accuracy"] == learner.score(tasks.task(number).test)
        assert list(row)[:4] == ["task", "accuracy", "loss", "test_accuracy"]
