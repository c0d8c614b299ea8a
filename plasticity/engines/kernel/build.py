"""Builds the kernel at its first use, with whatever C compiler there is, into a cache that later uses share."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from plasticity.errors import UserError
from plasticity.files import alone, atomic_write, sweep

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

DIGEST = hashlib.sha256().digest_size


class Unavailable(UserError):
    """The kernel cannot be built. Its text is one sentence that says why."""


def cache_directory() -> Path:
    """Where built kernels are kept: $PLASTICITY_CACHE, else `plasticity` in the user's cache folder."""
    chosen = os.environ.get(CACHE)
    root = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "plasticity"
    return root.expanduser() / "kernel"


def library(extra_flags: tuple[str, ...] = ()) -> Path:
    """The shared library, built now if the cache does not hold it. Raises Unavailable."""
    directory, command = cache_directory(), compiler()
    name = _hash(FLAGS, extra_flags, VARIANTS, platform.machine(), *map(Path.read_bytes, _sources()))
    if command is None:
        # The results are the same whichever compiler built it.
        for built in sorted(directory.glob(f"{name}-*.so")):
            if _whole(built):
                return built
        raise Unavailable(
            f"The native engine needs a C compiler, but {os.environ.get('CC') or 'cc, gcc or clang'} was "
            "not found: install gcc, or set the environment variable CC."
        )
    try:
        built = directory / f"{name}-{_hash(_version(command))}.so"
        if not _whole(built):
            directory.mkdir(parents=True, exist_ok=True)
            with alone(directory) as nobody_else:
                if nobody_else:
                    sweep(directory, "build", "*.so")
                if not _whole(built):
                    _build(command, extra_flags, built)
        return built
    except OSError as error:
        raise Unavailable(
            f"The native engine's kernel cannot be built by {command[0]} in {directory} ({error.strerror}): "
            f"set the environment variable {CACHE} to a writable folder, or CC to a C compiler."
        ) from error


def compiler() -> list[str] | None:
    """The compiler's command: $CC if it is set, else the first of the usual names. None if there is none."""
    for name in [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]:
        try:
            command = shlex.split(name)
        except ValueError:  # an unclosed quotation mark
            continue
        if command and shutil.which(command[0]):
            return command
    return None


def _version(compiler: list[str]) -> str:
    return subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sources() -> list[Path]:
    return sorted(SOURCES.glob("*.[ch]"))


def _build(compiler: list[str], extra_flags: tuple[str, ...], target: Path) -> None:
    """Compiles all variants at once and puts the library in place atomically."""
    command = [*compiler, *FLAGS, *extra_flags]
    variants = VARIANTS.get(platform.machine(), {"baseline": ()})
    with tempfile.TemporaryDirectory(prefix=".build.", dir=target.parent) as folder:
        objects = [f"{folder}/{name}.o" for name in ("dispatch", *variants)]
        steps = [
            [*command, *flags, f"-DKERNEL=kernel_{name}", "-c", str(SOURCES / "step.c"), "-o", output]
            for (name, flags), output in zip(variants.items(), objects[1:], strict=True)
        ]
        _run_all([*command, "-c", str(SOURCES / "dispatch.c"), "-o", objects[0]], *steps)
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
