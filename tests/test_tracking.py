"""Weights & Biases, offline: what a run publishes, read back by W&B's own tool."""

import json
import os
import subprocess
import sys
from pathlib import Path

RUN = ["dataset.tasks=12", "dataset.examples_per_task=50", "model.width=10"]


def records(file: Path) -> list[dict]:
    """What an offline run holds, a record per line."""
    wandb = Path(sys.executable).with_name("wandb")
    printed = subprocess.run(
        [wandb, "leet", "inspect", "--json", file],
        capture_output=True, text=True, check=True, env=os.environ | {"WANDB_ERROR_REPORTING": "false"},
    )  # fmt: skip
    return [json.loads(line) for line in printed.stdout.splitlines() if line.startswith("{")]


def test_a_finished_run_is_published_offline(command):
    done = command(*RUN, "tracker=wandb", "tracker.every=5")
    assert done.returncode == 0, done.stderr
    (folder,) = command.folders()
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    text = json.dumps(records(file))
    state = command.states()[folder.name]
    assert (
        f"{folder.name}-1" in text and "permuted_mnist 5x10 relu none all step size 0.005 rate 0.0001" in text
    )
    assert '"task"' in text.replace("\\", "") and "weight_magnitude" in text
    assert repr(state["score"]) in text
    rows = (folder / "tasks.csv").read_text().splitlines()[1:]
    published = [row.split(",")[1] in text for row in rows]
    assert published[0] and published[5] and published[10] and published[11]


def test_a_tracker_that_fails_does_not_fail_the_run(command):
    done = command(
        *RUN, "tracker=wandb", WANDB_DIR="/proc/nowhere", PYTHONPATH=str(broken(command.directory))
    )
    assert done.returncode == 0 and "was not published to W&B: no such service" in done.stderr
    assert [state["status"] for state in command.states().values()] == ["finished"]


def broken(directory: Path) -> Path:
    """A folder with a W&B that always fails."""
    (directory / "broken").mkdir()
    (directory / "broken" / "wandb.py").write_text("raise RuntimeError('no such service')")
    return directory / "broken"
