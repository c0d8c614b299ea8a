"""Continuation: whether a run may be resumed, given what computed it so far and what would compute the rest."""

from collections.abc import Mapping
from typing import Any

from plasticity.run import Run
from plasticity.training.provenance import code


class Outdated(Exception):
    """What was computed so far is not what the present code would have computed. The text says why."""


def check_code(then: Mapping[str, Any], run: Run) -> None:
    """Makes sure that the code which computed the run so far is the present one.

    Args:
        then: the provenance of the last attempt.
        run: the run.

    Raises:
        Outdated: when it is not, or nothing is known of it.
    """
    if not then:
        raise Outdated("state.json did not say what had computed it")
    if changed := other_code(then, run):
        raise Outdated(f"it was begun with other code for {', '.join(changed)}")


def other_code(then: Mapping[str, Any], run: Run) -> list[str]:
    """The parts of a run whose code is not what it was, as "key=name". Code that is not known counts as the same.

    Args:
        then: the provenance of an earlier attempt at the run.
        run: the run.
    """
    stored, now = then.get("code"), code(run)
    if not isinstance(stored, Mapping):
        return []
    return [part for part, digits in stored.items() if digits and now.get(part, digits) != digits]


def other_machine(then: Mapping[str, Any], now: Mapping[str, str | None]) -> str | None:
    """How what computes a run differs from what computed its earlier tasks; None if it doesn't.

    Args:
        then: the provenance of an earlier attempt.
        now: some of what `machine` returns.

    Returns:
        the end of a sentence, "under … instead of …"
    """
    if all(then.get(key, value) == value for key, value in now.items()):
        return None
    before = {key: then[key] for key in now if key in then}
    return f"under {_described(now)} instead of {_described(before)}"


def _described(values: Mapping[str, Any]) -> str:
    text = f"PyTorch {values.get('torch', '?')}"
    if "processor" in values:
        text += f" on {values['processor']} ({values.get('capability', '?')})"
    return text
