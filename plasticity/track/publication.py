"""What is published about a run."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

STATES = {"finished": 0, "failed": 1, "preempted": 1}
"""How a run may have ended, with the exit code that W&B derives its state from."""

RESERVED = ("config.yaml", "output.log", "requirements.txt", "conda-environment.yaml", "diff.patch")
"""Files that W&B itself writes into a run's folder, replacing any others; the same goes for `wandb-*`."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A run as plain data. Publishing does not know where it came from.

    Attributes:
        identity: what the run is; publications of one identity replace one another.
        attempt: how often it was computed.
        name: the name that people read.
        group: all of the config but the seed.
        job_type: the replacement set.
        tags, notes: as in W&B.
        config: nested; W&B shows `model.width` for {"model": {"width": …}}.
        rows: a row per task, in order, with the column `task`. Missing values (None, NaN) are left out.
        summary: the only values that the summary will have.
        files: the contents or the path of each file, by the name that it gets.
        images: those of the files that are shown as images, each under `image_key`.
        state: "finished", "failed" or "preempted".
        stamp: changes whenever the run is written to; equal stamps save a comparison of everything else.
        id: the id, if W&B chose it, as an agent of its sweeps does. The server may already have the run.
        sweep: id of the W&B sweep that it belongs to.
    """

    identity: str
    attempt: int
    name: str
    group: str
    job_type: str
    config: dict[str, Any]
    rows: "list[Row] | pd.DataFrame"
    summary: dict[str, Any]
    tags: tuple[str, ...] = ()
    notes: str = ""
    files: dict[str, Path | bytes] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    state: str = "finished"
    stamp: str = ""
    id: str | None = None
    sweep: str | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"a run is {', '.join(STATES)}, not {self.state}")
        reserved = [name for name in self.files if name in RESERVED or name.startswith("wandb-")]
        if reserved:
            raise ValueError(f"W&B writes {', '.join(reserved)} itself: give the file another name")
        records = self.rows if isinstance(self.rows, list) else self.rows.to_dict("records")
        object.__setattr__(self, "rows", [_present(row) for row in records])
        summary = {summary_key(name): _plain(value) for name, value in self.summary.items()}
        if len(summary) < len(self.summary) or any("task" not in row for row in records):
            raise ValueError("every row has a task, and no two summary values have the same key")
        object.__setattr__(self, "summary", summary)
        object.__setattr__(self, "tags", tuple(self.tags))

    def history(self, every: int, whole: bool = True) -> list[Row]:
        """Rows 0, every, 2 · every, … and, for a whole run, the last, each once, under W&B's keys."""
        last = range(len(self.rows))[-1:] if whole else range(0)
        kept = sorted({*range(0, len(self.rows), every), *last})
        return [{history_key(column): value for column, value in self.rows[index].items()} for index in kept]

    def digest(self, every: int) -> str:
        """A hash of all that is published: equal if publishing again would not change the results.

        Tags and notes are left out: launches that share a run may give it different ones, and would otherwise
        publish it again in turn.
        """
        files = {name: hashlib.sha256(self.contents(name)).hexdigest() for name in self.files}
        whole = [
            self.name, self.group, self.job_type, self.config, self.summary, self.state, self.history(every),
            files,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def contents(self, name: str) -> bytes:
        """The contents of a file."""
        file = self.files[name]
        return file if isinstance(file, bytes) else Path(file).read_bytes()


def history_key(column: str) -> str:
    """W&B's key of a column: `weight_magnitude.layer_1` becomes `weight_magnitude/layer_1`.

    A dot means a nested value in W&B: the pattern `*` of `define_metric` does not reach it, so such a column
    would lose its axis and add its last value to the summary. A `/` does neither, and makes each diagnostic a
    section of the workspace with a panel per layer.
    """
    if "/" in column:
        raise ValueError(f"the column {column} could not be told from one with a dot")
    return column.replace(".", "/")


def image_key(file: str) -> str:
    """W&B's key of an image: `table 1.png` becomes `figures/table_1`."""
    return f"figures/{summary_key(Path(file).stem)}"


def summary_key(name: str) -> str:
    """A name that W&B's table can sort and filter by: of letters, digits and `_` only."""
    return "".join(character if character.isascii() and character.isalnum() else "_" for character in name)


def _present(row: Mapping[Any, Any]) -> Row:
    """The values of a row that are not missing, as plain Python values."""
    plain = {str(column): _plain(value) for column, value in row.items()}
    return {column: value for column, value in plain.items() if not _missing(value)}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def differences(expected: Iterable[Row], arrived: Iterable[Mapping[str, Any]]) -> str | None:
    """What is wrong with the history that arrived, in words; None if each row is there once, as it was."""
    wanted, found = list(expected), list(arrived)
    if len(wanted) != len(found):
        return f"{len(found)} rows of {len(wanted)} arrived"
    for row, other in zip(wanted, found, strict=True):
        for key, value in row.items():
            if not same(value, other.get(key)):
                return f"{key} at task {row.get('task')} is {other.get(key)}, not {value}"
    return None


def same(value: Any, other: Any) -> bool:
    """Whether a value arrived unchanged. JSON has no infinity, so an infinity arrives as a word."""
    if isinstance(value, float) and math.isinf(value):
        return other is not None
    if isinstance(value, float | int) and isinstance(other, float | int):
        return math.isclose(value, other, rel_tol=1e-9)
    return bool(value == other)
