"""The dashboard and figures, as the loopback server receives them."""

import json
import sys

import pytest
from PIL import Image
from wandb_fixture import Client, client, wandb_server, wandb_service

from plasticity.run import Run
from plasticity.store import RunState
from plasticity.track import stored

__all__ = ["client", "wandb_server", "wandb_service"]

COMMAND = [sys.executable, "-m", "plasticity.track.dashboard", "--entity", "tester"]


def test_one_command_creates_the_dashboard_and_updates_it(client: Client):
    pytest.importorskip("wandb_workspaces")
    created = client.call(*COMMAND)
    assert client.call(*COMMAND) == created
    first, again = client.server.service.views
    assert f"{client.server.address}/tester/plasticity" in created and "nw=plasticity1" in created
    assert (first["projectName"], first["type"], first["displayName"]) == (
        "plasticity",
        "project-view",
        "Plasticity",
    )
    assert "id" not in first and (again["name"], again["id"]) == (first["name"], "view")
    panels = {
        panel["config"]["chartTitle"]: panel["config"]
        for section in first["spec"]["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
    }
    assert list(panels) == [
        "Accuracy by task", "Weight magnitude", "Dead units, by layer", "Units replaced, by layer",
        "Score by network and replacement set",
    ]  # fmt: skip
    config = stored.config(Run.of({}), RunState())
    for title, panel in panels.items():
        assert (panel["groupAgg"], panel["groupArea"], panel["aggregate"]) == ("mean", "stddev", True)
        if title.startswith("Score"):
            assert panel["groupBy"] == "group" and panel["metrics"] == ["summary_metrics.score"]
        else:
            assert panel["groupBy"] == "replacement_set.value" and panel["xAxis"] == "task"
    assert panels["Accuracy by task"]["metrics"] == ["accuracy"]
    (runs,) = first["spec"]["section"]["runSets"]
    keys = [(key["section"], key["name"]) for key in runs["grouping"]]
    assert keys == [("config", "network.value"), ("config", "replacement_set.value")]
    assert {"network", "replacement_set"} <= set(config)  # every run has the keys that runs are grouped by
    assert json.dumps(runs).count("units_replaced")


def test_without_its_package_the_dashboard_says_what_to_install(client: Client):
    (client.directory / "wandb_workspaces.py").write_text(
        "raise ModuleNotFoundError(name='wandb_workspaces')"
    )
    process = client.fork(*COMMAND[2:], PYTHONPATH=f"{client.directory}:{client.environment['PYTHONPATH']}")
    assert "pip install wandb-workspaces" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_figures_are_shown_as_images_and_replaced_by_the_next(client: Client):
    folder = client.directory / "figures"
    folder.mkdir()
    (folder / "table_1.tex").write_text("a table")
    command = [sys.executable, "-m", "plasticity.track.figures", "--entity", "tester", str(folder)]
    for number, colour in enumerate(["red", "blue"], 1):
        Image.new("RGB", (4, 4), colour).save(folder / "figure_5.png")
        printed = client.call(*command)
        (run,) = client.server.runs.values()
        assert printed == f"2 files published: {client.server.address}/tester/plasticity/runs/{run.id}\n"
        assert (run.id, run.job_type, run.state) == (
            f"figures-1{'-2' * (number == 2)}",
            "figures",
            "finished",
        )
        shown = run.history[-1]["figures/figure_5"]
        assert shown["_type"] == "image-file"
        assert run.files[shown["path"]] == (folder / "figure_5.png").read_bytes()
        assert run.files["table_1.tex"] == b"a table"
    assert client.call(*command) == "2 files published before, and unchanged since.\n"
    (client.directory / "empty").mkdir()
    refused = client.fork(*command[2:-1], client.directory / "empty").communicate(timeout=60)[1]
    assert refused.endswith("empty is refused: there are no files in it.\n")
