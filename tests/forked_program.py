"""What a fork runs, as an interpreter would that had started with it."""

import atexit
import contextlib
import dataclasses
import importlib.util
import os
import runpy
import sys
import tempfile
import threading
from pathlib import Path

from plasticity.datasets import images
from plasticity.machine import folders

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Program:
    """`launch.py`, a module or another file; its arguments; where its output goes."""

    module: str | None
    arguments: list[str]
    out: int
    err: int

    def run(self) -> None:
        """Runs it."""
        for descriptor, standard in ((self.out, 1), (self.err, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        sys.argv[1:] = self.arguments
        sys.path[0] = str(Path.cwd() if self.module else ROOT)
        if given := os.environ.get("PYTHONPATH"):
            sys.path[1:1] = given.split(os.pathsep)
            with contextlib.suppress(ImportError):
                importlib.import_module("sitecustomize")
        if self.module and self.module.endswith(".py"):
            sys.argv[0] = self.module
            runpy.run_path(self.module, run_name="__main__")
        elif self.module:
            sys.modules.pop(self.module, None)
            try:
                importlib.util.find_spec(self.module)
            except ImportError as error:  # which `python -m` reports in a sentence, and `runpy` does not
                sys.exit(f"Error while finding module specification for {self.module!r} ({error})")
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = str(ROOT / "launch.py")
            runpy.run_path(sys.argv[0], run_name="__main__")


def enter(environment: dict[str, str]) -> None:
    """Makes an environment that of this process."""
    usual = folders.data(None)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    if folders.data(None) != usual:
        for known in (images.labelled, images.images_and_labels):
            known.cache_clear()


def leave(code: object) -> None:
    """Ends this process as an interpreter does that was told to exit, but leaves the memory to the system."""
    if not (code is None or isinstance(code, int)):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = 120  # as Python has it
    os._exit((code or 0) & 0xFF)
