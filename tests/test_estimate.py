"""How long a launch takes, how that is worded, and what its runs are called."""

import time

import pytest

from plasticity.composition.labels import labels
from plasticity.launch import estimate
from plasticity.launch.estimate import duration, seconds_per_step, spoken
from plasticity.launch.plan import Plan, plan
from plasticity.machine.processes import Process
from plasticity.machine.progress import doing
from plasticity.run import Run


def test_the_duration_is_that_of_the_worker_that_is_done_last():
    todo = Plan(asked=[], to_compute=[], steps_left=[100, 60, 50, 40], engines=[], resumed=[], absent=0)
    # Two workers: 100 and 60; then 50 after the 60, then 40 after the 100.
    assert duration(todo, [0.5] * 4, workers=2) == pytest.approx(0.5 * 140)
    assert duration(todo, [0.5] * 4, workers=1) == pytest.approx(0.5 * 250)
    assert duration(todo, [0.5] * 4, workers=9) == pytest.approx(0.5 * 100)


def test_waiting_for_a_core_is_no_part_of_a_step(monkeypatch, tmp_path):
    class Waiting:
        """Computes for 4 ms and waits for 40 in 200 steps."""

        def learner(self, *_):
            return self

        def learn(self, *_):
            began = time.process_time()
            while time.process_time() - began < 0.004:
                pass
            time.sleep(0.04)

    monkeypatch.setattr(estimate, "get", lambda engine: Waiting())
    flips = {"name": "bit_flipping", "examples": 1_000, "record_every": 500, "flip_after": 500}
    todo = plan([Run.of({"dataset": flips})], tmp_path, force=False, engine="auto")
    with Process() as apart:
        (per_step,) = seconds_per_step(todo, None, apart)
    assert 0.004 / 200 <= per_step < 0.03 / 200


def test_what_takes_seconds_is_named_on_a_terminal_alone(monkeypatch, capsys):
    for forced, shown in (("1", True), ("", False)):
        monkeypatch.setenv("FORCE_COLOR", forced)
        with doing("Timing a few steps"):
            pass
        assert ("Timing a few steps" in capsys.readouterr().err) is shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (40.4, "40 s"),
        (89, "89 s"),
        (90, "2 min"),
        (1140, "19 min"),
        (7200, "2 h"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_worded_as_people_would(seconds, said):
    assert spoken(seconds) == said


def test_labels_name_what_varies():
    runs = [
        Run.of({"seed": seed, "replacement": {"layers": layers}})
        for seed in (0, 1)
        for layers in ([1], [1, 3])
    ]
    assert labels(runs) == ["layers 1 seed 0", "layers 1,3 seed 0", "layers 1 seed 1", "layers 1,3 seed 1"]
    assert labels(runs[:1]) == [runs[0].identity]
    assert labels([Run.of({"activation": {"name": name}}) for name in ("relu", "tanh")]) == [
        "activation relu", "activation tanh",
    ]  # fmt: skip


def test_labels_name_the_method_where_that_says_more_in_less():
    plain, decay = {"replacement": {"layers": "none"}}, {"regulariser": {"name": "l2", "strength": 0.01}}
    configs = [plain, {}, plain | decay]
    seeded = [Run.of(config | {"seed": seed}) for config in configs for seed in (0, 1)]
    assert labels(seeded)[::2] == ["method bp seed 0", "method cbp seed 0", "method l2 seed 0"]
    assert labels([Run.of(config) for config in configs[:2]]) == ["layers none", "layers 1,2,3,4,5"]


def test_a_plan_takes_each_run_once_and_the_longest_first(tmp_path):
    short, long = (Run.of({"dataset": {"tasks": tasks}}) for tasks in (1, 2))
    todo = plan([short, None, long, short], tmp_path, force=False, engine="auto")
    assert todo.to_compute == [long, short] and todo.steps_left == [20_000, 10_000]
    assert todo.sentence() == "2 runs (1 absent): 0 finished, 0 resumed, 2 new"
