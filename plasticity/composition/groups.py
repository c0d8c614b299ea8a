"""The folder `conf/`: its config groups, and the choices in each."""

from pathlib import Path

import plasticity


def conf_directory() -> Path:
    """The folder `conf/`: in a checkout, the package links to it; when installed, the package contains it."""
    return Path(plasticity.__file__).absolute().parent / "conf"


def is_group(name: str) -> bool:
    """Whether there is a config group of this name."""
    return bool(name) and (conf_directory() / name).is_dir()


def options(group: str) -> list[str]:
    """The choices in a group; none if there is no such group."""
    if not is_group(group):
        return []
    found = sorted(path.stem for path in (conf_directory() / group).glob("*.yaml"))
    return [*found, "layer_1", "layer_2"] if group == "replacement" else found
