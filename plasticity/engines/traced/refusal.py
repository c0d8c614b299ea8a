"""Refusals: why a part's code cannot be traced, and the line that is in the way."""

import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

HERE = str(Path(__file__).parent)


class Refused(Exception):
    """A part has no traced form. Its text says why: "torch.linalg.norm at mine.py:12"."""


def refused(what: str) -> Refused:
    """What is in the way, with the line of a part's code that does it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_inner(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return Refused(what)
    return Refused(f"{what} at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}")


def refused_by(error: BaseException) -> Refused:
    """An error that a part's code raised while it was traced."""
    if isinstance(error, Refused):
        return error
    lines = [one for one in traceback.extract_tb(error.__traceback__) if not _is_inner(one.filename)]
    place = f" at {Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else ""
    text = " ".join(str(error).split())[:100]
    return Refused(f"{type(error).__name__}{f' ({text})' if text else ''}{place}")


def not_traced(method: Any) -> Refused:
    """A part's method in place of the one that is traced: "Mine.gradient at mine.py:12"."""
    code = getattr(method, "__code__", None)
    place = f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""
    return Refused(f"{method.__qualname__}{place}")


def _is_inner(file: str) -> bool:
    """Whether code is that of the tracer, or of a library that a part calls."""
    return file.startswith((HERE, "<frozen")) or "site-packages" in Path(file).parts
