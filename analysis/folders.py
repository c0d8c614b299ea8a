"""Run folders as frames."""

import io
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity.errors import UserError
from plasticity.machine.progress import tracked
from plasticity.run import LEFT_OUT, completed, flatten
from plasticity.store import RunFolder, RunState, run_folders, total_tasks
from plasticity.store import rows as stored_rows
from plasticity.store.claim import holder
from plasticity.training.score import score


class Folders:
    """A directory that holds a folder per run."""

    def __init__(self, path: Path):
        self.path = path

    def summaries(self) -> pd.DataFrame:
        """A row per run; the columns are explained by `analysis.load.summarise`."""
        folders = tracked(run_folders(self.path), "Reading runs")
        return pd.DataFrame([_summary(folder) for folder in folders])

    def rows(self, runs: Iterable[str]) -> pd.DataFrame:
        """The rows of some runs: `run` and the columns of their `tasks.csv`."""
        frames = [_rows(RunFolder(self.path / run)) for run in tracked(list(runs), "Reading rows")]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"run": []})


def _summary(folder: RunFolder) -> dict[str, Any]:
    """What is known of a run. One that cannot be read has a row, too: none is ever left out."""
    try:
        return _read(folder)
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        first_line = str(error).partition("\n")[0]
        return {
            "run": folder.identity,
            "status": "unreadable",
            "tasks_done": 0,
            "reason": first_line
            if isinstance(error, ValueError)
            else f"{type(error).__name__}: {first_line}",
        }


def _read(folder: RunFolder) -> dict[str, Any]:
    config, state = completed(folder.config()), _state(folder)
    if state.status == "unreadable":
        raise ValueError(state.reason)
    _check_kinds(flatten(config))
    scores = [] if state.status == "incomplete" else _scores(folder, state)
    done = state.tasks_done if state.status == "incomplete" else len(scores) * state.tasks_per_record
    return {
        "run": folder.identity,
        "status": state.status,
        "tasks_done": done,
        "total_tasks": total_tasks(config, state),
        "score": score(scores) if state.status == "finished" else None,
        "score_name": state.score_name,
        "higher_is_better": state.higher_is_better,
        "percent": state.percent,
        "reason": state.reason,
        "attempt": state.attempt,
        "started": state.started,
        "updated": state.updated,
        "finished": state.finished,
        "seconds": state.seconds,
        "command": command(config),
        **config_values(config),
        **{
            f"provenance.{key}": value
            for key, value in state.provenance.items()
            if not isinstance(value, dict)
        },
    }


def _check_kinds(config: Mapping[str, Any]) -> None:
    """Checks that values fit the columns of other runs.

    Raises:
        ValueError: naming the first that does not.
    """
    for key, usual in flatten(LEFT_OUT).items():
        kinds = (str,) if isinstance(usual, str) else (int, float, type(None))
        if not isinstance(config.get(key, usual), kinds):
            raise ValueError(f"config.yaml is invalid: {key} is {config[key]!r}")


def _state(folder: RunFolder) -> RunState:
    """The state, but "interrupted" if a run is said to be running and no process holds it."""
    state = folder.state()
    if state.status == "running" and not _held(folder):
        state = folder.state()  # it may have ended since
        if state.status == "running":
            state.status = "interrupted"
    return state


def _held(folder: RunFolder) -> bool:
    """Whether a process is computing the run, as far as we can tell."""
    try:
        return holder(folder.path / "claim") is not None
    except (OSError, UserError):
        return True  # a read-only directory: its claims cannot be tested


def config_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config by dotted key, in a form that fits columns: lists as text, such as "1,3", "none" if empty.

    Args:
        config: nested plain values, as in `config.yaml`.
    """
    return {
        key: ",".join(map(str, value)) or "none" if isinstance(value, list) else value
        for key, value in flatten(config).items()
    }


def _scores(folder: RunFolder, state: RunState) -> list[float]:
    """The score of each whole row.

    Raises:
        ValueError: when they make no sense.
    """
    path, scores = folder.path / "tasks.csv", list[float]()
    try:
        stored_rows.check(stored_rows.whole(path).splitlines(), state.tasks_per_record, state.score_name)
    except ValueError as error:
        raise ValueError(f"tasks.csv is invalid: {error}") from error
    for header, lines in stored_rows.sections(path):
        column = header.split(b",").index(state.score_name.encode())
        scores += [float(line.split(b",", column + 1)[column]) for line in lines]
    return scores


def _rows(folder: RunFolder) -> pd.DataFrame:
    """The whole rows of a run; a row without one of the columns has NaN there.

    Raises:
        UserError: when they cannot be read.
    """
    path = folder.path / "tasks.csv"
    frames = []
    try:
        for header, lines in stored_rows.sections(path):
            text = b"\n".join([header, *lines])
            frames.append(pd.read_csv(io.BytesIO(text), engine="pyarrow"))
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({stored_rows.KEY: []})
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    frame.insert(0, "run", folder.identity)
    return frame


def command(config: Mapping[str, Any]) -> str:
    """The command that computes a run, with every key of its config spelt out so that defaults may change.

    Args:
        config: nested plain values, as in `config.yaml`.
    """
    return " ".join(["python launch.py", *map(shlex.quote, overrides(config))])


def overrides(config: Mapping[str, Any]) -> list[str]:
    """Every key of a run's config with its value, as on the command line.

    Args:
        config: nested plain values, as in `config.yaml`.
    """
    found = []
    for key, value in flatten(config).items():
        group, _, last = key.rpartition(".")
        if last == "name":
            key = {"replacement": "replacement/method"}.get(group, group)
        shown = json.dumps(value, separators=(",", ":")) if isinstance(value, (list, bool)) else value
        found.append(f"{key}={shown}")
    return found
