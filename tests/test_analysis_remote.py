"""Reading runs back from W&B: the same tables as from the folders that they were published from."""

import json

import pytest
from fabricate import fabricate, put
from test_publish_command import publish
from wandb_fixture import Client, client, wandb_server, wandb_service

from analysis.paper import run
from analysis.remote import fetch
from plasticity.errors import UserError

__all__ = ["client", "wandb_server", "wandb_service"]

TABLE = ["table_1", "--tasks", "20", "--format", "csv"]


@pytest.fixture
def published(client: Client) -> Client:
    """Some runs of Table 1, published with every tenth row."""
    runs = client.directory / "runs"
    for number, replacement in enumerate(["all", "layer_1"]):
        for seed in range(2):
            accuracies = [0.5 + 0.01 * number + 0.02 * seed + 0.001 * task**2 % 0.07 for task in range(20)]
            fabricate(runs, run("width_100", replacement, seed, 20, 10_000), accuracies)
    put(runs, "width_100", "layer_2", [0.3], 20, status="failed", reason="the loss is no longer finite")
    publish(client, "--at-once", "1")
    return client


CALLS = """
import io, json, sys
from contextlib import redirect_stdout
from importlib import import_module

from analysis.entry import command

for module, *arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    with redirect_stdout(io.StringIO()) as printed:
        command(import_module(f"analysis.{module}").main)
    print(json.dumps(printed.getvalue()))
"""
"""Some commands of the analysis, in one process, which imports what all of them need."""


def call(client: Client, *commands: list[str], cache: str = "cache") -> tuple[list[str], str, int]:
    """What each command prints; the errors of all, and the exit code."""
    (program := client.directory / "calls_of_wandb.py").write_text(CALLS)
    own = {"XDG_CACHE_HOME": str(client.directory / cache)}
    process = client.fork(str(program), json.dumps(commands), **own)
    out, err = process.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines()], err, process.returncode


def test_table_1_from_w_and_b_equals_table_1_from_the_store_and_a_run_without_its_table_is_named(
    published: Client,
):
    group = next(run.group for run in published.server.runs.values() if run.job_type == "layer 1")
    store, project = ["--runs", str(published.directory / "runs")], ["--wandb", "tester/plasticity"]
    (stored, *tables), err, code = call(published, [*TABLE, *store], [*TABLE, *project])
    assert code == 0, err
    assert stored.count(",2,") >= 2 and tables == [stored]
    downloads = published.server.count("download")
    assert downloads == 3 * 5 and not published.server.count("SampledHistoryPage")
    listed = ["runs", "--format", "csv"]
    lists, err, code = call(published, [*listed, *store], [*listed, "--wandb", f"tester/plasticity/{group}"])
    assert code == 0, err
    from_store, from_group = (text.splitlines() for text in lists)
    assert len(from_group) == 3 and published.server.count("download") == downloads  # from the cache
    score = from_store[0].split(",").index("score")
    scores = {line.split(",")[0]: line.split(",")[score] for line in from_store}
    assert all(line.split(",")[score] == scores[line.split(",")[0]] for line in from_group[1:])
    one, *_ = published.server.runs.values()
    del one.files["tasks.csv"]
    (out,), err, _ = call(published, ["runs", *project], cache="another")
    assert "4 runs:" in out and f"left out: {one.name}" in err


@pytest.mark.parametrize("place", ["tester", "/x"])
def test_a_place_that_is_not_a_project_is_refused(place: str):
    with pytest.raises(UserError, match=f"--wandb {place} is refused: it must be ENTITY/PROJECT"):
        fetch(place)


def test_a_project_without_runs_is_reported_in_a_sentence(client: Client):
    out, err, code = call(client, ["runs", "--wandb", "tester/nothing"])
    assert (out, code) == ([], 1) and "Traceback" not in err and "tester/nothing" in err
