"""python -m plasticity.track, on run folders as training leaves them."""

import signal
import subprocess
import sys

import pytest
from conftest import wait_for
from fabricate import fabricate
from wandb_fixture import Client, client, processes, wandb_server, wandb_service
from warm import Fork

from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.track import stored

__all__ = ["client", "wandb_server", "wandb_service"]

ACCURACIES = [0.5 + task / 100 for task in range(12)]


def run(**values) -> Run:
    return Run.of({"dataset": {"tasks": len(ACCURACIES)}} | values)


def arguments(client: Client, *options: str) -> list[str]:
    return ["--runs", str(client.directory / "runs"), "--entity", "tester", *options]


def start(client: Client) -> subprocess.Popen:
    """Starts the command for the folder `runs`, as a user does."""
    return client.start(sys.executable, "-m", "plasticity.track", *arguments(client))


def fork(client: Client, *options: str, **environment: str) -> Fork:
    """Likewise, in a process that need not import it."""
    return client.fork("plasticity.track", *arguments(client, *options), **environment)


def publish(client: Client, *options: str, code: int = 0) -> str:
    """What the command prints."""
    process = fork(client, *options)
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, out + err
    return out


@pytest.fixture
def folders(client: Client) -> dict[str, RunFolder]:
    """Runs of every kind, by their status."""
    runs = client.directory / "runs"
    layer = {"replacement": {"layers": [1]}}
    (runs / "not_a_run").mkdir(parents=True)
    return {
        status: fabricate(runs, run(seed=seed, **layer), ACCURACIES, status, reason)
        for seed, (status, reason) in enumerate(
            {
                "finished": None,
                "failed": "the loss is no longer finite",
                "stopped": None,
                "running": None,
            }.items()
        )
    }


def test_every_run_that_has_ended_is_published_once_as_what_it_is_and_again_when_resumed(
    client: Client, folders: dict[str, RunFolder]
):
    text = publish(client, "--tags", "trial", "--notes", "a note", "--at-once", "1")
    assert f"4 published, 0 published before, at {client.server.address}/tester/plasticity" in text
    runs = {status: client.server.runs[f"{folder.identity}-1"] for status, folder in folders.items()}
    states = {status: (run.state, run.exit_code) for status, run in runs.items()}
    assert states == {
        "finished": ("finished", 0), "failed": ("failed", 1), "stopped": ("preempted", 1),
        "running": ("preempted", 1),
    }  # fmt: skip
    shown = runs["finished"]
    assert (shown.name, shown.job_type) == ("layer 1, tasks 12, seed 0", "layer 1")
    assert {run.group for run in runs.values()} == {"replacement.layers=1, dataset.tasks=12"}
    assert shown.tags == ["trial", "5x100 relu"] and shown.notes == "a note"
    values = Run.of({"dataset": {"tasks": 12}, "replacement": {"layers": [1]}}).values()
    assert {key: shown.values[key] for key in values} == values
    assert [row["accuracy"] for row in shown.history] == [0.5, 0.6, 0.61]
    assert shown.history[0]["weight_magnitude/layer_1"] == 100.0
    summary = {key: value for key, value in shown.summary.items() if not key.startswith("_")}
    assert summary == {
        "score": pytest.approx(0.605), "last_accuracy": 0.61, "weight_magnitude": 600.0,
        "units_replaced": 12 * 5 * 7, "tasks": 12, "seconds": 60.0, "steps_per_second": 2000.0, "engine": "native",
    }  # fmt: skip
    for name, file in {"tasks.csv": "tasks.csv", "run.yaml": "config.yaml"}.items():
        assert shown.files[name] == (folders["finished"].path / file).read_bytes()
    assert b"node" not in shown.files["state.json"]  # the machine's name
    assert runs["failed"].summary["reason"] == "the loss is no longer finite"
    asked = len(client.server.requests)
    assert publish(client).startswith("0 published, 4 published before, in project tester/plasticity.")
    assert len(client.server.requests) == asked
    resumed = run(seed=2, replacement={"layers": [1]})
    fabricate(client.directory / "runs", resumed, ACCURACIES, updated=2.0)
    assert publish(client, "--verify").startswith("1 published, 3 published before")
    assert len(client.server.runs) == 4
    assert client.server.runs[f"{resumed.identity}-1-2"].state == "finished"


def test_published_twice_at_once_each_run_is_there_once(client: Client, folders: dict[str, RunFolder]):
    for options in (["--offline"], []):
        started = [fork(client, "--at-once", "2", *options) for _ in range(2)]
        printed = [process.communicate(timeout=100)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0], printed
    names = [f"{folder.identity}-1" for folder in folders.values()]
    assert sorted(client.server.runs) == sorted(f"{name}-2" for name in names)
    rows = {tuple(row["task"] for row in run.history) for run in client.server.runs.values()}
    assert rows == {(0, 10, 11)}


def test_it_says_what_is_left_and_the_same_command_publishes_it(
    client: Client, folders: dict[str, RunFolder]
):
    client.server.plant("UpsertBucket", 403)
    said = "0 published, 0 published before.\n4 left (planted 403): the same command publishes them.\n"
    assert publish(client, "--at-once", "1", code=1) == said
    client.server.heal()
    fault = client.server.plant("UpsertBucket", 403, run=f"{folders['failed'].identity}-1")
    text = publish(client, "--at-once", "1", code=1)
    assert fault.met and f"  {folders['failed'].identity}: " in text and "1 left: " in text
    client.server.heal()
    assert " left" not in publish(client) and len(client.server.runs) == 4


@pytest.mark.parametrize(
    ("endpoint", "after", "attempt"),
    [
        ("file_stream", 1, "1-2"),  # rows have arrived, not the run's end
        ("HistoryPage", 0, "1"),  # everything has arrived, but that is not known
    ],
)
def test_after_sigkill_while_publishing_no_row_is_doubled(
    client: Client, endpoint: str, after: int, attempt: str
):
    folder = fabricate(client.directory / "runs", run(), ACCURACIES)
    fault = client.server.plant(endpoint, how="hang", after=after)
    process = start(client)
    wait_for(lambda: fault.met, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until_gone(client)
    client.server.heal()
    assert publish(client).startswith("1 published")
    (identity,) = client.server.runs
    assert identity == f"{folder.identity}-{attempt}"
    assert [row["task"] for row in client.server.runs[identity].history] == [0, 10, 11]


def test_after_sigkill_while_deleting_the_older_run_is_deleted_by_the_next(client: Client):
    runs = client.directory / "runs"
    folder = fabricate(runs, run(), ACCURACIES)
    publish(client)
    fabricate(runs, run(), ACCURACIES[::-1], updated=2.0)
    fault = client.server.plant("DeleteRun", how="hang")
    process = fork(client)
    wait_for(lambda: fault.met, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    client.server.heal()
    assert len(client.server.runs) == 2
    publish(client)
    assert list(client.server.runs) == [f"{folder.identity}-1-2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_every_process_of_it(client: Client, number: int):
    fabricate(client.directory / "runs", run(), ACCURACIES)
    fault = client.server.plant("file_stream", how="hang")
    process = start(client)  # since the processes of a fork are not found by their environment
    wait_for(lambda: fault.met, process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 1 and "1 left (publishing was stopped)" in out
    wait_until_gone(client)


def test_a_directory_without_runs_is_reported_in_a_sentence(client: Client):
    process = fork(client)
    assert process.communicate(timeout=60)[1] == f"There are no runs in {client.directory / 'runs'}.\n"
    assert process.returncode == 1


def test_a_ledger_that_cannot_be_read_and_a_variable_that_forbids_it_are_reported_in_a_sentence(
    client: Client,
):
    fabricate(client.directory / "runs", run(), ACCURACIES)
    (ledger := client.directory / "runs" / ".published.jsonl").mkdir()
    unreadable, forbidden = fork(client), fork(client, WANDB_MODE="offline")
    assert unreadable.communicate(timeout=60)[1] == f"{ledger} cannot be read (Is a directory).\n"
    said = "Nothing is published, since WANDB_MODE=offline is set. To publish: unset WANDB_MODE.\n"
    assert forbidden.communicate(timeout=60)[1] == said
    assert (unreadable.returncode, forbidden.returncode) == (1, 1) and not client.server.requests


TO_A_FULL_DISK = """
import os, runpy

os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
runpy.run_module("plasticity.track", run_name="__main__", alter_sys=True)
"""


def test_without_room_for_its_lines_it_publishes_all_the_same(client: Client):
    fabricate(client.directory / "runs", run(), ACCURACIES)
    (program := client.directory / "full_wandb.py").write_text(TO_A_FULL_DISK)
    process = client.fork(str(program), *arguments(client, "--offline"))
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 0
    assert len(list(client.directory.glob("runs/wandb/offline-run-*"))) == 1


def wait_until_gone(client: Client) -> None:
    """Waits until no process of the test is left, W&B's own included. They are found if a user started them."""
    with subprocess.Popen(["sleep", "20"]) as clock:
        wait_for(lambda: not processes(client.server), clock)
        clock.kill()
    assert not list(client.directory.glob("**/.publishing-*"))


BASE = {"replacement": {"layers": [1]}}


@pytest.mark.parametrize(
    "values",
    [
        {"regulariser": {"name": "l2", "strength": 1e-3}},
        {"regulariser": {"name": "l2", "strength": 1e-4}},
        {"replacement": {"layers": [1], "utility": "weight"}},
        {"replacement": {"layers": [1], "maturity_threshold": 50}},
        {"replacement": {"layers": [1], "decay_rate": 0.9}},
        {"replacement": {"layers": [1], "rate": 1e-3}},
        {"replacement": {"layers": [1, 2]}},
        {"dataset": {"tasks": 1000}},
        {"model": {"width": 20}},
        {"optimiser": {"step_size": 0.1 + 0.2}},
        {"activation": {"name": "tanh"}},
    ],
    ids=str,
)
def test_a_group_is_all_of_a_run_but_its_seed(values: dict):
    others = [Run.of(BASE), Run.of(BASE | {"seed": 1})]
    assert len({stored.group(other) for other in others}) == 1
    assert stored.group(Run.of(BASE | values)) != stored.group(others[0])
    assert stored.group(Run.of(BASE | values)) == stored.group(Run.of(BASE | values | {"seed": 5}))


def test_groups_and_names_are_short_and_groups_unique_when_shortened():
    long = {"model": {"widths": list(range(20, 60))}}
    groups = [stored.group(Run.of(BASE | long | {"optimiser": {"step_size": size}})) for size in (0.1, 0.2)]
    assert len(set(groups)) == 2 and all(len(group) <= 128 for group in groups)
    assert stored.name(Run.of(BASE | {"model": {"width": 20}, "seed": 2})) == "layer 1, width 20, seed 2"


def test_what_a_summary_counts():
    run = Run.of({"dataset": {"tasks": 2}})
    rows = [
        {"task": 0, "accuracy": 0.1, "weight_magnitude": 3.0, "replaced.layer_1": 2, "replaced.layer_2": 3,
         "dead_units.layer_1": 4, "dead_units.layer_2": 5, "effective_rank.layer_1": 10.0,
         "effective_rank.layer_2": 20.0},
        {"task": 1, "accuracy": 0.2, "weight_magnitude": 4.0, "replaced.layer_1": 1, "replaced.layer_2": 0},
    ]  # fmt: skip
    state = stored.RunState(
        status="finished", tasks_done=2, score=0.2, seconds=40.0, provenance={"engine": "x"}
    )
    assert stored.summary(run, state, rows) == {
        "score": 0.2, "last_accuracy": 0.2, "weight_magnitude": 4.0, "units_replaced": 6, "dead_units": 9,
        "effective_rank": 15.0, "tasks": 2, "seconds": 40.0, "steps_per_second": 500.0, "engine": "x",
    }  # fmt: skip
