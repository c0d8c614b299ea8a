"""Publishing to W&B: everything arrives, nothing twice, whatever goes wrong on the way."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from publications import CONFIG, SUMMARY, publication, rows
from wandb_fixture import ROOT, Client, client, wandb_server
from wandb_server import Run

from plasticity.publish import Entry, Ledger
from plasticity.publish.ledger import standing
from plasticity.publish.publication import column_of, history_key, summary_key

__all__ = ["client", "wandb_server"]

PATIENT = {"mode": "online", "init_seconds": 20, "finish_seconds": 20, "verify_seconds": 3}
IMPATIENT = {"init_seconds": 3, "finish_seconds": 2, "verify_seconds": 0.6}
CLIENTS_OWN = {"_step", "_runtime", "_timestamp", "_wandb"}
"""What W&B's client adds to rows and to the summary by itself."""


def start(
    client: Client, runs: int = 1, workers: int = 1, count: int = 95, **options: Any
) -> subprocess.Popen:
    """Starts a process that publishes runs. Options are fields of the target; `changes` of the runs."""
    changes = {"count": count} | options.pop("changes", {})
    spec = {"directory": str(client.directory), "runs": runs, "workers": workers, "changes": changes,
            "target": PATIENT | options}  # fmt: skip
    return client.start(sys.executable, ROOT / "tests" / "publications.py", json.dumps(spec))


def publish(client: Client, runs: int = 1, **options: Any) -> list[tuple[str, str | None]]:
    """Publishes runs in a process, and returns status and id of each, in the order of the runs."""
    process = start(client, runs, **options)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    outcomes = sorted(json.loads(out), key=lambda outcome: int(outcome["identity"].removeprefix("run")))
    return [(outcome["status"], outcome["id"]) for outcome in outcomes]


def processes(client: Client) -> list[str]:
    """The processes that know the test's server, W&B's own among them."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"WANDB_BASE_URL={client.server.address}".encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
        except OSError:
            continue
    return found


def whole(run: Run, count: int = 95, every: int = 10, state: str = "finished") -> None:
    """Checks that everything of a publication is there, and nothing else."""
    tasks = [*range(0, count - 1, every), count - 1]
    expected = [
        {history_key(column): value for column, value in row.items() if value == value}
        for row in (rows(count)[task] for task in tasks)
    ]
    sent = [{key: value for key, value in row.items() if key not in CLIENTS_OWN} for row in run.history]
    assert sent == expected
    assert run.values == CONFIG
    assert {key: value for key, value in run.summary.items() if key not in CLIENTS_OWN} == {
        "score": 0.8125, "effective_rank_layer_1": 7.5, "engine": "native",
    }  # fmt: skip
    assert len(SUMMARY) == 3 and run.files["tasks.csv"] == b"task,accuracy\n0,0.5\n"
    assert run.metrics == {"task": {"step": None, "summary": False}, "*": {"step": "task", "summary": False}}
    assert (run.group, run.job_type, run.notes) == ("width 20, layer 1", "layer 1", "a note")
    assert run.tags == ["table_1", "width_20"] and run.name == f"layer 1, seed {run.id[3]}"
    assert (run.state, run.exit_code) == (state, 0 if state == "finished" else 1)


@pytest.mark.parametrize("count", [91, 95], ids=lambda count: f"{count} rows")
def test_an_offline_run_arrives_whole_through_sync(client: Client, count: int):
    assert publish(client, mode="offline", count=count) == [("published", "run0-1")]
    assert publish(client, mode="offline", count=count) == [("already", "run0-1")]
    (folder,) = client.directory.glob("published/wandb/offline-run-*")
    assert not client.server.requests
    client.wandb("sync", folder)
    whole(client.server.runs["run0-1"], count)


@pytest.mark.parametrize("state", ["finished", "failed", "preempted"])
def test_an_online_run_arrives_whole_and_is_published_once(client: Client, state: str):
    assert publish(client, changes={"state": state}) == [("published", "run0-1")]
    whole(client.server.runs["run0-1"], state=state)
    wait_until_gone(client)
    asked = len(client.server.requests)
    assert publish(client, changes={"state": state}) == [("already", "run0-1")]
    assert len(client.server.requests) == asked


def test_fifty_runs_are_published_by_one_process(client: Client):
    assert publish(client, runs=50, workers=2) == [("published", f"run{number}-1") for number in range(50)]
    assert len(client.server.runs) == 50
    for run in client.server.runs.values():
        assert [row["task"] for row in run.history] == [*range(0, 94, 10), 94]


def test_runs_published_at_once_wait_as_a_busy_server_asks_for(client: Client):
    fault = client.server.plant("file_stream", 429, retry_after=1, times=4)
    assert [status for status, _ in publish(client, runs=6, workers=3)] == ["published"] * 6
    assert fault.met == 4
    for run in client.server.runs.values():
        whole(run)


def test_a_run_computed_again_replaces_its_older_self(client: Client):
    assert publish(client) == [("published", "run0-1")]
    assert publish(client, count=91, changes={"attempt": 2}) == [("published", "run0-2")]
    assert list(client.server.runs) == ["run0-2"]
    whole(client.server.runs["run0-2"], 91)


def test_an_offline_run_computed_again_replaces_its_folder(client: Client):
    assert publish(client, mode="offline") == [("published", "run0-1")]
    assert publish(client, mode="offline", count=91) == [("published", "run0-1-2")]
    (folder,) = client.directory.glob("published/wandb/offline-run-*")
    assert folder.name.endswith("-run0-1-2")


def test_without_its_ledger_a_run_that_is_there_is_not_published_again(client: Client):
    publish(client)
    (client.directory / "ledger.jsonl").unlink()
    assert publish(client) == [("published", "run0-1")]
    assert list(client.server.runs) == ["run0-1"]
    (client.directory / "ledger.jsonl").unlink()
    assert publish(client, count=91) == [("published", "run0-1-2")]
    whole(client.server.runs["run0-1"])  # not ours to delete, as far as the ledger knows
    whole(client.server.runs["run0-1-2"], 91)


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "file_stream", "status": 429, "retry_after": 1},
        {"endpoint": "UpsertBucket", "status": 429, "retry_after": 1},
        {"endpoint": "Run", "status": 429, "retry_after": 1},
        {"endpoint": "file_stream", "how": "cut_answer"},
        {"endpoint": "UpsertBucket", "how": "cut_request"},
    ],
    ids=str,
)
def test_a_fault_that_passes_is_waited_for(client: Client, fault: dict):
    planted = client.server.plant(**fault, times=1)
    assert publish(client, verify_seconds=5) == [("published", "run0-1")]
    assert planted.met == 1
    whole(client.server.runs["run0-1"])


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "file_stream", "status": 500},
        {"endpoint": "file_stream", "how": "hang"},
        {"endpoint": "UpsertBucket", "how": "hang"},
        {"endpoint": "UpsertBucket", "status": 403},
        {"endpoint": "CreateRunFiles", "status": 500},
    ],
    ids=str,
)
def test_a_server_that_fails_is_tried_once_and_gets_all_runs_later(client: Client, fault: dict):
    client.server.plant(**fault)
    first, *rest = publish(client, runs=3, **IMPATIENT)
    assert first == ("failed", None) and rest == [("postponed", None)] * 2
    wait_until_gone(client)
    assert not {"run1-1", "run2-1"} & {request.run for request in client.server.requests}
    client.server.heal()
    assert [status for status, _ in publish(client, runs=3)] == ["published"] * 3
    assert sorted(client.server.runs) == ["run0-1-2", "run1-1", "run2-1"]
    for run in client.server.runs.values():
        whole(run)


@pytest.mark.parametrize("status", [400, 409])
def test_rows_that_were_refused_in_silence_are_missed_and_sent_again(client: Client, status: int):
    client.server.plant("file_stream", status, times=1)
    assert publish(client, verify_seconds=0.6) == [("failed", None)]
    assert publish(client) == [("published", "run0-1-2")]
    assert list(client.server.runs) == ["run0-1-2"]
    whole(client.server.runs["run0-1-2"])


def test_a_file_that_was_refused_in_silence_is_missed(client: Client):
    client.server.plant("upload", 403)
    assert publish(client, verify_seconds=0.6) == [("failed", None)]
    client.server.heal()
    assert publish(client) == [("published", "run0-1-2")]
    whole(client.server.runs["run0-1-2"])


@pytest.mark.parametrize(
    ("endpoint", "after", "left"),
    [
        ("UpsertBucket", 0, "run0-1-2"),  # the server has never heard of it
        ("file_stream", 0, "run0-1-2"),  # no row has arrived
        ("file_stream", 1, "run0-1-2"),  # rows have arrived, not the run's end
        ("HistoryPage", 0, "run0-1"),  # all has arrived, and nobody knows
    ],
)
def test_after_sigkill_while_publishing_no_row_is_doubled(
    client: Client, endpoint: str, after: int, left: str
):
    fault = client.server.plant(endpoint, how="hang", after=after)
    process = start(client, finish_seconds=60)
    wait_for(lambda: fault.met, process)
    process.kill()
    process.wait()
    wait_until_gone(client)
    client.server.heal()
    ((status, identity),) = publish(client)
    assert (status, identity) == ("published", left) and list(client.server.runs) == [left]
    whole(client.server.runs[identity])
    assert publish(client) == [("already", identity)]


def test_after_sigkill_while_deleting_the_older_run_is_deleted_by_the_next_publication(client: Client):
    publish(client)
    fault = client.server.plant("DeleteRun", how="hang")
    process = start(client, changes={"attempt": 2})
    process.wait()
    assert fault.met == 0  # an equal run: nothing to do
    process = start(client, count=91, changes={"attempt": 2})
    wait_for(lambda: fault.met, process)
    process.kill()
    process.wait()
    client.server.heal()
    assert sorted(client.server.runs) == ["run0-1", "run0-2"]
    assert publish(client, count=91, changes={"attempt": 2}) == [("already", "run0-2")]
    assert list(client.server.runs) == ["run0-2"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_publishing_and_every_process_of_it(client: Client, number: int):
    fault = client.server.plant("file_stream", how="hang")
    process = start(client, runs=2, workers=2, finish_seconds=600, init_seconds=600)
    wait_for(lambda: fault.met, process)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode != 0
    wait_until_gone(client)


@pytest.mark.parametrize("key", ["f" * 40, "too short", ""])
def test_a_key_that_is_refused_costs_one_try(client: Client, key: str):
    client.environment["WANDB_API_KEY"] = key
    assert publish(client, runs=2) == [("failed", None), ("postponed", None)]
    assert not client.server.runs


def test_a_run_that_was_damaged_or_deleted_since_is_noticed_and_published_again(client: Client):
    code = """
import sys; from pathlib import Path; from publications import publication
from plasticity.publish import Ledger, Publisher, Target
directory = Path(sys.argv[1])
target = Target(project="plasticity", entity="tester", mode="online", directory=directory, verify_seconds=1)
for _ in range(2):
    with Publisher(target, Ledger(directory / "ledger.jsonl")) as publisher:
        print(publisher.verify(publication(directory)).status, publisher.publish(publication(directory)).id)
"""
    tests = f"{ROOT}:{ROOT / 'tests'}"
    publish(client)
    client.server.runs["run0-1"].lines["wandb-history.jsonl"].popitem()
    assert client.python(code, client.directory, PYTHONPATH=tests).split() == [
        "failed", "run0-1-2", "already", "run0-1-2",
    ]  # fmt: skip
    assert list(client.server.runs) == ["run0-1-2"]
    client.server.service.runs.clear()
    assert client.python(code, client.directory, PYTHONPATH=tests).split()[1] == "run0-1-3"
    whole(client.server.runs["run0-1-3"])


def test_a_folder_that_cannot_be_written_fails_the_publication_alone(client: Client):
    (client.directory / "published").write_text("a file where the folder should be")
    assert publish(client, runs=2, mode="offline") == [("failed", None)] * 2


def test_what_the_environment_says_changes_no_publication(client: Client):
    client.environment |= {"WANDB_RUN_ID": "other", "WANDB_MODE": "disabled", "WANDB_RUN_GROUP": "other"}
    assert publish(client) == [("published", "run0-1")]
    whole(client.server.runs["run0-1"])


def wait_until_gone(client: Client) -> None:
    """Waits until no process of the test is left, W&B's own included."""
    with subprocess.Popen(["sleep", "20"]) as clock:
        wait_for(lambda: not processes(client), clock)
        clock.kill()
    assert not list(client.directory.glob("**/.publishing-*"))


def test_columns_keep_their_names_and_summaries_can_be_sorted():
    for column in ("accuracy", "weight_magnitude.layer_1", "a.b.c"):
        assert column_of(history_key(column)) == column and "." not in history_key(column)
    with pytest.raises(ValueError, match="a/b"):
        history_key("a/b")
    assert summary_key("effective_rank.layer_1") == "effective_rank_layer_1"


@pytest.mark.parametrize(
    ("count", "every", "tasks"),
    [
        (0, 10, []),
        (1, 10, [0]),
        (10, 10, [0, 9]),
        (11, 10, [0, 10]),
        (12, 10, [0, 10, 11]),
        (3, 1, [0, 1, 2]),
    ],
)
def test_the_history_has_every_so_manieth_row_and_the_last_once(tmp_path, count, every, tasks):
    history = publication(tmp_path, count=count).history(every)
    assert [row["task"] for row in history] == tasks


def test_what_w_and_b_would_overwrite_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.yaml"):
        publication(tmp_path, files={"config.yaml": tmp_path / "tasks.csv"})
    with pytest.raises(ValueError, match="a task"):
        publication(tmp_path, rows=[{"accuracy": 0.5}])
    with pytest.raises(ValueError, match="same key"):
        publication(tmp_path, summary={"a.b": 1, "a_b": 2})
    with pytest.raises(ValueError, match="running"):
        publication(tmp_path, state="running")


def test_the_ledger_never_gives_an_id_twice(tmp_path):
    code = (
        "import sys; from pathlib import Path; from plasticity.publish import Ledger\n"
        "for _ in range(20): print(Ledger(Path(sys.argv[1])).begin('there', 'run', 1, '').id)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.jsonl")]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    names = [name for process in started for name in process.communicate()[0].split()]
    assert set(names) == {"run-1", *(f"run-1-{number}" for number in range(2, 61))} and len(names) == 60


def test_a_line_cut_short_costs_the_ledger_that_line_alone(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for _ in range(2):
        ledger.begin("there", "run", 1, "digest")
    ledger.path.write_bytes(ledger.path.read_bytes()[:-10])
    ledger.add(Entry(place="there", identity="run", id="run-1", event="published"))
    assert Counter(entry.event for entry in ledger.entries("there", "run")) == {"begun": 1, "published": 1}
    assert ledger.entries("elsewhere") == []


@pytest.mark.parametrize(
    ("events", "published", "begun", "superseded"),
    [
        ([], None, None, ()),
        (["begun a"], None, "a", ()),
        (["begun a", "published a"], "a", None, ()),
        (["begun a", "failed a", "begun b", "published b"], "b", None, ("a",)),
        (["begun a", "published a", "begun b"], "a", "b", ()),
        (["begun a", "begun b", "published b", "published a"], "b", None, ("a",)),
        (["begun a", "published a", "begun b", "published b", "deleted a"], "b", None, ()),
        (["begun a", "foreign a", "begun b", "published b"], "b", None, ()),
        (["begun a", "published a", "deleted a"], None, None, ()),
        (["begun a", "published a", "failed a"], None, "a", ()),
        (["begun a", "published a", "failed a", "begun b", "published b"], "b", None, ("a",)),
    ],
)
def test_only_what_was_begun_earlier_is_superseded(events, published, begun, superseded):
    pairs = [event.split() for event in events]
    entries = [Entry(place="there", identity="run", id=name, event=event) for event, name in pairs]
    found = standing(entries)
    assert (found.published and found.published.id, found.begun and found.begun.id, found.superseded) == (
        published, begun, superseded,
    )  # fmt: skip
