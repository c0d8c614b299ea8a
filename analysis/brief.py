"""Commands that people are to run now, without the keys that are as by default."""

import shlex

from plasticity.composition.compose import compose
from plasticity.errors import UserError

from .experiments import launch_command
from .folders import overrides


def brief(command: str, identity: str) -> str:
    """A command that computes the same run as a whole one, as long as defaults are what they are now.

    Args:
        command: with every key, as `analysis.folders.command` gives it.
        identity: of its run.

    Returns:
        the command itself, if nothing shorter computes that run: it may be one of another version, or have parts
        that cannot be imported here
    """
    given = shlex.split(command)[2:]
    try:
        default = _by_default()
        choices = [each for each in given if "." not in each.partition("=")[0] and each not in default]
        usual = _by_default(*choices)
        kept = [each for each in given if each in choices or each.startswith("seed=") or each not in usual]
        same = compose(*kept).identity == identity
    except UserError:
        return command
    return launch_command(None, *kept) if same else command


def _by_default(*choices: str) -> list[str]:
    """What some choices make of every key."""
    return overrides(compose(*choices).values())
