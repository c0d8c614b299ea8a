"""A directory of runs: the folders in it, and whether it can be written to."""

import tempfile
from pathlib import Path

from plasticity.errors import UserError
from plasticity.store.folder import RunFolder


def run_folders(runs_dir: Path) -> list[RunFolder]:
    """Every run in a directory of runs, in the order of their identities."""
    return [RunFolder(path.parent) for path in sorted(runs_dir.glob("*/config.yaml"))]


def prepare(runs_dir: Path) -> None:
    """Makes sure that runs can be written.

    Raises:
        UserError: when the directory cannot be made or written to.
    """
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs_dir) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise UserError(
            f"runs_dir={runs_dir} is refused: it must be a writable directory ({error.strerror})."
        ) from error
