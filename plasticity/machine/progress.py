"""Progress of anything that takes more than a moment, and how durations are shown."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Shows on a terminal what is being done, until it is."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what, spinner="line"):
        yield


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
