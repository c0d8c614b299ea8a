"""`config.yaml` in the folder of a run: what the run is, resolved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from plasticity.machine.files import atomic_write
from plasticity.run import Run, completed, flatten
from plasticity.store.state import RunState

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write(path: Path, run: Run) -> None:
    """Replaces the file with the values of a run."""
    atomic_write(path, yaml.dump(run.values(), Dumper=_DUMPER, sort_keys=False))


def read(path: Path) -> dict[str, Any]:
    """What the file says, as nested plain values.

    Raises:
        OSError, ValueError: when it cannot be read.
    """
    try:
        config = yaml.load(path.read_text(), Loader=_LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML ({str(error).partition(chr(10))[0]})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path.name} does not describe a run")
    return config


def differences(found: Run, asked: Run) -> str:
    """The values in which a run differs from the one asked for, such as "seed=1 instead of 0"."""
    ours, theirs = flatten(asked.values()), flatten(found.values())
    different = [key for key in ours | theirs if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key}={theirs.get(key)} instead of {ours.get(key)}" for key in different)


def total_tasks(config: Mapping[str, Any], state: RunState) -> int:
    """The number of tasks of a run, from its config or, for a data set that counts differently, from its state."""
    return int(completed(config)["dataset"].get("tasks", state.tasks))
