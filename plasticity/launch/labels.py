"""Readable names for runs: what differs between them."""

from collections.abc import Sequence
from typing import Any

from plasticity.run import Run, flatten


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: the values of the keys that vary among them; its identity for a run alone."""
    if len(runs) < 2:
        return [run.identity for run in runs]
    flat = [flatten(run.values()) for run in runs]
    keys = list(dict.fromkeys(key for values in flat for key in values))
    varying = [key for key in keys if len({repr(values.get(key)) for values in flat}) > 1]
    parts = [[_part(key, values[key]) for key in varying if key in values] for values in flat]
    return [" ".join(part) or "run" for part in parts]


def _part(key: str, value: Any) -> str:
    section, _, last = key.rpartition(".")
    if isinstance(value, list):
        value = ",".join(map(str, value)) or "none"
    shown = f"{value:g}" if isinstance(value, float) else value
    return f"{section if last == 'name' else last} {shown}"
