"""The folders that belong to a user."""

import os
import tempfile
from pathlib import Path

from plasticity.errors import UserError


def expanded(path: str | Path) -> Path:
    """A path whose leading ~ is replaced by the home folder.

    Raises:
        UserError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = Path(path).parts[0]
        raise UserError(
            f"{path} is refused: {home} is no user's home folder here; give the whole path."
        ) from error


def cache() -> Path:
    """`plasticity` in the user's cache folder: in $XDG_CACHE_HOME, else in ~/.cache.

    A user without a home gets a folder in the temporary one, which no other user can write to.

    Raises:
        UserError: another user has made that folder.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return expanded(chosen) / "plasticity"
    try:
        return Path("~/.cache/plasticity").expanduser()
    except RuntimeError:  # neither $HOME nor an entry among the system's users
        return _homeless()


def data(root: str | Path | None = None) -> Path:
    """Where data sets are kept: root, else $PLASTICITY_DATA, else `cache()`. Raises UserError, as they do."""
    chosen = root or os.environ.get("PLASTICITY_DATA")
    return expanded(chosen) if chosen else cache()


def _homeless() -> Path:
    folder = Path(tempfile.gettempdir()) / f"plasticity-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UserError(
            f"{folder} is not yours alone, and you have no home folder: set the environment variable "
            "XDG_CACHE_HOME to a folder of yours."
        )
    return folder
