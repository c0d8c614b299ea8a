"""How a command begins and ends."""

import os
import signal
import sys
from collections.abc import Callable

from plasticity.errors import UserError
from plasticity.machine.interrupt import interruptible
from plasticity.machine.output import show_any_text


def command(main: Callable[[], None]) -> None:
    """Runs a command; an error that the user can fix ends it with a sentence and exit code 1."""
    os.environ["MPLBACKEND"] = "agg"  # not a notebook's, or what needs a display
    if sys.stdout is None:
        sys.exit("There is no standard output to write to.")
    show_any_text()
    try:
        try:
            with interruptible():
                main()
        finally:
            sys.stdout.flush()
    except UserError as error:
        sys.exit(str(error))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _drop_output()
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        _drop_output()
        sys.exit(f"{error.filename or 'Standard output'} cannot be read or written ({error.strerror}).")


def _drop_output() -> None:
    """Keeps Python from trying again, at exit, to write what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
