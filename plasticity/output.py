"""Output that nobody may be reading: a full disk behind a log, a pipe whose reader left, a closed terminal."""

import os
import sys
from typing import Any, TextIO


class Unread:
    """A text stream that drops what it cannot write, since no run depends on anybody watching.

    Args:
        stream: the stream to write to; what else is asked of it, it answers.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes a text, or drops it."""
        try:
            return self.stream.write(text)
        except (OSError, ValueError):  # it fails, or is closed
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Writes some texts, or drops them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Sends what is written on its way, or drops it."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def expect_no_reader() -> None:
    """Makes this process's output one that may have no reader.

    Descriptors that are closed come to lead nowhere, lest the next file that is opened gets their number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")
        if not isinstance(stream, Unread):
            setattr(sys, name, Unread(stream))
