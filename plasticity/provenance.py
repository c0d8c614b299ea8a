"""Where a result comes from: what computed it, on what machine, from which version of the code."""

import os
import platform
import socket
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plasticity import __version__


def provenance(engine: str) -> dict[str, Any]:
    """Engine, versions, git commit, host and process: plain values for a run's state."""
    return {
        "engine": engine,
        "version": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The git commit of the code, with "-dirty" behind it if the code was edited since; None outside git."""
    frozen = os.environ.get("PLASTICITY_COMMIT")
    if frozen:
        return frozen
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
