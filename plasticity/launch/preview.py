"""What a dry run says that it would compute: a line for each group of runs that differ in their seeds alone."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from plasticity.composition.labels import labels
from plasticity.launch.estimate import spoken
from plasticity.launch.plan import Plan
from plasticity.part import Part
from plasticity.run import Run

MOST = 60
"""The most lines of a table."""

HEAD = ("seeds", "engine", "steps", "time each", "run")


def preview(todo: Plan, per_step: Sequence[float], runs: Sequence[Run]) -> list[str]:
    """The table of what would be computed, in the order asked for; nothing if there is nothing to compute.

    Args:
        todo: the plan.
        per_step: seconds per step of each of its runs to compute.
        runs: those of them to show.
    """
    if not runs:
        return []
    chosen = {run.identity for run in runs}
    places = {run.identity: place for place, run in enumerate(todo.to_compute) if run.identity in chosen}
    groups: dict[tuple[tuple[Part, ...], str], list[Run]] = {}
    for run in todo.asked:
        if run.identity in places:
            engine = todo.engines[places[run.identity]].engine
            groups.setdefault((run.without_seed, engine), []).append(run)
    settings = [replace(alike[0], seed=0) for alike in groups.values()]
    named = _names(settings)
    rows = [HEAD]
    for setting, ((_, engine), alike) in zip(settings, groups.items(), strict=True):
        own = [places[run.identity] for run in alike]
        steps = max(todo.steps_left[place] for place in own)
        seconds = max(per_step[place] * todo.steps_left[place] for place in own)
        rows.append((_seeds(alike), engine, f"{steps:,}", spoken(seconds), named[setting]))
    more = [f"… and {len(rows) - 1 - MOST} more lines like these."] if len(rows) - 1 > MOST else []
    return [*_aligned(rows[: MOST + 1]), *more]


def _names(settings: Sequence[Run]) -> dict[Run, str]:
    """What tells some settings apart; one alone goes by its parts."""
    distinct = list(dict.fromkeys(settings))
    if len(distinct) > 1:
        return dict(zip(distinct, labels(distinct), strict=True))
    parts = [f"{key}={part.name}" for key, part in distinct[0].parts().items() if part.name != "none"]
    return {distinct[0]: " ".join(map(shlex.quote, parts))}


def _seeds(runs: Sequence[Run]) -> str:
    """The seeds of some runs: "0", "0, 2", "0 to 9"."""
    seeds = sorted(run.seed for run in runs)
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
