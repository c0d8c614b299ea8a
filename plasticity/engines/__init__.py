"""How a run is computed: the reference engine accepts any parts and is the definition; the native one is fast.

The compiled engine is in between: it accepts any parts, too, but takes a minute to start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from plasticity.engines.compiled import WORTHWHILE
from plasticity.engines.engine import Engine, Learner, TaskResult
from plasticity.errors import ConfigError, UserError
from plasticity.part import Part, one_of
from plasticity.run import Run

__all__ = [
    "ENGINES",
    "Choice",
    "Engine",
    "Learner",
    "TaskResult",
    "choose",
    "confirmed",
    "decide",
    "get",
    "resuming",
]

ENGINES = ("native", "compiled", "reference")
"""The fastest first."""


@dataclass(frozen=True)
class Choice:
    """The engine that computes a run.

    Attributes:
        engine: its name.
        reason: why it is not a faster one, if there is a reason to give.
    """

    engine: str
    reason: str | None = None


@cache
def get(name: str) -> Engine:
    """An engine by its name. It is imported here, not at the top, since that may take seconds."""
    if name == "native":
        from plasticity.engines.native import NativeEngine

        return NativeEngine()
    if name == "compiled":
        from plasticity.engines.compiled import CompiledEngine

        return CompiledEngine()
    from plasticity.engines.reference import ReferenceEngine

    return ReferenceEngine()


def choose(setting: str, run: Run) -> Choice:
    """The engine for a run on this machine.

    Args:
        setting: an engine's name, or "auto" for the fastest one that can compute the run.
        run: the run.

    Raises:
        UserError: if there is no such engine, or it cannot compute the run, with the reason.
    """
    if setting not in ("auto", *ENGINES):
        raise ConfigError("engine", setting, one_of(("auto", *ENGINES)))
    if setting == "reference":
        return Choice("reference")
    if setting != "auto":
        if reason := get(setting).unsupported(run):
            raise UserError(
                f"engine={setting} cannot compute this run: {reason}. engine=auto chooses another."
            )
        return Choice(setting)
    reason = get("native").unsupported(run)
    if reason is None:
        return Choice("native")
    if run.steps < WORTHWHILE:
        return Choice("reference", reason)
    missing = get("compiled").unsupported(run)
    return Choice("reference", f"{reason}, and {missing}") if missing else Choice("compiled", reason)


def decide(setting: str, runs: Iterable[Run]) -> list[Choice]:
    """The engine for each of some runs on this machine: the same one for runs that differ only by their seeds.

    Raises:
        UserError: as `choose`, naming the run.
    """
    decided: dict[tuple[Part, ...], Choice] = {}
    choices = []
    for run in runs:
        sweep = run.without_seed
        if sweep not in decided:
            try:
                decided[sweep] = choose(setting, run)
            except UserError as error:
                raise UserError(f"{run.identity}: {error}") from error
        choices.append(decided[sweep])
    return choices


def confirmed(decided: Choice, run: Run) -> Choice:
    """The engine that was decided on for a run, perhaps on another machine or some time ago.

    Raises:
        UserError: if it cannot compute the run here and now. No other takes its place: engines round differently,
            so one computes all seeds.
    """
    if reason := get(decided.engine).unsupported(run):
        raise UserError(
            f"engine={decided.engine}, which computes all seeds of this run, cannot compute it here and now: "
            f"{reason}; the same command retries it, and engine=reference force=true computes all seeds anew"
        )
    return decided


def resuming(began: str, setting: str, chosen: Choice, run: Run) -> Choice:
    """The engine that resumes a run: the one that began it, since engines round differently.

    Args:
        began: the engine that began the run.
        setting: an engine's name, or "auto".
        chosen: the engine that would start it now.
        run: the run.

    Raises:
        UserError: if that engine may not, or cannot, compute it now.
    """
    if began == chosen.engine:
        return chosen
    missing = get(began).unsupported(run) if began in ENGINES else "there is no such engine"
    if setting == "auto" and missing is None:
        return Choice(began, "it began this run")
    why = f" ({missing})" if missing else ""
    raise UserError(
        f"it was begun by engine={began}{why}, whose checkpoint engine={chosen.engine} cannot resume; force=true "
        "starts it over"
    )
