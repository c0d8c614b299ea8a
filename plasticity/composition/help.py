"""What --help prints: the text in `conf/hydra/help/plasticity.yaml`, with the groups and their choices.

Hydra would print the same with hydra/help=plasticity, but takes three times as long as feels instant.
"""

import textwrap
from collections.abc import Iterable
from pathlib import Path

import yaml

from plasticity.composition.groups import conf_directory

WIDTH = 118
"""The length of the longest line of the text in that file."""


def help_text(config_dirs: Iterable[Path] = ()) -> str:
    """The help, with the choices in `conf/` and in further directories of configs."""
    text = yaml.safe_load(
        (conf_directory() / "hydra" / "help" / "plasticity.yaml").read_text(encoding="utf-8")
    )
    choices: dict[str, set[str]] = {}
    for directory in (conf_directory(), *config_dirs):
        for path in directory.glob("*/**/*.yaml"):
            group = path.parent.relative_to(directory).as_posix()
            choices.setdefault(group, set()).add(path.stem)
    groups = [
        textwrap.fill(
            f"{group}: {', '.join(sorted(names))}", WIDTH, subsequent_indent="  ", break_long_words=False
        )
        for group, names in sorted(choices.items())
        if group[:5] != "hydra" and group != "table"  # these are for the analysis
    ]
    return str(text["template"]).replace("$APP_CONFIG_GROUPS", "\n".join(groups))
