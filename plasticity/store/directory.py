"""A directory of runs: the folders in it, and whether it can be written to."""

import errno
import os
import tempfile
from pathlib import Path

from plasticity.errors import Damaged, UserError
from plasticity.run import Run
from plasticity.store.folder import RunFolder


def run_folders(runs_dir: Path) -> list[RunFolder]:
    """Every run in a directory of runs, in the order of their identities."""
    return [RunFolder(path.parent) for path in sorted(runs_dir.glob("*/config.yaml"))]


def stored_run(folder: RunFolder) -> Run:
    """The run in a folder.

    Raises:
        UserError: when there is none, or its config cannot be read.
    """
    if not (folder.path / "config.yaml").exists():
        raise UserError(f"{folder.path} holds no run.")
    try:
        return folder.run()
    except Damaged as error:
        raise UserError(f"{folder.path}: {error}.") from error


def prepare(runs_dir: Path, dry: bool = False) -> None:
    """Makes sure that runs can be written.

    Args:
        runs_dir: the directory of runs, which is made if need be.
        dry: make and write nothing.

    Raises:
        UserError: when the directory cannot be made or written to.
    """
    try:
        if dry:
            there = next(path for path in (runs_dir, *runs_dir.parents) if path.exists())
            if not there.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(there, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs_dir) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise UserError(
            f"runs_dir={runs_dir} is refused: it must be a writable directory ({error.strerror})."
        ) from error
