"""Where a result comes from: what computed it, on what machine, from which version of the code."""

import ast
import hashlib
import inspect
import linecache
import os
import platform
import socket
import subprocess
import textwrap
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from plasticity import __version__
from plasticity.engines import Choice
from plasticity.part import Part, nested
from plasticity.run import Run


def provenance(choice: Choice, run: Run) -> dict[str, Any]:
    """Engine, versions, git commit, host, process, and the code of the parts: plain values for a run's state."""
    return {
        "engine": choice.engine,
        "engine_reason": choice.reason,
        "version": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
        **machine(choice.engine),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "code": code(run),
    }


def code(run: Run) -> dict[str, str]:
    """A fingerprint of the code of each part, by "key=name".

    It covers the class and those that it inherits from; comments, docstrings and layout don't count. Code elsewhere
    that the class calls is not covered.
    """
    return {f"{key}={part.name}": fingerprint(type(part)) for key, part in nested(run.parts()).items()}  # type: ignore[arg-type]


def machine(engine: str) -> dict[str, str | None]:
    """What an engine's numbers depend on, other than code: nothing for the native engine.

    Returns:
        for an engine on PyTorch: the version of PyTorch, the processor, and which of the processor's instructions
        PyTorch uses ("AVX2")
    """
    if engine == "native":
        return {}
    from torch.backends import cpu

    return {"torch": _version("torch"), "processor": processor(), "capability": cpu.get_cpu_capability()}


@lru_cache(maxsize=1)
def processor() -> str:
    """What the processor is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


@cache
def fingerprint(kind: type) -> str:
    """Twelve hexadecimal digits that identify a class's code; empty if its source is not available."""
    try:
        found = [_definition(base) for base in kind.__mro__ if issubclass(base, Part) and base is not Part]
    except (OSError, TypeError):
        return ""
    text = ""
    for definition in found:
        for node in ast.walk(definition):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
        text += ast.dump(ast.Module([definition], []))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _definition(kind: type) -> ast.stmt:
    """The syntax tree of a class. Raises OSError or TypeError if its source is not available."""
    path = inspect.getsourcefile(kind)
    module = ast.parse("".join(linecache.getlines(path))) if path else ast.Module([], [])
    for node in module.body:  # `inspect.getsource` takes far longer
        if isinstance(node, ast.ClassDef) and node.name == kind.__qualname__:
            return node
    return ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The git commit of the code, followed by "-dirty" if the code was edited since; None outside git."""
    frozen = os.environ.get("PLASTICITY_COMMIT")
    if frozen:
        return frozen
    file = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # the repository around it may be another project's
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
