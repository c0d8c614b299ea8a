"""Output that may have no reader: a full disk behind a log, a pipe whose reader left, a closed terminal."""

import os
import sys
from typing import Any, TextIO


class Unread:
    """A text stream that drops what it cannot write, since no run depends on anybody watching.

    Args:
        stream: the stream to write to; all other attributes are those of this stream.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes a text, or drops it."""
        try:
            return self.stream.write(text)
        except (OSError, ValueError):  # the stream fails, or is closed
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Writes some texts, or drops them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes what was written, or drops it."""
        try:
            self.stream.flush()
        except (OSError, ValueError):
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def show_any_text() -> None:
    """Prepares this process for a terminal that is not UTF-8: characters that it lacks are replaced."""
    for stream in (sys.stdout, sys.stderr):
        lacks_some = "utf" not in str(getattr(stream, "encoding", None)).lower()
        if lacks_some and getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def expect_no_reader() -> None:
    """Prepares this process for output that may have no reader, or a reader without some characters.

    Closed descriptors are opened on the null device, so that the next file to be opened does not get their number.
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
    show_any_text()
