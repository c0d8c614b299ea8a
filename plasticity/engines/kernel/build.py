"""Builds the kernel at its first use, with whatever C compiler there is, into a cache that later uses share."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from plasticity.errors import UserError
from plasticity.machine import folders
from plasticity.machine.files import atomic_write, sweep
from plasticity.machine.lock import alone

SOURCES = Path(__file__).parent
FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math"),
    "-ffp-contract=off",  # the sources say what is fused, so that all variants compute the same
)

X86_64_V3 = ("-march=x86-64", "-mavx2", "-mfma", "-mbmi", "-mbmi2")
X86_64_V4 = (*X86_64_V3, *(f"-mavx512{part}" for part in ("f", "bw", "cd", "dq", "vl")))
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "baseline": ("-march=x86-64",),
        "v3": X86_64_V3,
        "v4": (*X86_64_V4, "-mprefer-vector-width=512"),
    }
}
"""Compiler flags of each variant of the step, by machine; `dispatch.c` chooses the variant at run time."""

CACHE = "PLASTICITY_CACHE"

USUAL = ("cc", "gcc", "clang")
"""Names of C compilers, in the order in which they are tried."""

DIGEST = hashlib.sha256().digest_size

KEPT_SECONDS = 90 * 24 * 3600
"""How long an unused library stays in the cache: each change to a user's own part leaves one there."""


@dataclass(frozen=True)
class Source:
    """What a library is built from, beside the headers here.

    Attributes:
        text: C that is compiled once for every kind of processor, each time with another name for KERNEL.
        once: C that is compiled once, with what chooses between them; none if Python does.
        variant: the only kind of processor that it is compiled for; None for all.
    """

    text: str
    once: str | None = None
    variant: str | None = None


KERNEL = Source('#include "step.c"', '#include "dispatch.c"')


class Unavailable(UserError):
    """The kernel cannot be built. Its text is one sentence that says why."""


def cache_directory() -> Path:
    """Where built kernels are kept: $PLASTICITY_CACHE, else `plasticity` in the user's cache folder."""
    chosen = os.environ.get(CACHE)
    return (folders.expanded(chosen) if chosen else folders.cache()) / "kernel"


def load(source: Source = KERNEL) -> ctypes.CDLL:
    """The shared library, loaded. One that cannot be loaded here is built again, if need be by another compiler.

    Raises:
        Unavailable: none can be built and loaded.
    """
    fault = None
    for path in _libraries(source):
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            fault = error
    directory = cache_directory()
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        raise Unavailable(
            f"The native engine's kernel cannot be loaded ({fault}): set the environment variable {CACHE} to a "
            "folder from which programs may be loaded."
        )
    loaded = _rebuilt(source, os.environ.get("CC"), os.environ.get("PATH"), directory)
    if loaded is None:
        raise Unavailable(
            f"The native engine's kernel cannot be loaded ({fault}), and no compiler here builds one that can: "
            "install gcc, or set the environment variable CC to a compiler whose libraries this machine has."
        )
    return loaded


@cache
def _rebuilt(source: Source, chosen: str | None, path: str | None, directory: Path) -> ctypes.CDLL | None:
    """The library built again by $CC, else by a compiler of the usual names; None if none builds one that loads.

    Tried once per process and environment, since building takes seconds.
    """
    tried = set()
    for command in filter(_found, map(_split, [chosen or "", *USUAL])):
        program = os.path.realpath(str(shutil.which(command[0])))
        if program not in tried:
            tried.add(program)
            with suppress(Unavailable, OSError):
                return ctypes.CDLL(str(_library(command, source, again=True)))
    return None


def library(source: Source = KERNEL) -> Path:
    """The shared library, built now if the cache does not hold it. Raises Unavailable."""
    return next(_libraries(source))


def _libraries(source: Source) -> Iterator[Path]:
    """The compiler's library; without a compiler, those in the cache, which give the same results.

    Raises:
        Unavailable: there is none.
    """
    command = compiler()
    if command is not None:
        yield _library(command, source)
        return
    built = list(filter(_whole, sorted(cache_directory().glob(f"{_name(source)}-*.so"))))
    if not built:
        raise Unavailable(
            f"The native engine needs a C compiler, but {os.environ.get('CC') or 'cc, gcc or clang'} was "
            "not found: install gcc, or set the environment variable CC."
        )
    yield from built


def _library(command: list[str], source: Source, again: bool = False) -> Path:
    """A compiler's library, built if the cache does not hold it whole, or in any case. Raises Unavailable."""
    directory = cache_directory()
    try:
        built = directory / f"{_name(source)}-{_hash(_version(command))}.so"
        if again or not _whole(built):
            directory.mkdir(parents=True, exist_ok=True)
            with alone(directory) as nobody_else:
                if nobody_else:
                    sweep(directory, "build", "*.so")
                    _remove_unused(directory)
                if again or not _whole(built):
                    _build(command, source, built)
        with suppress(OSError):  # a cache that may only be read
            os.utime(built)
        return built
    except OSError as error:
        raise Unavailable(
            f"The native engine's kernel cannot be built by {command[0]} in {directory} ({error.strerror}): "
            f"set the environment variable {CACHE} to a writable folder, or CC to a C compiler."
        ) from error


def _remove_unused(directory: Path) -> None:
    """Removes libraries that have not been used for long. Processes that have one loaded keep it."""
    for library in directory.glob("*.so"):
        with suppress(FileNotFoundError):
            if time.time() - library.stat().st_mtime > KEPT_SECONDS:
                library.unlink()


def compiler() -> list[str] | None:
    """The compiler's command: $CC if it is set, else the first of the usual names. None if there is none."""
    chosen = os.environ.get("CC")
    return next(filter(_found, map(_split, [chosen] if chosen else USUAL)), None)


def _found(command: list[str]) -> bool:
    return bool(command) and shutil.which(command[0]) is not None


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unclosed quotation mark
        return []


def _name(source: Source) -> str:
    return _hash(FLAGS, source, VARIANTS, platform.machine(), *map(Path.read_bytes, _sources()))


def _version(compiler: list[str]) -> str:
    return subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sources() -> list[Path]:
    return sorted(SOURCES.glob("*.[ch]"))


def _build(compiler: list[str], source: Source, target: Path) -> None:
    """Compiles all variants at once and puts the library in place atomically."""
    command = [*compiler, *FLAGS, f"-I{SOURCES}"]
    variants = VARIANTS.get(platform.machine(), {"baseline": ()})
    with tempfile.TemporaryDirectory(prefix=".build.", dir=target.parent) as folder:
        parts = {
            name: (source.text, [*flags, f"-DKERNEL=kernel_{name}"])
            for name, flags in variants.items()
            if source.variant in (None, name)
        }
        if source.once is not None:
            parts["once"] = (source.once, [])
        for name, (text, _) in parts.items():
            Path(folder, f"{name}.c").write_text(text)
        _run_all(
            *(
                [*command, *flags, "-c", f"{folder}/{name}.c", "-o", f"{folder}/{name}.o"]
                for name, (_, flags) in parts.items()
            )
        )
        objects = [f"{folder}/{name}.o" for name in parts]
        _run_all([*command, "-shared", *objects, "-o", f"{folder}/kernel.so"])
        contents = Path(folder, "kernel.so").read_bytes()
        atomic_write(target, contents + hashlib.sha256(contents).digest(), mode=0o755)


def _whole(library: Path) -> bool:
    """Whether a library is intact: its digest is appended to it, where no loader looks.

    A damaged one must not even be loaded: a truncated library would end the process (SIGBUS).
    """
    try:
        contents = library.read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(contents[:-DIGEST]).digest() == contents[-DIGEST:]


def _run_all(*commands: list[str]) -> None:
    """Runs commands side by side. Raises Unavailable with the first error of a command that fails."""
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    messages = [process.communicate()[1].splitlines() for process in running]
    for command, process, lines in zip(commands, running, messages, strict=True):
        if process.returncode:
            error = next((line for line in lines if "error" in line), f"exit status {process.returncode}")
            raise Unavailable(f"The native engine's kernel cannot be compiled by {command[0]}: {error}.")
