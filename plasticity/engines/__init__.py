"""How a run is computed: the reference engine takes any parts and is the definition, the native one is fast."""

from dataclasses import dataclass
from functools import cache

from plasticity.engines.engine import Engine, Learner, TaskResult
from plasticity.errors import UserError
from plasticity.run import Run

__all__ = ["ENGINES", "Choice", "Engine", "Learner", "TaskResult", "choose", "get", "resuming"]

ENGINES = ("native", "reference")
"""The fastest first."""


@dataclass(frozen=True)
class Choice:
    """The engine that computes a run.

    Attributes:
        engine: its name.
        reason: why it is not a faster one; None where there is none.
    """

    engine: str
    reason: str | None = None


@cache
def get(name: str) -> Engine:
    """An engine by its name. Importing one may take seconds, naming it must not."""
    if name == "native":
        from plasticity.engines.native import NativeEngine

        return NativeEngine()
    from plasticity.engines.reference import ReferenceEngine

    return ReferenceEngine()


def choose(setting: str, run: Run) -> Choice:
    """The engine for a run on this machine.

    Args:
        setting: an engine's name, or "auto" for the fastest one that can compute the run.
        run: the run.

    Raises:
        UserError: where the engine that was asked for cannot compute the run, with the reason.
    """
    if setting == "reference":
        return Choice("reference")
    reason = get("native").unsupported(run)
    if reason is None:
        return Choice("native")
    if setting == "native":
        raise UserError(f"engine=native cannot compute this run: {reason}. engine=auto takes another one.")
    return Choice("reference", reason)


def resuming(began: str, setting: str, chosen: Choice, run: Run) -> Choice:
    """The engine that resumes a run: the one that began it, since engines round differently.

    Args:
        began: the engine that began the run.
        setting: an engine's name, or "auto".
        chosen: the engine that would start it now.
        run: the run.

    Raises:
        UserError: where that engine may not, or cannot, compute it now.
    """
    if began == chosen.engine:
        return chosen
    if setting == "auto" and began in ENGINES and get(began).unsupported(run) is None:
        return Choice(began, "it began this run")
    raise UserError(f"it was begun by engine={began}, whose checkpoint engine={chosen.engine} cannot resume")
