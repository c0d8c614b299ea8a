"""How a run stands."""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class RunState:
    """How a run stands. Times are seconds since 1970.

    Attributes:
        status: "new", "running", "stopped" (to be resumed), "finished" or "failed"; never stored, "held": another
            process is computing it.
        tasks_done: number of tasks whose rows are kept, as of the last write.
        score: mean score over the last 15 % of the rows, once finished.
        reason: why it failed.
        attempt: how many times the run was started or resumed.
        seconds: time spent in training, over all attempts.
        provenance: what computed it: engine, versions, git commit, host, process, and the code of its parts.
        score_name, higher_is_better: what the score is, and which is the better of two.
        tasks_per_record: number of tasks that a row is about.
        notes: what a reader has to know of this run, such as that it was started over, and why.
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
    notes: list[str] = field(default_factory=list)
    score_name: str = "accuracy"
    higher_is_better: bool = True
    tasks_per_record: int = 1

    @classmethod
    def of(cls, text: str) -> "RunState":
        """The state that `text` wrote down, keys of later versions ignored.

        Raises:
            ValueError: when it is no state.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is no state of a run")
        known = {entry.name for entry in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def text(self) -> str:
        """The state as it is stored."""
        return json.dumps(asdict(self), indent=1)
