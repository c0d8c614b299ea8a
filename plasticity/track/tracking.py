"""A tracker at work: what the launcher tells, of which runs, and when."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from plasticity.run import Run
    from plasticity.store import RunState

LEAVE_SECONDS = 10.0
"""How long a launch that is stopped waits for its tracker."""


class Tracking(Protocol):
    """A tracker at work for one launch. It raises nothing; only `wait` and `leave` take any time."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None:
        """Abandons what has not been tracked yet."""

    def began(self, run: "Run") -> None:
        """To be called when a run has begun, or has been resumed."""

    def ended(self, run: "Run", state: "RunState") -> None:
        """To be called when a run has ended, or was stopped."""

    def catch_up(self, runs: Iterable["Run"]) -> None:
        """To be called with the runs that were finished before."""

    def wait(self, stop: Callable[[], object], seconds: float | None = None) -> None:
        """Waits until everything is tracked or has failed; at most for `seconds`, or until `stop()` is true."""

    def leave(self) -> None:
        """To be called before a launch that was told to stop ends, with runs that it leaves."""

    def lines(self) -> list[str]:
        """Closing lines for the user: what was tracked, what was not, and why."""
