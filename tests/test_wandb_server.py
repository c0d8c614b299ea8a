"""The loopback W&B server: the real client and the real `wandb sync` get what they need from it."""

import json
import sys

import pytest
from conftest import wait_for
from wandb_fixture import Client, client, wandb_server, wandb_service
from wandb_server import WandbServer, serving

__all__ = ["client", "wandb_server", "wandb_service"]

RUN = """
import sys, wandb
mode, identities, first, last, code = sys.argv[1:6]
for identity in identities.split(","):
    settings = wandb.Settings(
        console="off", x_disable_stats=True, x_disable_meta=True, x_disable_machine_info=True,
        disable_git=True, save_code=False, symlink=False, x_save_requirements=False, init_timeout=20,
        x_file_stream_retry_wait_min_seconds=0.1, x_file_stream_transmit_interval=0.1,
    )
    run = wandb.init(
        project="plasticity", entity="tester", id=identity, name="a name", group="a group",
        job_type="layer 1", tags=["one", "two"], notes="a note",
        config={"model": {"width": 20}, "seed": 3}, mode=mode,
        resume="allow" if len(sys.argv) > 6 else None, settings=settings,
    )
    run.define_metric("task")
    run.define_metric("*", step_metric="task", summary="none")
    for task in range(int(first), int(last)):
        run.log({"task": task, "accuracy": task / 7})
    run.summary["score"] = 0.5
    with open(run.dir + "/table.csv", "w") as file:
        file.write("task\\n")
    run.save(run.dir + "/table.csv", base_path=run.dir, policy="now")
    run.finish(int(code))
"""

READ = """
import json, wandb
api = wandb.Api()
runs = list(api.runs("tester/plasticity", filters={"group": "a group"}, per_page=2, lazy=False))
for run in runs:
    rows = list(run.scan_history())
    files = {file.name: file.download(root=run.dir, replace=True).read() for file in run.files()}
    print(json.dumps({
        "id": run.id, "config": run.config, "summary": dict(run.summary), "state": run.state, "rows": rows,
        "keyed": list(run.scan_history(keys=["task"])), "tags": run.tags, "job_type": run.job_type,
        "table": files["table.csv"],
    }, default=str))
"""


def published(server: WandbServer, identity: str, tasks: range, code: int = 0) -> None:
    """Checks everything that RUN publishes."""
    run = server.runs[identity]
    assert (run.entity, run.project, run.id, run.name) == ("tester", "plasticity", identity, "a name")
    assert (run.group, run.job_type, run.tags, run.notes) == (
        "a group",
        "layer 1",
        ["one", "two"],
        "a note",
    )
    assert run.values == {"model": {"width": 20}, "seed": 3}
    assert [(row["task"], row["accuracy"]) for row in run.history] == [(task, task / 7) for task in tasks]
    assert run.summary["score"] == 0.5
    assert run.metrics["*"] == {"step": "task", "summary": False}
    assert run.files["table.csv"] == b"task\n"
    assert (run.exit_code, run.state) == (code, "failed" if code else "finished")


def test_an_offline_run_arrives_whole_through_sync(client: Client):
    code = 3
    client.python(RUN, "offline", "first", 0, 40, code)
    assert not client.server.requests
    client.wandb("sync", *client.offline_runs())
    published(client.server, "first", range(40), code)


def test_an_online_run_arrives_whole_and_resumes_where_it_ended(client: Client):
    client.python(RUN, "online", "first", 0, 30, 0)
    published(client.server, "first", range(30))
    client.python(RUN, "online", "first", 30, 50, 0, "resume")
    published(client.server, "first", range(50))
    assert [row["_step"] for row in client.server.runs["first"].history] == list(range(50))


def test_the_api_reads_back_all_runs_and_all_rows(client: Client):
    client.python(RUN, "online", "first", 0, 1200, 0)  # a page has 1,000 rows
    client.python(RUN, "online", "second,third", 0, 3, 0)
    runs = [json.loads(line) for line in client.python(READ).splitlines() if line.startswith("{")]
    assert [run["id"] for run in runs] == ["first", "second", "third"]
    for run, count in zip(runs, [1200, 3, 3], strict=True):
        assert [(row["task"], row["accuracy"]) for row in run["rows"]] == [(n, n / 7) for n in range(count)]
        assert [row["task"] for row in run["keyed"]] == list(range(count))
        assert run["config"] == {"model": {"width": 20}, "seed": 3} and run["summary"]["score"] == 0.5
        assert (run["state"], run["tags"], run["job_type"]) == ("finished", ["one", "two"], "layer 1")
        assert run["table"] == "task\n"


def test_a_wrong_key_and_the_id_of_a_deleted_run_are_refused(client: Client):
    client.python(RUN, "offline", "first", 0, 3, 0)
    client.wandb("sync", *client.offline_runs(), WANDB_API_KEY="f" * 40)
    assert not client.server.runs and {request.status for request in client.server.requests} == {401}
    (folder,) = client.offline_runs()
    client.wandb("sync", "--include-synced", folder)
    client.python("import wandb; wandb.Api().run('tester/plasticity/first').delete()")
    assert client.server.service.deleted == {"tester/plasticity/first"} and not client.server.runs
    sync = client.start(sys.executable, "-m", "wandb", "sync", "--include-synced", folder)
    wait_for(lambda: client.server.requests[-1].status == 409, sync)
    assert not client.server.runs


def test_a_request_that_the_server_does_not_know_fails_the_test(tmp_path):
    with pytest.raises(AssertionError, match="GetProjects"), serving() as server:
        client = Client(server, tmp_path)
        client.python("import os, wandb\ntry: list(wandb.Api().projects('tester'))\nfinally: os._exit(0)")
