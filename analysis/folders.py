"""Run folders as frames."""

import io
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from plasticity.claim import holder
from plasticity.errors import UserError
from plasticity.launcher.labels import flatten
from plasticity.score import score
from plasticity.store import RunFolder, RunState, run_folders


class Folders:
    """A directory that holds a folder per run."""

    def __init__(self, path: Path):
        self.path = path

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`."""
        return pd.DataFrame([_summary(folder) for folder in run_folders(self.path)])

    def tasks(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run` and the columns of their `tasks.csv`."""
        frames = [_tasks(RunFolder(self.path / run)) for run in runs]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"run": []})


def _summary(folder: RunFolder) -> dict[str, Any]:
    """What is known of a run. One that cannot be read is a row too: none is ever dropped."""
    try:
        return _read(folder)
    except (OSError, ValueError, TypeError, AttributeError, LookupError, yaml.YAMLError) as error:
        first_line = str(error).partition("\n")[0]
        return {
            "run": folder.identity,
            "state": "unreadable",
            "tasks_done": 0,
            "reason": f"{type(error).__name__}: {first_line}",
        }


def _read(folder: RunFolder) -> dict[str, Any]:
    config, state, rows = folder.config(), _state(folder), _whole_rows(folder)
    tasks, done = config["dataset"]["tasks"], max(len(rows) - 1, 0)
    if state.status == "finished" and done != tasks:
        state.status = "incomplete"
        state.reason = f"tasks.csv holds {done:,} of {tasks:,} tasks, though the run was finished"
    return {
        "run": folder.identity,
        "state": state.status,
        "tasks_done": done,
        "score": score(_accuracies(rows)) if state.status == "finished" else None,
        "reason": state.reason,
        "attempt": state.attempt,
        "started": state.started,
        "updated": state.updated,
        "finished": state.finished,
        "seconds": state.seconds,
        "command": command(config),
        **{key: _plain(value) for key, value in flatten(config).items()},
        **{f"provenance.{key}": value for key, value in state.provenance.items()},
    }


def _state(folder: RunFolder) -> RunState:
    """The state, but "interrupted" where a run says that it is running and no process holds it."""
    state = folder.state()
    if state.status == "running" and not _held(folder):
        state = folder.state()  # it may have ended since
        if state.status == "running":
            state.status = "interrupted"
    return state


def _held(folder: RunFolder) -> bool:
    """Whether a process computes the run, as far as we can tell."""
    try:
        return holder(folder.path / "claim") is not None
    except (OSError, UserError):
        return True  # a directory that we may only read: its claims cannot be asked for


def _plain(value: Any) -> Any:
    """A config value that fits into a column: lists as text, such as "1,3", "none" where empty."""
    return ",".join(map(str, value)) or "none" if isinstance(value, list) else value


def _whole_rows(folder: RunFolder) -> list[bytes]:
    """The lines of a run's `tasks.csv`, header first, without a last one that is not whole."""
    try:
        text = (folder.path / "tasks.csv").read_bytes()
    except FileNotFoundError:
        return []
    return text[: text.rfind(b"\n") + 1].splitlines()


def _accuracies(rows: list[bytes]) -> list[float]:
    column = rows[0].split(b",").index(b"accuracy")
    return [float(row.split(b",", column + 1)[column]) for row in rows[1:]]


def _tasks(folder: RunFolder) -> pd.DataFrame:
    rows = _whole_rows(folder) or [b"task"]  # started anew a moment ago
    try:
        frame = pd.read_csv(io.BytesIO(b"\n".join(rows)), engine="pyarrow")
    except ValueError as error:
        raise UserError(f"{folder.path / 'tasks.csv'} cannot be read: {error}.") from error
    frame.insert(0, "run", folder.identity)
    return frame


def command(config: Mapping[str, Any]) -> str:
    """The command that computes a run: every key of its config spelt out, so that defaults may change.

    Args:
        config: nested plain values, as in `config.yaml`.
    """
    overrides = []
    for key, value in flatten(config).items():
        group, _, last = key.rpartition(".")
        shown = json.dumps(value, separators=(",", ":")) if isinstance(value, (list, bool)) else value
        overrides.append(shlex.quote(f"{group if last == 'name' else key}={shown}"))
    return " ".join(["python launch.py", *overrides])
