"""tracker=wandb: launches publish their runs, and never depend on it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Command, wait_for, warm
from fabricate import fabricate
from wandb_fixture import Client, client, processes, wandb_server, wandb_service

from plasticity.launch import local
from plasticity.run import Run
from plasticity.track.tracking import Tracking

__all__ = ["client", "wandb_server", "wandb_service"]

SHORT = ["dataset.tasks=12", "dataset.examples_per_task=50", "model.width=10", "tracker=wandb"]
ONLINE = ["tracker.mode=online", "tracker.entity=tester"]
SLOW = [*SHORT[1:], "dataset.tasks=120", "diagnostics=slow.Slow", "tracker.publish=live"]

SLEEPS = """
import time
from dataclasses import dataclass
from plasticity import Diagnostic

@dataclass(frozen=True, kw_only=True)
class Slow(Diagnostic):
    def __call__(self, view):
        time.sleep(0.25)
        return {"slow": 1.0}
"""
"""A diagnostic that takes its time."""


@pytest.fixture
def launch(command: Command, client: Client) -> Command:
    """The command, with the test's W&B server in its environment."""
    own = ("PYTHONPATH", "HOME")
    command.environment = {key: value for key, value in client.environment.items() if key not in own}
    return command


def test_a_sweep_is_published_online_with_its_failed_run_and_its_closing_lines_say_where(
    launch: Command, client: Client
):
    own = ["tracker.every=5", "tracker.tags=[trial]", "tracker.notes=why"]
    done = launch("-m", *SHORT, *ONLINE, *own, "optimiser.step_size=0.005,1e30")
    assert done.returncode == 1 and "1 of 2 runs finished, 1 failed" in done.stdout
    assert f"2 runs published, at {client.server.address}/tester/plasticity" in done.stdout
    states = launch.states()
    assert sorted(client.server.runs) == sorted(f"{identity}-1" for identity in states)
    for identity, state in states.items():
        run = client.server.runs[f"{identity}-1"]
        assert (run.job_type, run.tags, run.notes) == ("all", ["trial", "5x10 relu"], "why")
        assert run.state == state["status"] and run.values["model"]["width"] == 10
        if run.state == "failed":
            assert "finite" in run.summary["reason"]
        else:
            assert [row["task"] for row in run.history] == [0, 5, 10, 11]
            assert run.summary["score"] == state["score"]
            assert run.files["tasks.csv"] == (launch.runs / identity / "tasks.csv").read_bytes()


def test_a_run_is_published_offline_by_default_and_its_closing_lines_say_how_to_upload_it(
    launch: Command, client: Client
):
    done = launch(*SHORT)
    assert f"1 run published offline, in {launch.runs}/wandb. Upload: " in done.stdout
    (folder,) = launch.runs.glob("wandb/offline-run-*")
    assert not client.server.requests
    upload = done.stdout.partition("Upload: python ")[2].split()
    client.call(sys.executable, *upload)
    assert len(client.server.runs) == 1 and not folder.exists()


def test_an_offline_run_uploaded_by_hand_or_a_run_of_the_default_entity_is_not_published_again(
    launch: Command, client: Client
):
    launch(*SHORT)
    client.wandb("sync", *launch.runs.glob("wandb/offline-run-*"))
    launch(*SHORT, "tracker.mode=online", "seed=1")
    names = sorted(f"{identity}-1" for identity in launch.states())
    assert sorted(client.server.runs) == names
    publish = [sys.executable, "-m", "plasticity.track", "--runs", launch.runs, "--entity", "tester"]
    sent = client.server.count("file_stream")
    assert client.call(*publish).startswith("2 published")
    assert sorted(client.server.runs) == names and client.server.count("file_stream") == sent


def test_disabled_in_the_settings_or_in_the_environment_means_that_nothing_is_published(
    launch: Command, client: Client
):
    done = launch(*SHORT, "tracker.mode=disabled")
    assert done.returncode == 0 and "publish" not in done.stdout
    assert not client.server.requests and [path.name for path in launch.runs.iterdir()] == list(
        launch.states()
    )
    for variable, value in {"WANDB_MODE": "disabled", "WANDB_DISABLED": "true"}.items():
        done = launch(*SHORT, *ONLINE, **{variable: value})
        assert (
            done.returncode == 0 and f"Nothing was published, since {variable}={value} is set." in done.stdout
        )
        assert "python -m plasticity.track --runs" in done.stdout
    assert not list(launch.runs.glob("wandb/*")) and not client.server.requests
    done = launch(*SHORT, *ONLINE, WANDB_MODE="offline")
    assert "1 run published offline" in done.stdout and "Upload, without WANDB_MODE=offline: " in done.stdout
    assert len(list(launch.runs.glob("wandb/offline-run-*"))) == 1 and not client.server.requests


def test_a_server_that_refuses_costs_a_warning_and_the_next_launch_publishes(launch: Command, client: Client):
    fault = client.server.plant("UpsertBucket", 403)
    done = launch("-m", *SHORT, *ONLINE, "seed=0,1")
    assert done.returncode == 0 and "2 of 2 runs finished" in done.stdout
    assert 1 <= fault.met <= 2  # once for each request that was sent before the first was refused
    assert "2 runs not published: planted 403. Publish later: python -m plasticity.track" in done.stdout
    client.server.heal()
    again = launch("-m", *SHORT, *ONLINE, "seed=0,1")
    assert "2 runs published, at " in again.stdout and len(client.server.runs) == 2


def test_without_w_and_b_s_package_runs_are_computed_and_a_line_says_so(launch: Command):
    (launch.directory / "broken").mkdir()
    (launch.directory / "broken" / "wandb.py").write_text("raise RuntimeError('no such service')")
    environment = launch.environment | {"PYTHONPATH": str(launch.directory / "broken")}
    arguments = [*SHORT, f"runs_dir={launch.runs}"]
    process = warm().start(arguments, ROOT, os.environ | environment)  # which has not imported it
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "1 run not published: no such service." in out
    assert [state["status"] for state in launch.states().values()] == ["finished"]
    (ledger := launch.runs / ".published.jsonl").unlink()
    ledger.mkdir()
    done = launch(*SHORT)
    assert done.returncode == 0 and "1 run not published: " in done.stdout


def test_what_a_dead_launch_had_finished_is_published_by_the_next_whatever_the_ledger_holds(
    launch: Command, client: Client
):
    run = Run.of({"dataset": {"tasks": 12, "examples_per_task": 50}, "model": {"width": 10}})
    fabricate(launch.runs, run, [0.5] * 12)
    (launch.runs / ".published.jsonl").write_bytes(b"\xff")
    assert "1 run published" in launch(*SHORT, *ONLINE).stdout
    assert list(client.server.runs) == [f"{run.identity}-1"]


def test_sigterm_ends_a_launch_that_waits_for_a_server_that_hangs(launch: Command, client: Client):
    fault = client.server.plant("file_stream", how="hang")
    process = launch.fork(*SHORT, *ONLINE)
    wait_for(lambda: fault.met, process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert "1 run not published: publishing was stopped" in out
    assert [state["status"] for state in launch.states().values()] == ["finished"]
    with subprocess.Popen(["sleep", "20"]) as clock:
        wait_for(lambda: not processes(client.server), clock)
        clock.kill()


@pytest.mark.parametrize("seconds, said", [(0.0, "Waiting for the tracker.\n"), (60.0, "")])
def test_a_launch_that_waits_for_its_tracker_says_so(capsys, monkeypatch, seconds: float, said: str):
    class Slow(Tracking):
        def wait(self, stop, seconds=None):
            time.sleep(0.2)

        def lines(self):
            return ["done"]

    monkeypatch.setattr(local, "LONG_SECONDS", seconds)
    outcome = local.Outcome()
    local.finish(Slow(), outcome)
    assert (capsys.readouterr().err, outcome.tracked) == (said, ["done"])


def test_a_run_is_shown_live_as_preempting_when_stopped_and_as_one_whole_run_when_resumed(
    launch: Command, client: Client
):
    (launch.directory / "slow.py").write_text(SLEEPS)
    path = {"PYTHONPATH": str(launch.directory)}
    process = launch.fork(*SLOW, *ONLINE, **path)
    wait_for(lambda: any(len(run.history) > 1 for run in client.server.runs.values()), process)
    (run,) = client.server.runs.values()
    assert (run.state, run.id[-2:]) == ("running", "-1") and launch.running()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "1 run published" in out
    assert client.server.runs[run.id].state == "preempted"
    (launch.directory / "slow.py").write_text(SLEEPS.replace("0.25", "0"))
    done = launch(*SLOW, *ONLINE, **path)
    assert "1 run published" in done.stdout
    (whole,) = client.server.runs.values()
    assert (whole.state, whole.id[-2:]) == ("finished", "-2")
    assert [row["task"] for row in whole.history] == [*range(0, 120, 10), 119]


def test_the_agent_of_a_sweep_sees_the_run_that_it_started(client: Client, tmp_path: Path):
    sweep = yaml.safe_load((ROOT / "examples" / "sweep.yaml").read_text())
    given = {"${interpreter}": sys.executable, "${program}": str(ROOT / sweep["program"])}
    program = [given.get(part, part) for part in sweep["command"]]
    program[2:2] = ["dataset.examples_per_task=50", "model.width=10", f"runs_dir={tmp_path / 'runs'}"]
    assert list(sweep["parameters"]) == ["replacement", "optimiser.step_size"]
    client.server.add_sweep("grid", program, [{"replacement": "layer_1", "optimiser.step_size": 0.002}])
    client.wandb("agent", "tester/plasticity/grid", seconds=200)
    run = client.server.runs["grid-0"]
    assert list(client.server.runs) == ["grid-0"]
    assert (run.sweep, run.state, run.job_type) == ("grid", "finished", "layer 1")
    assert run.values["replacement"]["layers"] == [1] and run.values["optimiser"]["step_size"] == 0.002
    (state,) = tmp_path.glob("runs/*/state.json")
    assert run.summary[sweep["metric"]["name"]] == json.loads(state.read_text())["score"]
