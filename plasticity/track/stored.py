"""A stored run as a publication: what people see of it at W&B."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from plasticity.errors import UserError
from plasticity.networks.mlp import Mlp
from plasticity.run import LEFT_OUT, Run, flatten, short_key
from plasticity.store import RunFolder, RunState
from plasticity.store.rows import number
from plasticity.track.publication import Publication, Row

ENDS = {"finished": "finished", "failed": "failed", "stopped": "preempted", "running": "preempted"}
"""How a run that is not being computed is shown, by its status. "running" is one whose process was killed."""

MOST_CHARACTERS = 128
"""The longest group or name that W&B takes."""

TABLE, CONFIG, STATE = "tasks.csv", "run.yaml", "state.json"
"""The files that a publication holds, from which the run's folder can be recreated."""


def publication(folder: RunFolder, tags: Sequence[str] = (), notes: str = "") -> Publication:
    """A run as it is stored, with every row, its whole table, its config and its state.

    Args:
        folder: the folder of a run that is not being computed at the moment.
        tags: further tags, in addition to that of its network.
        notes: as in W&B.

    Raises:
        UserError: for a run that has nothing to show, or whose folder makes no sense.
        Damaged, OSError, ValueError: if it cannot be read.
    """
    run, state = folder.run(), folder.state()
    if run.identity != folder.identity:
        raise UserError("its folder describes another run")
    if state.status not in ENDS or state.attempt == 0:
        raise UserError(state.reason or "it has not begun")
    rows = [{column: number(value) for column, value in row.items()} for row in folder.rows()]
    return Publication(
        identity=run.identity,
        attempt=state.attempt,
        name=name(run),
        group=group(run),
        job_type=replacement_set(run),
        tags=tuple(dict.fromkeys([*tags, network(run)])),
        notes=notes,
        config=config(run, state),
        rows=rows,
        summary=summary(run, state, rows),
        files={
            TABLE: (folder.path / "tasks.csv").read_bytes() if rows else b"",
            CONFIG: (folder.path / "config.yaml").read_bytes(),
            STATE: _public(state),
        },
        state=ENDS[state.status],
        stamp=stamp(state),
    )


def stamp(state: RunState) -> str:
    """A text that changes whenever a run is written to."""
    return f"{state.status} {state.attempt} {state.updated} {','.join(sorted(state.measured))}".strip()


def replacement_set(run: Run) -> str:
    """The layers whose units are replaced, in a word or two: all, none, layer 1, layers 1,3."""
    layers = list(run.replacement.layers)
    if not layers:
        return "none"
    if len(layers) == len(run.hidden_units):
        return "all"
    return f"layer{'s' * (len(layers) > 1)} {','.join(map(str, layers))}"


def network(run: Run) -> str:
    """The network in a few words: "5x100 relu", "300x150 relu" where layers differ, "cnn 8x16x64 relu"."""
    units = run.hidden_units
    equal = len(set(units)) == 1
    shape = f"{len(units)}x{units[0]}" if equal else "x".join(map(str, units))
    kind = [] if isinstance(run.model, Mlp) else [run.model.name]
    normalisation = getattr(run.model, "normalisation", "none")
    between = [] if normalisation == "none" else [normalisation]
    return " ".join([*kind, shape, *between, run.activation.name])


def group(run: Run) -> str:
    """All of a run but its seed: what differs from the paper's base run, as on the command line.

    A text that is too long is cut, and ends in a hash of all of it that tells it apart.
    """
    return _shortened(", ".join(f"{key}={value}" for key, value in _own(run).items()))


def name(run: Run) -> str:
    """What tells a run from others at a glance, such as "layer 1, width 20, step size 0.001, seed 2"."""
    shown = []
    for key, value in _own(run).items():
        if key != "replacement.layers":
            shown.append(f"{short_key(key)} {value}".replace("_", " "))
    return _shortened(", ".join([replacement_set(run), *shown, f"seed {run.seed}"]))


def config(run: Run, state: RunState) -> dict[str, Any]:
    """The run's nested values, what it is called, and what computed it."""
    provenance = {key: state.provenance.get(key) for key in ("engine", "version", "commit")}
    return run.values() | {
        "run": run.identity,
        "network": network(run),
        "replacement_set": replacement_set(run),
        "provenance": provenance,
    }


def summary(run: Run, state: RunState, rows: Sequence[Row]) -> dict[str, Any]:
    """What is shown of a run in one line. What was not measured is left out.

    A measure with a column per layer becomes one value: units replaced, summed over rows and layers; dead units,
    summed over the layers of the last row that has them; the effective rank, averaged over those.
    """
    steps = state.tasks_done * run.dataset.steps_per_task
    dead, ranks = _last(rows, "dead_units."), _last(rows, "effective_rank.")
    found = {
        "score": state.score,
        f"last_{state.score_name}": _final(rows, state.score_name),
        "weight_magnitude": _final(rows, "weight_magnitude"),
        "units_replaced": sum(value for row in rows for value in _under(row, "replaced.")) if rows else None,
        "dead_units": sum(dead) if dead else None,
        "effective_rank": sum(ranks) / len(ranks) if ranks else None,
        "tasks": state.tasks_done,
        "seconds": state.seconds,
        "steps_per_second": steps / state.seconds if state.seconds > 0 else None,
        "engine": state.provenance.get("engine"),
        "reason": state.reason,
    }
    return {key: value for key, value in found.items() if value is not None}


def _own(run: Run) -> dict[str, str]:
    """By dotted key, the values of a run that are not the base run's, and its replacement set; not its seed."""
    usual = flatten(LEFT_OUT)
    return {
        key: _shown(value)
        for key, value in flatten(run.values()).items()
        if key != "seed" and (key == "replacement.layers" or key not in usual or usual[key] != value)
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)


def _shortened(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    ending = f" … {hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return text[: MOST_CHARACTERS - len(ending)] + ending


def _final(rows: Sequence[Row], column: str) -> Any:
    return rows[-1].get(column) if rows else None


def _last(rows: Sequence[Row], prefix: str) -> list[float]:
    """The values of a measure, by layer, in the last row that has it."""
    return next((found for row in reversed(rows) if (found := _under(row, prefix))), [])


def _under(row: Row, prefix: str) -> list[float]:
    return [value for column, value in row.items() if column.startswith(prefix)]


def _public(state: RunState) -> bytes:
    """The state as it is stored, without the machine and the process."""
    values = asdict(state)
    for provenance in [values["provenance"], *values["attempts"]]:
        provenance.pop("host", None)
        provenance.pop("pid", None)
    return json.dumps(values, indent=1).encode()
