"""Commands that people are to run now, without the keys that are as by default."""

import shlex

from plasticity.composition.compose import compose
from plasticity.errors import UserError
from plasticity.run import Run

from .folders import command as whole


def brief(command: str, identity: str) -> str:
    """A command that computes the same run as a whole one, as long as defaults are what they are now.

    Args:
        command: with every key, as `analysis.folders.command` gives it.
        identity: of its run.

    Returns:
        the command itself, if nothing shorter computes that run: it may be one of another version, or have parts
        that cannot be imported here
    """
    start, overrides = "python launch.py", _overrides(command)
    try:
        default = _overrides(_whole(compose()))
        choices = [each for each in overrides if "." not in each.partition("=")[0] and each not in default]
        usual = _overrides(_whole(compose(*choices)))
        kept = [
            each for each in overrides if each in choices or each.startswith("seed=") or each not in usual
        ]
        same = compose(*kept).identity == identity
    except UserError:
        return command
    return " ".join([start, *map(shlex.quote, kept)]) if same else command


def _whole(run: Run) -> str:
    return whole(run.values())


def _overrides(command: str) -> list[str]:
    return shlex.split(command.removeprefix("python launch.py "))
