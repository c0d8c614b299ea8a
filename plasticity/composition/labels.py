"""Readable names for runs: what differs between them."""

from collections.abc import Sequence
from typing import Any

from plasticity.composition.methods import method_name
from plasticity.run import Run, flatten, number_text, short_key

OF_NO_METHOD = ("model", "activation", "dataset", "seed")
"""Groups whose keys methods hardly ever set: where no others differ, the methods' files are not read."""


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: the values of as few keys as tell them apart; for a single run, its identity.

    Its method stands for the keys that it sets where that makes the name shorter.
    """
    if len(runs) < 2:
        return [run.identity for run in runs]
    flat = [{key: _part(key, value) for key, value in flatten(run.values()).items()} for run in runs]
    kept = _kept(flat)
    if sum(key.partition(".")[0] not in OF_NO_METHOD for key in kept) > 1:
        settings = {run.without_seed: run for run in runs}
        methods = {setting: f"method {method_name(run)}" for setting, run in settings.items()}
        with_method = [
            {"method": methods[run.without_seed]} | one for run, one in zip(runs, flat, strict=True)
        ]
        others = _kept(with_method)
        if len(others) < len(kept):
            flat, kept = with_method, others
    return [name or "run" for name in _joined(flat, kept)]


def _kept(flat: Sequence[dict[str, str]]) -> list[str]:
    """As few keys as tell runs apart, the first rather than the last."""
    keys = list(dict.fromkeys(key for values in flat for key in values))
    kept = [key for key in keys if len({values.get(key) for values in flat}) > 1]
    told_apart = len(set(_joined(flat, kept)))
    for key in reversed(kept):
        without = [other for other in kept if other != key]
        if len(set(_joined(flat, without))) == told_apart:
            kept = without
    return kept


def named(run: Run, label: str) -> str:
    """What a run is called, and its identity."""
    return run.identity if label == run.identity else f"{label} ({run.identity})"


def _joined(flat: Sequence[dict[str, str]], keys: Sequence[str]) -> list[str]:
    return [" ".join(values[key] for key in keys if key in values) for values in flat]


def _part(key: str, value: Any) -> str:
    if isinstance(value, list):
        value = ",".join(map(str, value)) or "none"
    shown = number_text(value) if isinstance(value, float) else value
    return f"{short_key(key)} {shown}"
