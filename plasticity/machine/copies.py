"""Copies of this process, for functions of objects that cannot be passed to another process."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from plasticity.machine.cores import cores
from plasticity.machine.processes import end_with_parent

_function: Callable[[Any], Any]
"""In a copy: what it computes."""


def in_copies(function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """What a function returns for each argument, computed in copies of this process, one for each core.

    Where the system makes no copies, it is computed here.

    Args:
        function: without side effects. What it prints in a copy is lost.
        arguments: can be pickled, as can what is returned.
    """
    number = min(cores(), len(arguments))
    if number > 1 and sys.platform == "linux":
        try:
            with ProcessPoolExecutor(number, get_context("fork"), _begin, (function,)) as copies:
                return list(copies.map(_call, arguments))
        except (OSError, BrokenExecutor):  # no memory, no further process
            pass
    return [function(argument) for argument in arguments]


def _begin(function: Callable[[Any], Any]) -> None:
    """Sets a copy up: it says nothing, our signal handlers do not suit it, and it must not outlive us if we are
    killed."""
    global _function
    _function = function
    sys.stdout = sys.stderr = nowhere = open(os.devnull, "w")
    os.dup2(nowhere.fileno(), 1)
    os.dup2(nowhere.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the original takes Ctrl-C for it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()


def _call(argument: Any) -> Any:
    return _function(argument)
