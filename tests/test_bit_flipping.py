"""The Bit-Flipping problem: its target by hand, the schedule of its bits, and runs of it from start to finish."""

import csv
import json

import numpy as np
import pytest
from conftest import kill_after_checkpoint, uninterrupted

from plasticity.datasets.bit_flipping import BitFlipping, Target
from plasticity.errors import ConfigError
from plasticity.run import Run
from plasticity.training.score import score


def stream(seed=0, **values):
    return BitFlipping(**values).open(seed, None)


def shown(task):
    """All examples of a task: [examples, inputs]; and their targets: [examples]."""
    examples = np.stack([task.example(position) for position in range(task.examples)])
    return examples, task.targets[task.order][:, 0]


# --- The target ----------------------------------------------------------------------------------------


def by_hand(beta):
    target = Target(BitFlipping(inputs=3, flipping_bits=2, target_units=2, beta=beta), seed=0)
    target.weights = np.array([[1.0, 1, -1], [-1, -1, -1]])
    target.biases, target.outgoing, target.bias = np.array([1.0, -1]), np.array([1.0, -1]), np.array([1.0])
    return target


@pytest.mark.parametrize(
    ("example", "beta", "output"),
    [
        # Unit 1: Σw = 1, S = (3 − 1 + 1) / 2 = 3/2; with β = 0.7 on where x₁ + x₂ − x₃ + 1 > 2.8 − 1.5 = 1.3.
        # Unit 2: Σw = −3, S = (3 + 3 − 1) / 2 = 5/2; on where −x₁ − x₂ − x₃ − 1 > 0.3: never.
        ([0, 0, 0], 0.7, 1),
        ([1, 0, 0], 0.7, 2),
        ([1, 0, 1], 0.7, 1),
        ([1, 1, 1], 0.7, 2),
        # With β = 0 on where x₁ + x₂ − x₃ + 1 > −1.5 and −x₁ − x₂ − x₃ − 1 > −2.5: always; for up to one bit.
        ([0, 0, 0], 0.0, 1),
        ([0, 0, 1], 0.0, 1),
        ([0, 1, 1], 0.0, 2),
        # With β = 5/8: x₁ + x₂ − x₃ + 1 > 1 is strict: not for no bit.
        ([0, 0, 0], 0.625, 1),
        ([0, 1, 0], 0.625, 2),
    ],
)
def test_target_by_hand(example, beta, output):
    found = by_hand(beta)(np.array([example], np.float64))
    assert found.dtype == np.float32 and found.tolist() == [[output]]


@pytest.mark.parametrize("values", [{}, {"inputs": 7, "flipping_bits": 4, "target_units": 30, "beta": 0.55}])
def test_every_example_has_the_output_of_the_target_unit_by_unit(values):
    tasks = stream(seed=3, flip_after=50, **values)
    target = tasks.target
    for examples, targets in (shown(tasks.task(number)) for number in (0, 2)):
        for x, y in zip(examples, targets, strict=True):
            output = target.bias[0]
            for weights, bias, outgoing in zip(target.weights, target.biases, target.outgoing, strict=True):
                received = sum(w for w, bit in zip(weights, x, strict=True) if bit) + bias
                threshold = target.beta * (len(x) + 1) - (len(x) - sum(weights) + bias) / 2
                output += outgoing if received > threshold else 0
            assert y == output


def test_target_is_of_ones_drawn_from_the_seed_and_stays():
    one, other = stream(seed=1).target, stream(seed=2).target
    assert one.weights.shape == (500, 20) and one.biases.shape == one.outgoing.shape == (500,)
    for values in (one.weights, one.biases, one.outgoing):
        assert set(np.unique(values)) == {-1, 1}
        assert abs(values.mean()) < 6 / np.sqrt(values.size)
    assert (one.weights == other.weights).mean() == pytest.approx(0.5, abs=0.03)
    # Whatever else differs, a seed has one target.
    again = stream(seed=1, flip="one", flip_after=10_000).target
    assert np.array_equal(one.weights, again.weights) and np.array_equal(one.outgoing, again.outgoing)


# --- The bits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", ["one", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_flipping_bits_are_constant_within_a_task_and_others_are_not(flip, seed):
    tasks = stream(seed, flip=flip, flip_after=100)
    before = None
    for number in range(12):
        examples, _ = shown(tasks.task(number))
        assert examples.shape == (100, 20) and set(np.unique(examples)) == {0, 1}
        bits = examples[:, :15]
        assert (bits == bits[0]).all()
        assert (abs(examples[:, 15:].mean(axis=0) - 0.5) < 0.31).all()  # six standard deviations
        if before is not None and flip == "one":
            assert (bits[0] != before).sum() == 1
        before = bits[0]


def test_all_bits_are_redrawn_evenly():
    tasks = stream(flip="all")
    bits = np.stack([tasks.bits(number) for number in range(2_000)])
    assert (abs(bits.mean(axis=0) - 0.5) < 6 * 0.5 / np.sqrt(2_000)).all()
    changed = (bits[1:] != bits[:-1]).mean(axis=0)
    assert (abs(changed - 0.5) < 6 * 0.5 / np.sqrt(2_000)).all()


def test_one_bit_after_the_other_flips_evenly():
    tasks = stream(flip="one")
    bits = np.stack([tasks.bits(number) for number in range(3_001)])
    flips = (bits[1:] != bits[:-1]).sum(axis=0)
    assert flips.sum() == 3_000
    assert (abs(flips - 200) < 6 * np.sqrt(200)).all()


def test_examples_come_in_random_order():
    order = stream(flip_after=10_000).task(0).order
    pairs = np.bincount(order[0::2] * 32 + order[1::2], minlength=1024)
    assert len(pairs) == 1024 and ((pairs - 5_000 / 1024) ** 2 / (5_000 / 1024)).sum() < 1023 + 6 * 45.3


@pytest.mark.parametrize("flip", ["one", "all"])
def test_task_needs_no_task_before_it(flip):
    in_turn, at_once = stream(3, flip=flip, flip_after=50), stream(3, flip=flip, flip_after=50)
    for number in [*range(8), 2, 7, 3, 3, 0]:
        task, other = in_turn.task(number), stream(3, flip=flip, flip_after=50).task(number)
        for array, same in zip(shown(task), shown(other), strict=True):
            assert np.array_equal(array, same)
        assert (task.number, task.first_step) == (number, 50 * number)
    later = at_once.task(40)  # a late task, but the first one asked for
    assert np.array_equal(shown(later)[0], shown(stream(3, flip=flip, flip_after=50).task(40))[0])
    assert np.array_equal(shown(at_once.task(1))[0], shown(in_turn.task(1))[0])


def test_seed_decides_the_examples():
    first, again, other = (shown(stream(seed, flip_after=200).task(4)) for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert 0.3 < (first[0] == other[0]).mean() < 0.7


@pytest.mark.parametrize("flipping", [1, 6])
def test_numbers_of_bits_at_their_bounds(flipping):
    tasks = stream(inputs=6, flipping_bits=flipping, flip_after=30, target_units=3)
    examples, targets = shown(tasks.task(1))
    assert examples.shape == (30, 6) and targets.shape == (30,)
    assert (examples[:, :flipping] == examples[0, :flipping]).all()


# --- The run -------------------------------------------------------------------------------------------


def test_sizes_of_the_published_comparison():
    run = Run.of({"dataset": {"name": "bit_flipping"}, "model": {"width": 5, "depth": 6}})
    assert run.layer_sizes == [20, 5, 5, 5, 5, 5, 5, 1]
    assert (run.steps, run.dataset.tasks, run.dataset.records) == (3_000_000, 1_200, 75)
    assert run.dataset.objective.name == "squared_error" and not run.dataset.objective.higher_is_better


REFUSED = [
    (
        {"record_every": 3_000},
        "record_every=3000 is refused: it must be a multiple of dataset.flip_after=2500",
    ),
    ({"examples": 50_000}, "examples=50000 is refused: it must be a multiple of dataset.record_every=40000"),
    ({"batch_size": 3}, "flip_after=2500 is refused: it must be a multiple of dataset.batch_size=3"),
    ({"flipping_bits": 21}, "flipping_bits=21 is refused: it must be a number from 1 to 20"),
    ({"inputs": 80}, "flipping_bits=15 is refused: it must be a number from 17 to 80"),
    ({"flip": "two"}, "flip=two is refused: it must be one of one, all"),
    ({"beta": 1.5}, "beta=1.5 is refused"),
    ({"tasks": 20}, "tasks=20 is refused"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_impossible_values_are_refused(values, sentence):
    with pytest.raises(ConfigError) as refusal:
        Run.of({"dataset": {"name": "bit_flipping"} | values})
    assert f"dataset.{sentence}" in str(refusal.value)


TINY = [
    "dataset=bit_flipping", "dataset.flip_after=20", "dataset.record_every=40", "dataset.examples=800",
    "dataset.target_units=20", "model.width=5", "model.depth=3", "replacement.rate=0.01",
]  # fmt: skip


def state(folder):
    return json.loads((folder / "state.json").read_text())


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_a_run_keeps_an_error_for_every_record_and_scores_the_last_of_them(command, engine):
    done = command(*TINY, f"engine={engine}")
    assert done.returncode == 0, done.stderr
    (folder,) = command.folders()
    rows = list(csv.DictReader((folder / "tasks.csv").open()))
    assert [int(row["task"]) for row in rows] == list(range(0, 40, 2))
    errors = [float(row["error"]) for row in rows]
    assert all(float(row["loss"]) == pytest.approx(error) for row, error in zip(rows, errors, strict=True))
    kept = state(folder)
    assert kept["score"] == score(errors) == np.mean(errors[-3:])
    assert (kept["score_name"], kept["higher_is_better"], kept["percent"]) == ("error", False, False)
    assert (kept["tasks"], kept["tasks_done"]) == (40, 40)
    assert "mean online error over the last 3 of 20 records of 2 tasks" in done.stdout
    listed = command("--runs", str(command.runs), module="analysis.runs")
    assert f"finished  40/40  {kept['score']:.5g}" in listed.stdout, listed.stdout
    assert "finished before" in command(*TINY, f"engine={engine}").stdout


def test_a_killed_run_resumes_to_the_same_numbers(command, tmp_path):
    length = ["dataset.examples=40000", "dataset.record_every=2500"]
    run = [*TINY, *length, "dataset.flip=one", "diagnostics=none"]
    folder = kill_after_checkpoint(command, *run, "checkpoint_seconds=1e-6", pause=0.1)
    assert state(folder)["status"] == "running"
    assert command(*run).returncode == 0
    assert state(folder)["attempt"] == 2 and "started over" not in str(state(folder)["notes"])
    assert command.tables() == uninterrupted(tmp_path / "whole", *run)
