"""Errors that end a command with a sentence instead of a traceback, and a sentence for any other error."""

import errno


class UserError(Exception):
    """A mistake that the user can correct. Its text is the whole message: what is wrong, and what is valid."""


class ConfigError(UserError):
    """A config value that cannot be run.

    Args:
        key: the config key as typed on the command line, such as `model.width`.
        value: the refused value; ... where only the key is known.
        valid: what would be valid, as the end of the sentence "… is refused: it must be <valid>."
    """

    def __init__(self, key: str, value: object, valid: str):
        given = key if value is ... else f"{key}={value}"
        super().__init__(f"{given} is refused: it must be {valid}.")
        self.key, self.value, self.valid = key, value, valid

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return type(self), (self.key, self.value, self.valid)  # launchers pass it between processes


class ImpossibleLayer(ConfigError):
    """A replacement set with a layer that the network does not have."""


class Diverged(Exception):
    """The loss is no longer finite. This fails only the run in which it happens.

    Args:
        task: number of the task, from 0.
        step: number of the step within the task, from 0.
    """

    def __init__(self, task: int, step: int):
        super().__init__(f"diverged in task {task} at step {step}: the loss is no longer finite")
        self.task, self.step = task, step

    @staticmethod
    def caused(reason: str | None) -> bool:
        """Whether it is the reason why a run failed."""
        return (reason or "").startswith("diverged in task ")


class Damaged(Exception):
    """A file in a run's folder cannot be read. The text says which, and why."""


EXPECTED = (Diverged, Damaged, UserError, MemoryError, OSError)
"""Errors that `reason` explains in full, without a traceback."""

LONGEST = 300
"""Number of characters of an unexpected error that are shown: a compiler's can have a thousand lines."""


def reason(error: BaseException) -> str:
    """Why a run failed, in a sentence."""
    if isinstance(error, (Diverged, Damaged, UserError)):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk that runs_dir is on is full; with more room, the same command resumes the run"
    if isinstance(error, OSError):
        return (
            f"{error.strerror or error}: {error.filename}" if error.filename else f"{error.strerror or error}"
        )
    text = one_line(str(error))
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
    return f"{type(error).__name__}: {shown} (see traceback.txt)"


def one_line(text: str) -> str:
    """A text in one line, for tables and sentences."""
    return " ".join(text.split())
