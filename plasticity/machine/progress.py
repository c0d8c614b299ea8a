"""Progress of anything that takes more than a moment, and how durations are shown."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """Yields items one by one, with a progress bar on a terminal.

    Args:
        items: the items that are worked on.
        what: the bar's name.
        total: how many they are; None for the items' own length.
    """
    from rich.console import Console  # commands that show none start sooner without it
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, total, console=console, transient=True, disable=not console.is_terminal)


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
