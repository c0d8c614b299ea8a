"""Files of a group that hold only values: Hydra composes their common form once, to be filled in with values."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

FORMS: dict[str, tuple[DictConfig, str | None]] = {}
"""The forms made so far, by path, such as "activation/form_1a2b": a config of placeholders, and its package."""


@dataclass(frozen=True)
class PlainFile:
    """A file of a group, split into what Hydra composes and the values that go into it.

    Args:
        choice: the override that chooses its form, a config that holds placeholders.
        values: its values by placeholder.
    """

    choice: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, group: str, file: Any) -> "PlainFile | None":
        """Splits a loaded file of a group (Hydra's `ConfigResult`); returns None for one with settings of Hydra."""
        content: Any = OmegaConf.to_container(file.config, resolve=False)
        if not isinstance(content, dict) or "hydra" in content:
            return None
        defaults = content.pop("defaults", None)
        values = dict(leaves(content))
        package = file.header["package"]
        form = json.dumps([defaults, package, list(values)])
        name = f"form_{hashlib.sha256(form.encode()).hexdigest()[:12]}"
        marks = {key: f"<{group}/{name}: {key}>" for key in values}
        if OmegaConf.to_container(_tree(values)) != content:  # it has keys with dots in them
            return None
        node = _tree(marks if defaults is None else {"defaults": defaults, **marks})
        FORMS[f"{group}/{name}"] = node, package
        return cls(f"{group}={name}", {marks[key]: value for key, value in values.items()})


def is_mark(value: Any) -> bool:
    """Whether a value is a placeholder."""
    return isinstance(value, str) and value.startswith("<") and "/form_" in value


def _tree(values: Mapping[str, Any]) -> DictConfig:
    """Values by dotted key as nested nodes."""
    tree = OmegaConf.create()
    for key, value in values.items():
        OmegaConf.update(tree, key, value, force_add=True)
    return tree


def leaves(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values below a node that are not dictionaries, by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
