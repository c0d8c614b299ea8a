"""What the compiled engine compiles with: a C++ compiler, tried before use, and a folder of this process alone."""

import atexit
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from plasticity.errors import UserError, one_line
from plasticity.machine.lock import alone

TRIAL = """
#include <concepts>
#include <omp.h>
#include <Python.h>

extern "C" int threads() { return omp_get_max_threads(); }
"""
"""Needs what the code that PyTorch generates needs: C++20, OpenMP and the headers of Python."""

FLAGS = ("-std=c++20", "-fopenmp", "-fPIC", "-shared")

LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


class NoCompiler(UserError):
    """Nothing can be compiled. Its text says why, as the end of a sentence."""


def compiler() -> str:
    """The first C++ compiler of $CXX, g++, clang++ and c++ that works here. Raises NoCompiler."""
    found, reason = _tried(*map(os.environ.get, ("CXX", "PATH", "TMPDIR")))
    if found is None:
        raise NoCompiler(reason)
    return found


@cache
def _tried(chosen: str | None, path: str | None, temporary: str | None) -> tuple[str | None, str]:
    """The compiler, or None and why there is none; once per process and environment."""
    names = list(dict.fromkeys([*([chosen] if chosen else []), "g++", "clang++", "c++"]))
    faults = []
    for name in filter(shutil.which, names):
        try:
            _try(name)
        except (OSError, NoCompiler) as fault:
            faults.append(f"{name} is unsuitable: {one_line(str(fault))}")
        else:
            return name, ""
    missing = f"neither {', '.join(names[:-1])} nor {names[-1]} was found"
    return None, f"engine=compiled needs a C++ compiler, but {faults[0] if faults else missing}"


def _try(compiler: str) -> None:
    """Compiles and loads a small program, as PyTorch would. Raises OSError or NoCompiler."""
    with tempfile.TemporaryDirectory(prefix="plasticity-") as folder:
        source, library = Path(folder, "trial.cpp"), Path(folder, "trial.so")
        source.write_text(TRIAL)
        headers = f"-I{sysconfig.get_path('include')}"
        if fault := _fault(compiler, *FLAGS, headers, str(source), "-o", str(library)):
            raise NoCompiler(fault)
        # In a process of its own, since what a compiler links with may not suit this one.
        if fault := _fault(sys.executable, "-ISc", LOAD, str(library)):
            raise NoCompiler(
                f"what it compiles cannot be loaded ({fault}); if the folder for temporary files forbids that, set "
                "the environment variable TMPDIR to another"
            )


def _fault(*command: str) -> str | None:
    """The first error of a command that fails; None if it succeeds."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    return (lines or [f"exit status {done.returncode}"])[0] if done.returncode else None


def folder() -> Path:
    """The folder for what this process compiles; it is removed when the process ends.

    Processes don't share one: what a power cut, a full disk or another compiler left there would become part of the
    results. One that a killed process left is removed by the next process.
    """
    return _folder(os.getpid())


@cache
def _folder(process: int) -> Path:
    prefix = f"plasticity-compiled-{platform.node()}-"  # locks may not hold between machines
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError), alone(left, patience=0) as nobody_else:
            if nobody_else:
                shutil.rmtree(left, ignore_errors=True)
    while True:
        made = Path(tempfile.mkdtemp(prefix=prefix))
        lock = ExitStack()
        with suppress(OSError):
            lock.enter_context(alone(made))
        if made.exists():
            atexit.register(_remove, made, process, lock)
            return made


def _remove(folder: Path, process: int, lock: ExitStack) -> None:
    if os.getpid() == process:  # not a process forked from it
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()
