"""Publishing to W&B: everything arrives, nothing twice, whatever goes wrong on the way."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from conftest import needed, warm
from forked_sender import ForkingSenders
from publications import CONFIG, publication, rows
from storm.season import fill, small_disk
from wandb_fixture import ROOT, Client, client, processes, variables, wandb_server, wandb_service
from wandb_server import Run, WandbServer

from plasticity.track import Entry, Ledger, Place, Publisher
from plasticity.track.ledger import standing
from plasticity.track.publication import history_key, summary_key
from plasticity.track.sender import Sender

__all__ = ["client", "wandb_server", "wandb_service"]

CLIENTS_OWN = {"_step", "_runtime", "_timestamp", "_wandb"}
"""What W&B's client adds to rows and to the summary by itself."""
IMPATIENT = {"init_seconds": 3, "finish_seconds": 2, "verify_seconds": 0.6}


@pytest.fixture(scope="module")
def idle(
    wandb_service: WandbServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Sender]]]:
    """Clients of W&B, by mode, that the tests of this module share, since one takes seconds to start."""
    workers: dict[str, list[Sender]] = {"online": []}
    directory = tmp_path_factory.mktemp("client")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        for name, value in variables(wandb_service, directory).items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", str(directory))
        patch.setattr("plasticity.track.sender.subprocess", ForkingSenders)
        # Its folder outlives those of the tests.
        here = Place(project="plasticity", entity=None, mode="offline", directory=directory)
        workers["offline"] = [Sender(here)]
        yield workers
    for worker in chain(*workers.values()):
        worker.kill()


class Publish:
    """Publishes runs, each call in a session of its own."""

    def __init__(self, server: WandbServer, directory: Path, idle: dict[str, list[Sender]]):
        self.server, self.directory, self.idle = server, directory, idle
        self.ledger = Ledger(directory / "ledger.jsonl")

    def session(self, workers: int = 1, **options: Any) -> Publisher:
        """A publisher. Options are fields of the target."""
        usual = {
            "project": "plasticity", "entity": "tester", "mode": "online",
            "init_seconds": 20, "finish_seconds": 20, "verify_seconds": 3,
        }  # fmt: skip
        target = Place(directory=self.directory / "published", **usual | options)
        publisher = Publisher(target, self.ledger, workers)
        publisher._idle = self.idle.setdefault(target.mode, [])
        if target.mode == "offline" and publisher._idle:
            target.directory.mkdir(exist_ok=True)  # as a client of its own would have
        return publisher

    def __call__(
        self, runs: int = 1, workers: int = 1, count: int = 95, changes: Any = None, **options: Any
    ) -> list[tuple[str, str | None]]:
        """The status and id of each run, in the order of the runs; `changes` are fields of the publications."""
        publisher = self.session(workers, **options)
        made = [publication(self.directory, number, count, **changes or {}) for number in range(runs)]
        described: dict[str, Callable] = {one.identity: lambda one=one: one for one in made}
        outcomes = {outcome.identity: outcome for outcome in publisher.publish_all(described)}
        print(*outcomes.values(), sep="\n")
        return [(outcomes[name].status, outcomes[name].id) for name in described]


@pytest.fixture
def publish(wandb_server: WandbServer, tmp_path: Path, idle: dict[str, list[Sender]]) -> Publish:
    return Publish(wandb_server, tmp_path, idle)


@pytest.fixture
def alone(publish: Publish) -> Iterator[Publish]:
    """The same, with clients of the test's own."""
    publish.idle = {}
    yield publish
    for worker in chain(*publish.idle.values()):
        worker.kill()


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
    assert run.files["tasks.csv"] == b"task,accuracy\n0,0.5\n" and run.files["state.json"] == b"{}"
    assert run.metrics == {"task": {"step": None, "summary": False}, "*": {"step": "task", "summary": False}}
    assert (run.group, run.job_type, run.notes) == ("width 20, layer 1", "layer 1", "a note")
    assert run.tags == ["table_1", "width_20"] and run.name == f"layer 1, seed {run.id[3]}"
    assert (run.state, run.exit_code) == (state, 0 if state == "finished" else 1)


@pytest.mark.parametrize("state", ["finished", "failed", "preempted"])
def test_an_online_run_arrives_whole_and_is_published_once(publish: Publish, state: str):
    assert publish(changes={"state": state}) == [("published", "run0-1")]
    whole(publish.server.runs["run0-1"], state=state)
    asked = len(publish.server.requests)
    assert publish(changes={"state": state, "tags": ("other",)}) == [("already", "run0-1")]
    assert len(publish.server.requests) == asked


@pytest.mark.parametrize("entity", ["tester", None])
def test_an_offline_run_arrives_whole_through_sync_and_is_not_published_again(
    publish: Publish, client: Client, entity: str | None
):
    assert publish(mode="offline", entity=entity, count=91) == [("published", "run0-1")]
    assert publish(mode="offline", entity=entity, count=91) == [("already", "run0-1")]
    (folder,) = publish.directory.glob("published/wandb/offline-run-*")
    assert not publish.server.requests
    client.wandb("sync", folder)
    whole(publish.server.runs["run0-1"], 91)
    assert publish(count=91) == [("published", "run0-1")]  # as it is: one run, its rows once
    assert list(publish.server.runs) == ["run0-1"]
    whole(publish.server.runs["run0-1"], 91)


def test_an_offline_run_published_online_or_computed_again_leaves_no_folder_to_sync(publish: Publish):
    assert publish(mode="offline") == [("published", "run0-1")]
    assert publish(mode="offline", count=91) == [("published", "run0-1-2")]
    (folder,) = publish.directory.glob("published/wandb/offline-run-*")
    assert folder.name.endswith("-run0-1-2")
    assert publish(count=91) == [("published", "run0-1-3")]
    assert list(publish.server.runs) == ["run0-1-3"] and not folder.exists()


def test_a_place_with_two_names_has_each_run_once(publish: Publish):
    assert publish(entity=None) == publish() == [("published", "run0-1")]
    assert list(publish.server.runs) == ["run0-1"]
    computed_again = {"count": 91, "changes": {"attempt": 2}}
    assert publish(**computed_again) == publish(entity=None, **computed_again) == [("published", "run0-2")]
    assert list(publish.server.runs) == ["run0-2"]
    whole(publish.server.runs["run0-2"], 91)
    assert publish(entity=None, **computed_again) == publish(**computed_again) == [("already", "run0-2")]


def test_an_id_given_by_others_stays_theirs_under_every_name_of_the_place(publish: Publish):
    assert publish(changes={"id": "chosen"}) == [("published", "chosen")]
    assert publish(entity=None) == [("published", "chosen")]
    assert publish(entity=None, count=91) == [("published", "run0-1")]
    assert sorted(publish.server.runs) == ["chosen", "run0-1"]


def test_without_its_ledger_a_run_has_one_folder_that_holds_its_latest_version(publish: Publish):
    def folder() -> str:
        (path,) = publish.directory.glob("published/wandb/offline-run-*")
        return path.name.split("-", 3)[-1]

    publish(mode="offline", changes={"attempt": 2})
    publish.ledger.path.unlink()
    assert (
        publish(mode="offline", changes={"attempt": 2})
        == [("published", folder())]
        == [("published", "run0-2")]
    )
    (publish.directory / "published").rename(publish.directory / "moved")
    (publish.directory / "published").symlink_to(publish.directory / "moved")
    publish.ledger.path.unlink()
    assert publish(mode="offline", count=91) == [("published", folder())] == [("published", "run0-1")]
    assert publish(mode="offline", entity=None, count=91) == [("published", folder())]
    assert publish(mode="offline", project="other", count=91)[0][0] == "published"
    assert len(list(publish.directory.glob("published/wandb/offline-run-*"))) == 2  # each project has its own


def test_many_runs_are_published_by_one_client(publish: Publish):
    assert publish(runs=8) == [("published", f"run{number}-1") for number in range(8)]
    assert len(publish.server.runs) == 8
    for run in publish.server.runs.values():
        assert [row["task"] for row in run.history] == [*range(0, 94, 10), 94]


def test_runs_published_at_once_wait_as_a_busy_server_asks_for(publish: Publish):
    fault = publish.server.plant("file_stream", 429, retry_after=1, times=3)
    assert [status for status, _ in publish(runs=4, workers=2)] == ["published"] * 4
    assert fault.met == 3
    for run in publish.server.runs.values():
        whole(run)


def test_a_run_computed_again_replaces_its_older_self(publish: Publish):
    assert publish() == [("published", "run0-1")]
    assert publish(count=91, changes={"attempt": 2}) == [("published", "run0-2")]
    assert list(publish.server.runs) == ["run0-2"]
    whole(publish.server.runs["run0-2"], 91)


def test_without_its_ledger_a_run_that_is_there_is_not_published_again(publish: Publish):
    publish()
    publish.ledger.path.unlink()
    assert publish() == [("published", "run0-1")]
    assert list(publish.server.runs) == ["run0-1"]
    publish.ledger.path.unlink()
    assert publish(count=91) == [("published", "run0-1-2")]
    whole(publish.server.runs["run0-1"])  # not ours to delete, as far as the ledger knows
    whole(publish.server.runs["run0-1-2"], 91)


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "file_stream", "status": 429, "retry_after": 1},
        {"endpoint": "UpsertBucket", "status": 429, "retry_after": 1},
        {"endpoint": "Run", "status": 429, "retry_after": 1},
        {"endpoint": "file_stream", "status": 500},
        {"endpoint": "file_stream", "how": "cut_request"},
        {"endpoint": "file_stream", "how": "cut_answer"},
        {"endpoint": "UpsertBucket", "how": "cut_request"},
        {"endpoint": "upload", "how": "cut_request"},
    ],
    ids=str,
)
def test_a_fault_that_passes_is_waited_for(publish: Publish, fault: dict):
    planted = publish.server.plant(**fault, times=1)
    assert publish(verify_seconds=5) == [("published", "run0-1")]
    assert planted.met == 1
    whole(publish.server.runs["run0-1"])


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "file_stream", "how": "hang"},
        {"endpoint": "file_stream", "status": 500},
        {"endpoint": "UpsertBucket", "status": 403},
        {"endpoint": "CreateRunFiles", "status": 500},
    ],
    ids=str,
)
def test_a_server_that_fails_is_tried_once_and_gets_all_runs_later(publish: Publish, fault: dict):
    publish.server.plant(**fault)
    assert publish(runs=3, **IMPATIENT) == [("failed", None)] + [("postponed", None)] * 2
    assert not {"run1-1", "run2-1"} & {request.run for request in publish.server.requests}
    publish.server.heal()
    assert [status for status, _ in publish(runs=3)] == ["published"] * 3
    assert sorted(publish.server.runs) == ["run0-1-2", "run1-1", "run2-1"]
    for run in publish.server.runs.values():
        whole(run)


def test_a_server_that_hangs_at_the_door_costs_one_wait(publish: Publish):
    publish.server.plant("UpsertBucket", how="hang")
    assert publish(runs=2, **IMPATIENT) == [("failed", None), ("postponed", None)]


@pytest.mark.parametrize(
    "fault",
    [{"endpoint": "file_stream", "status": 400}, {"endpoint": "file_stream", "status": 403},
     {"endpoint": "file_stream", "status": 409}, {"endpoint": "upload", "status": 403}],
    ids=str,
)  # fmt: skip
def test_what_was_refused_in_silence_is_missed_and_sent_again(publish: Publish, fault: dict):
    publish.server.plant(**fault, times=1 if fault["endpoint"] == "file_stream" else None)
    assert publish(verify_seconds=0.6) == [("failed", None)]
    publish.server.heal()
    assert publish() == [("published", "run0-1-2")]
    assert list(publish.server.runs) == ["run0-1-2"]
    whole(publish.server.runs["run0-1-2"])


@pytest.mark.parametrize("key", ["f" * 40, "too short", ""])
def test_a_key_that_is_refused_costs_one_try(alone: Publish, monkeypatch, key: str):
    monkeypatch.setenv("WANDB_API_KEY", key)
    assert alone(runs=2) == [("failed", None), ("postponed", None)]
    assert not alone.server.runs


def test_a_run_that_was_damaged_or_deleted_since_is_noticed_and_published_again(publish: Publish):
    def verified() -> tuple[str, str | None]:
        publisher, run = publish.session(verify_seconds=1), publication(publish.directory)
        return publisher.verify(run).status, publisher.publish(run).id

    publish()
    assert verified() == ("already", "run0-1")
    publish.server.runs["run0-1"].lines["wandb-history.jsonl"].popitem()
    assert verified() == ("failed", "run0-1-2") and list(publish.server.runs) == ["run0-1-2"]
    publish.server.service.runs.clear()
    assert verified() == ("failed", "run0-1-3")
    whole(publish.server.runs["run0-1-3"])


def test_the_id_of_a_deleted_run_is_never_used_again(publish: Publish):
    publish.server.service.deleted.add("tester/plasticity/run0-1")
    publish(**IMPATIENT)
    assert publish() == [("published", "run0-1-2")]


def test_an_agents_id_is_written_to_once_and_its_run_takes_the_place_of_another(publish: Publish):
    publish()
    agents = {"id": "chosen", "sweep": "grid"}
    assert publish(changes=agents) == [("published", "chosen")]
    assert list(publish.server.runs) == ["chosen"] and publish.server.runs["chosen"].sweep == "grid"
    assert publish(changes=agents) == publish() == [("already", "chosen")]
    assert publish(count=91, changes=agents) == [("published", "run0-1-2")]
    assert sorted(publish.server.runs) == ["chosen", "run0-1-2"]  # not ours to delete
    assert len(publish.server.runs["chosen"].history) == len(publish.server.runs["run0-1-2"].history) + 1


def test_a_folder_that_cannot_be_written_fails_the_publication_alone(alone: Publish):
    (alone.directory / "published").write_text("a file where the folder should be")
    assert alone(runs=2, mode="offline") == [("failed", None)] * 2


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_a_disk_without_space_for_w_and_b_fails_the_publication_alone(
    publish: Publish, mode: str, request: pytest.FixtureRequest
):
    if mode == "offline":  # whose client writes to that disk
        publish = request.getfixturevalue("alone")
    (folder := publish.directory / "published").mkdir()
    with small_disk(folder, "64k") as mounted:
        if not mounted:
            pytest.skip("no file system can be mounted here")
        fill(folder / "ballast", 4096)
        found = publish(runs=2, mode=mode, **IMPATIENT)
        (folder / "ballast").unlink()
    if mode == "offline":
        assert found == [("failed", None)] * 2
    again = publish(runs=2, mode=mode)
    assert {status for status, _ in again} <= {"published", "already"}
    assert mode == "offline" or len(publish.server.runs) == 2
    for run in publish.server.runs.values():
        whole(run)


def test_what_the_environment_says_changes_no_publication(alone: Publish, monkeypatch):
    for name, value in {"RUN_ID": "other", "MODE": "disabled", "RUN_GROUP": "other"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert alone() == [("published", "run0-1")]
    whole(alone.server.runs["run0-1"])
    for worker in alone.idle["online"]:
        worker.kill()
    assert not list(Path(tempfile.gettempdir()).glob(".publishing-*")) or processes(alone.server)


def test_columns_keep_their_names_and_summaries_can_be_sorted():
    for column in ("accuracy", "weight_magnitude.layer_1", "a.b.c"):
        key = history_key(column)
        assert key.replace("/", ".") == column and "." not in key
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
        "import sys; from pathlib import Path; from plasticity.track import Ledger\n"
        "for _ in range(20): print(Ledger(Path(sys.argv[1])).begin('there', 'run', 1, '').id)"
    )
    (program := tmp_path / "begin.py").write_text(code)
    arguments = [str(tmp_path / "ledger.jsonl")], ROOT, os.environ, str(program)
    started = [warm(*needed("wandb")).start(*arguments) for _ in range(3)]
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


def test_lines_of_the_ledger_that_make_no_sense_are_skipped(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    sense = ledger.begin("there", "run", 1, "digest")
    entry = b'{"place": "there", "identity": ["run"], "id": {}, "event": "begun"}'
    for line in (b"\xff", b"\xff\n", b"[" * 100_000 + b"\n", b"null\n", entry + b"\n", b"\0" * 9):
        with open(ledger.path, "ab") as file:
            file.write(line)
        assert [one.id for one in ledger.entries()] == [sense.id]
    assert ledger.begin("there", "run", 1, "digest").id == "run-1-2"
    assert [one.id for one in ledger.entries()] == ["run-1", "run-1-2"]


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
