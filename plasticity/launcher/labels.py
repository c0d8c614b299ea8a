"""Names for runs that people can tell apart: what differs between them."""

from collections.abc import Mapping, Sequence
from typing import Any

from plasticity.config import RunConfig


def labels(configs: Sequence[RunConfig]) -> list[str]:
    """A name for each run: the values of the keys that vary among them; its identity for a run alone."""
    if len(configs) < 2:
        return [config.identity for config in configs]
    flat = [flatten(config.values()) for config in configs]
    varying = [key for key in flat[0] if len({repr(values.get(key)) for values in flat}) > 1]
    return [" ".join(_part(key, values.get(key)) for key in varying) or "run" for values in flat]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key, as on the command line."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _part(key: str, value: Any) -> str:
    section, _, last = key.rpartition(".")
    if isinstance(value, list):
        value = ",".join(map(str, value)) or "none"
    shown = f"{value:g}" if isinstance(value, float) else value
    return f"{section if last == 'name' else last} {shown}"
