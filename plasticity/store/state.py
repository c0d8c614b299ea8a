"""The state of a run."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plasticity.store import rows

if TYPE_CHECKING:
    from plasticity.run import Run

STORED = ("new", "running", "stopped", "finished", "failed")


@dataclass
class RunState:
    """The state of a run. Times are seconds since 1970.

    Attributes:
        status: "new", "running", "stopped" (to be resumed), "finished" or "failed". Never stored: "held" (another
            process is computing it), "unreadable" (its state makes no sense) and "incomplete" (it says "finished",
            but its rows say otherwise).
        tasks_done: number of tasks whose rows are kept, as of the last write.
        score: mean score over the last 15 % of the rows, once finished.
        reason: why it failed, or what is wrong with it.
        attempt: how many times the run was started or resumed.
        started: when it was last started, by that machine's clock; for people to read.
        seconds: time spent in training, over all attempts.
        provenance: what computes it, or computed it last: engine, versions, git commit, host, process, and the code
            of its parts.
        attempts: the provenance of every attempt, each with its number and the task at which it began.
        restarts: the launches that have started it over, by their identities.
        score_name: what the score is called.
        higher_is_better: whether a higher score is better.
        percent: whether the score is shown in percent.
        tasks: number of tasks of the run; 0 in a state that was stored before this field existed.
        tasks_per_record: number of tasks that a row covers.
        measured: the diagnostics whose measures its rows hold, by name, each with its config values.
        notes: what a reader should know about this run, such as that it was started over, and why.
    """

    status: str = "new"
    tasks_done: int = 0
    score: float | None = None
    reason: str | None = None
    attempt: int = 0
    started: float | None = None
    updated: float | None = None
    finished: float | None = None
    seconds: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    score_name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True
    tasks: int = 0
    tasks_per_record: int = 1

    @classmethod
    def of(cls, text: str) -> "RunState":
        """The state that `text` wrote; keys of later versions are ignored.

        Raises:
            ValueError: when it is not a state.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or "status" not in values:
            raise ValueError("it is not the state of a run")
        state = cls(**{key: value for key, value in values.items() if key in _KINDS})
        for key, kinds in _KINDS.items():
            value = getattr(state, key)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise ValueError(f"{key} is {json.dumps(value)}")
        if not all(isinstance(attempt, dict) for attempt in state.attempts):
            raise ValueError("its attempts make no sense")
        if state.status not in STORED:
            raise ValueError(f"status is {json.dumps(state.status)}")
        if min(state.tasks_done, state.tasks, state.attempt) < 0 or state.tasks_per_record < 1:
            raise ValueError("it has a count below zero")
        return state

    @property
    def is_finished(self) -> bool:
        """Whether all of the run is there."""
        return self.status == "finished"

    @property
    def has_failed(self) -> bool:
        """Whether the run cannot be computed, or could not when it was last tried."""
        return self.status == "failed"

    @property
    def is_over(self) -> bool:
        """Whether the run has finished or failed."""
        return self.is_finished or self.has_failed

    @property
    def is_held(self) -> bool:
        """Whether another process is computing the run."""
        return self.status == "held"

    @property
    def is_ruined(self) -> bool:
        """Whether what is stored of the run makes no sense, so that it has to start over."""
        return self.status in ("unreadable", "incomplete")

    def describe(self, run: "Run") -> None:
        """Notes what the score of a run is, and how long the run is."""
        objective, dataset = run.dataset.objective, run.dataset
        self.score_name, self.higher_is_better = objective.score_name, objective.higher_is_better
        self.percent = objective.percent
        self.tasks, self.tasks_per_record = dataset.tasks, dataset.tasks_per_record

    def starts_over(self, restart: str | None) -> bool:
        """Whether a launch has yet to start the run over.

        Args:
            restart: the identity of a launch that starts each of its runs over, once; None for any other launch.
        """
        return restart is not None and restart not in self.restarts

    def begin(self, provenance: dict[str, Any], task: int) -> None:
        """Records what computes the present attempt, and the task at which it begins."""
        if self.provenance and not self.attempts:  # it was stored before attempts were recorded one by one
            self.attempts.append(self.provenance)
        self.provenance = provenance
        self.attempts.append({"attempt": self.attempt, "task": task} | provenance)

    def text(self) -> str:
        """The state as it is stored."""
        return json.dumps(asdict(self), indent=1)


_TIME = (int, float, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "status": (str,),
    "tasks_done": (int,),
    "score": (int, float, type(None)),
    "reason": (str, type(None)),
    "attempt": (int,),
    "started": _TIME,
    "updated": _TIME,
    "finished": _TIME,
    "seconds": (int, float),
    "provenance": (dict,),
    "attempts": (list,),
    "restarts": (list,),
    "notes": (list,),
    "measured": (dict,),
    "score_name": (str,),
    "higher_is_better": (bool,),
    "percent": (bool,),
    "tasks": (int,),
    "tasks_per_record": (int,),
}
"""The types that each value of a stored state may have."""


def judged(state: RunState, path: Path, tasks: int) -> RunState:
    """A state that says "finished", after a look at the rows: "incomplete" if they are not all there.

    Args:
        state: the state.
        path: the file of the rows.
        tasks: the number of tasks of the run.
    """
    done, problem = 0, None
    try:
        lines = rows.whole(path).splitlines()
        done = rows.check(lines, state.tasks_per_record, state.score_name) * state.tasks_per_record
        if done != tasks:
            problem = f"{path.name} holds {done:,} of {tasks:,} tasks"
        elif state.tasks_done != tasks or state.score is None:
            problem = f"state.json has {state.tasks_done:,} of {tasks:,} tasks and the score {state.score}"
    except (OSError, ValueError) as error:
        problem = f"{path.name} is invalid: {error}"
    if problem is None:
        return state
    reason = f"{problem}, though the run was finished"
    return replace(state, status="incomplete", tasks_done=done, score=None, reason=reason)
