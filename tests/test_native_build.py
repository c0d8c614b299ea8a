import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import plasticity
from plasticity.engines.kernel import build
from plasticity.engines.native import unavailable
from plasticity.errors import UserError

HERE = Path(__file__).resolve().parent

needs_a_compiler = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

PRINT_REASON = "from plasticity.engines.native import unavailable; print(unavailable())"


def python(code: str, **environment: str | Path) -> subprocess.Popen:
    """A Python process of its own that can import the package and the tests' helpers."""
    given = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])} | given,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def output(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip()


def script(path: Path, text: str) -> Path:
    """A program in a file."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiler for tests that compute nothing: it does not optimise, and copies what it compiled before."""
    folder, real = tmp_path_factory.mktemp("compiler"), shutil.which(os.environ.get("CC") or "cc")
    return script(
        folder / "cc",
        f'[ "$1" = --version ] && exec {real} --version\n'
        "for output; do :; done  # the last argument\n"
        f'kept={folder}/$(basename "$output")\n'
        f'[ -e "$kept" ] || {{ {real} "$@" -O0 && cp "$output" "$kept.new" && mv "$kept.new" "$kept"; }}\n'
        'cp "$kept" "$output"',
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, compiler: Path) -> Path:
    """A cache that two processes filled at the same time."""
    cache = tmp_path_factory.mktemp("cache")
    started = [python(PRINT_REASON, PLASTICITY_CACHE=cache, CC=compiler) for _ in range(2)]
    assert [output(process) for process in started] == ["None", "None"]
    return cache


@needs_a_compiler
def test_two_processes_that_build_at_once_leave_one_library_and_nothing_else(built):
    assert [path.suffix for path in (built / "kernel").iterdir()] == [".so"]


@needs_a_compiler
def test_what_killed_builders_left_and_nobody_used_for_long_is_removed_by_the_next(tmp_path, compiler):
    (tmp_path / "kernel" / ".build.x1y2").mkdir(parents=True)
    for days, name in (89, "used"), (91, "unused"):
        (tmp_path / "kernel" / f"{name}.so").write_bytes(b"")
        os.utime(tmp_path / "kernel" / f"{name}.so", (time.time() - days * 24 * 3600,) * 2)
    (tmp_path / "kernel" / ".build.x1y2" / "step.o").write_bytes(b"half")
    (tmp_path / "kernel" / ".0123-4567.so.x1y2").write_bytes(b"half")
    assert output(python(PRINT_REASON, PLASTICITY_CACHE=tmp_path, CC=compiler)) == "None"
    left = {path.name for path in (tmp_path / "kernel").iterdir()}
    assert "used.so" in left and "unused.so" not in left
    assert len(left) == 2 and all(name.endswith(".so") for name in left)


@needs_a_compiler
def test_a_built_library_is_used_again(built, tmp_path, monkeypatch):
    monkeypatch.setenv(build.CACHE, str(built))
    (library,) = (built / "kernel").iterdir()
    os.utime(library, (0, 0))
    calls = tmp_path / "calls"
    compiler = shutil.which(os.environ.get("CC") or "cc")
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", f'echo "$@" >> {calls}\nexec {compiler} "$@"')))
    assert build.library().parent == built / "kernel"
    assert calls.read_text() == "--version\n"
    assert time.time() - library.stat().st_mtime < 60  # so that it is kept


@needs_a_compiler
def test_a_built_library_needs_no_compiler(built):
    assert output(python(PRINT_REASON, PLASTICITY_CACHE=built, CC="/nonexistent")) == "None"


def test_without_a_compiler_one_sentence_says_so(tmp_path):
    reason = output(python(PRINT_REASON, PLASTICITY_CACHE=tmp_path, CC="/nonexistent/cc"))
    assert reason == (
        "The native engine needs a C compiler, but /nonexistent/cc was not found: install gcc, or set "
        "the environment variable CC"
    )  # without a full stop: other sentences end with it
    nothing = python(PRINT_REASON, PLASTICITY_CACHE=tmp_path, CC="", PATH="/nonexistent")
    assert "but cc, gcc or clang was not found: install gcc" in output(nothing)


def test_the_first_error_of_a_compiler_is_shown(tmp_path, monkeypatch):
    monkeypatch.setenv(build.CACHE, str(tmp_path))
    lines = "echo 'step.c: In function f:' >&2\necho 'step.c:7: error: no such thing' >&2"
    monkeypatch.setenv("CC", str(script(tmp_path / "cc", f'[ "$1" = --version ] && exit 0\n{lines}\nexit 1')))
    with pytest.raises(build.Unavailable) as failure:
        build.library()
    assert str(failure.value) == (
        f"The native engine's kernel cannot be compiled by {tmp_path}/cc: step.c:7: error: no such thing."
    )
    assert list((tmp_path / "kernel").iterdir()) == []


@needs_a_compiler
def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(build.CACHE, str(tmp_path / "file"))
    with pytest.raises(
        build.Unavailable, match=r"in .*/file/kernel \(Not a directory\): set .* PLASTICITY_CACHE"
    ):
        build.library()


DAMAGE = {
    "empty": lambda contents: b"",
    "truncated": lambda contents: contents[: len(contents) // 2],
    "cut by a page": lambda contents: contents[:-4096],
    "a bit flipped": lambda contents: contents[:9999] + bytes([contents[9999] ^ 1]) + contents[10_000:],
    "something else": lambda contents: b"not a library",
}


@needs_a_compiler
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_library_is_built_again(built, tmp_path, compiler, damage):
    shutil.copytree(built, tmp_path / "cache")
    (library,) = (tmp_path / "cache" / "kernel").iterdir()
    whole = library.read_bytes()
    library.write_bytes(DAMAGE[damage](whole))
    assert output(python(PRINT_REASON, PLASTICITY_CACHE=tmp_path / "cache", CC=compiler)) == "None"
    assert library.read_bytes() == whole and len(list(library.parent.iterdir())) == 1


@needs_a_compiler
def test_a_damaged_library_is_not_loaded_where_it_cannot_be_built_again(built, tmp_path):
    shutil.copytree(built, tmp_path / "cache")
    (library,) = (tmp_path / "cache" / "kernel").iterdir()
    library.write_bytes(library.read_bytes()[:9999])
    reason = output(python(PRINT_REASON, PLASTICITY_CACHE=tmp_path / "cache", CC="/nonexistent"))
    assert "needs a C compiler" in reason


@pytest.fixture
def foreign(built, tmp_path, compiler) -> Path:
    """A cache with a whole library that needs another, which this machine lacks."""
    libraries = tmp_path / "vendor"
    libraries.mkdir()
    (libraries / "empty.c").touch()
    real = shutil.which(os.environ.get("CC") or "cc")
    subprocess.run([real, "-shared", "-o", libraries / "libvendor.so", libraries / "empty.c"], check=True)
    vendor = script(
        tmp_path / "vendorcc",
        f'case "$*" in *-shared*) exec {real} "$@" -Wl,--no-as-needed -L{libraries} -lvendor;; '
        f'*--version*) echo vendor;; *) exec {compiler} "$@";; esac',
    )
    cache = tmp_path / "cache"
    build_it = "from plasticity.engines.kernel import build; build.library()"
    output(python(build_it, PLASTICITY_CACHE=cache, CC=vendor))
    (libraries / "libvendor.so").unlink()
    return cache


@needs_a_compiler
def test_a_good_library_is_used_beside_one_that_cannot_be_loaded(foreign, built):
    (other,) = (foreign / "kernel").iterdir()
    (good,) = (built / "kernel").iterdir()
    first = other.rename(other.with_name(f"{other.stem.partition('-')[0]}-0.so"))
    shutil.copy(good, first.parent)
    assert (
        output(python(PRINT_REASON, PLASTICITY_CACHE=foreign, CC="/nonexistent", PATH="/nonexistent"))
        == "None"
    )
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, good.name]


@needs_a_compiler
@pytest.mark.parametrize("chosen", ["/nonexistent", "vendorcc"])
def test_a_library_that_cannot_be_loaded_is_built_again_by_a_usual_compiler(
    foreign, compiler, tmp_path, chosen
):
    """Whether the compiler that built it is here or not."""
    path = f"{compiler.parent}{os.pathsep}{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert output(python(PRINT_REASON, PLASTICITY_CACHE=foreign, CC=chosen, PATH=path)) == "None"
    assert len(list((foreign / "kernel").glob("*.so"))) == 2


@needs_a_compiler
def test_what_cannot_be_loaded_nor_built_again_is_named(foreign):
    reason = output(python(PRINT_REASON, PLASTICITY_CACHE=foreign, CC="/nonexistent", PATH="/nonexistent"))
    assert "cannot be loaded (libvendor.so: cannot open shared object file" in reason
    assert reason.endswith(
        "or set the environment variable CC to a compiler whose libraries this machine has"
    )


def mounted(folder: Path, options: str) -> None:
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")


@needs_a_compiler
@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own takes root to mount")
@pytest.mark.parametrize(
    "options, said",
    [("noexec", "cannot be loaded"), ("size=8k", "No space left on device")],
    ids=["noexec", "full"],
)
def test_an_unusable_cache_is_reported(tmp_path, compiler, options, said):
    mounted(tmp_path / "cache", options)
    try:
        assert said in output(python(PRINT_REASON, PLASTICITY_CACHE=tmp_path / "cache", CC=compiler))
    finally:
        subprocess.run(["umount", tmp_path / "cache"], check=True)


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({"PLASTICITY_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/kernel"),
        ({"PLASTICITY_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/plasticity/kernel"),
        ({"PLASTICITY_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/plasticity/kernel"),
    ],
)
def test_cache_follows_the_environment(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert build.cache_directory() == Path(expected)


CACHES = (
    "from plasticity.machine import folders; from plasticity.engines.kernel import build; "
    "print(folders.data(), build.cache_directory(), sep='\\n')"
)


def homeless(code: str, **environment: object) -> str:
    """What a process prints whose user has neither $HOME nor an entry among the system's users."""
    unknown = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if not shutil.which("unshare") or subprocess.run([*unknown, "true"], capture_output=True).returncode:
        pytest.skip("no process can be given another user here")
    usual = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    given = {name: str(value) for name, value in environment.items()}
    done = subprocess.run(
        [*unknown, sys.executable, "-c", code],
        env=usual | {"PYTHONPATH": str(HERE.parent), "PLASTICITY_CACHE": "", "PLASTICITY_DATA": ""} | given,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_user_without_a_home_has_caches_in_a_folder_of_their_own(tmp_path):
    own = tmp_path / "plasticity-12345"
    assert homeless(CACHES, TMPDIR=tmp_path).splitlines() == [str(own), str(own / "kernel")]
    assert own.stat().st_mode & 0o777 == 0o700
    data = homeless(CACHES, TMPDIR=tmp_path, PLASTICITY_DATA="/data").splitlines()
    assert data == ["/data", str(own / "kernel")]
    own.chmod(0o777)
    assert "is not yours alone, and you have no home folder" in homeless(CACHES, TMPDIR=tmp_path)


def test_a_path_in_a_home_that_there_is_not_is_refused():
    said = "is no user's home folder here; give the whole path."
    assert homeless(CACHES, PLASTICITY_CACHE="~/cache").endswith(f"~/cache is refused: ~ {said}")
    with pytest.raises(UserError, match=f"^~nobody_here/runs is refused: ~nobody_here {said}"):
        plasticity.load_network("0123", 0, runs_dir="~nobody_here/runs")


# --- Sanitizers ------------------------------------------------------------------------------------------

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0", "-g1")

WORKLOAD = """
import ctypes
from itertools import product

import numpy as np

from plasticity.engines.kernel import binding, build, memory
from plasticity.errors import UserError

build.FLAGS = (*build.FLAGS, *{flags})
libc = ctypes.CDLL(None)
libc.aligned_alloc.restype = libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.aligned_alloc.argtypes = [ctypes.c_size_t, ctypes.c_size_t]


def exactly(shape, dtype=np.float32):
    # No slack behind an array: the sanitizer sees the first byte beyond it.
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    address = libc.malloc(length) if length % 64 else libc.aligned_alloc(64, length)  # which takes whole vectors
    array = np.ctypeslib.as_array((ctypes.c_uint8 * length).from_address(address))
    array[:] = 0
    return array.view(dtype).reshape(shape)


memory.aligned = exactly
from plasticity.engines.traced import choosing, form, judging, moving
for module in (choosing, form, judging, moving):
    module.aligned = exactly

from dataclasses import replace

from oracle import random_task, small_run
from plasticity.datasets.task import SparseRows
from plasticity.engines.native import NativeLearner
from plasticity.networks.network import initial_network

kernels = []
for name in ("x86-64", "x86-64-v3", "x86-64-v4"):
    try:
        kernels.append(binding.kernel(name))
    except UserError:
        pass
activations, utilities = list(binding.numbers("activation")), list(binding.numbers("utility"))
for kernel in kernels or [binding.kernel()]:
    for number, (width, utility) in enumerate(product((1, 16, 17, 300), utilities)):
        run = small_run(
            inputs=1 + number, width=width, depth=1 + number % 3, outputs=1 + number % 18,
            activation=activations[number % 8 * (number % 2)], utility=utility, step_size=0.01,
            loss="squared_error" if number % 3 == 1 else "cross_entropy", weight_decay=0.05 * (number % 2),
            rate=0.2, maturity_threshold=2, bias_compensation=True, batch_size=1 + 2 * (number // 2 % 2),
        )
        learner, task = NativeLearner(run, initial_network(run)), random_task(run, 12)
        learner.kernel = kernel
        if number % 2:
            task = replace(task, rows=SparseRows.of(task.rows))
        learner.learn(task, lambda examples: None)
        learner.network()

from test_traced import Mixed, Rational
from test_traced_objectives import Logistic, Smoothed, run_of, task_of
from test_traced_parameters import Adam, Box, L2Init
from test_traced_replacement import Dormant

for width in (1, 16, 17):
    run = small_run(inputs=7, width=width, depth=2, outputs=3, batch_size=1 + 2 * (width == 16))
    own = replace(run, activation=Rational(), replacement=replace(run.replacement, utility=Mixed(), rate=0.2))
    moved = replace(run, replacement=Dormant(), optimiser=Adam(), regulariser=L2Init(), constraint=Box())
    normalised = replace(moved, model=replace(run.model, normalisation="layer_norm"))
    for one in (own, moved if width == 16 else normalised):  # each is built on its own
        learner = NativeLearner(one, initial_network(one))
        learner.learn(random_task(one, 30), lambda examples: None)
        learner.network()
for objective, of_classes in ((Smoothed(), True), (Logistic(), False)):
    own = run_of(objective, 1 + 2 * of_classes)
    learner = NativeLearner(own, initial_network(own))
    learner.learn(task_of(own, 30, 0, of_classes), lambda examples: None, losses=True)
print("nothing found", flush=True)
binding.kernel(None).activate(0, 32, *[exactly(16).ctypes.data] * 3)
print("not even what is planted")
"""


def sanitizer_library() -> str | None:
    """The address sanitizer's library, which must be loaded before any other; None if there is none."""
    if not shutil.which("gcc"):
        return None
    asked = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True)
    return asked.stdout.strip() if Path(asked.stdout.strip()).is_absolute() else None


@pytest.mark.skipif(sanitizer_library() is None, reason="gcc has no address sanitizer here")
def test_sanitizers_find_nothing_but_what_is_planted(tmp_path):
    compiler = script(
        tmp_path / "cc", 'unset LD_PRELOAD\nexec gcc "$@"'
    )  # which is slow with a sanitizer itself
    process = python(
        WORKLOAD.format(flags=SANITIZERS),
        CC=compiler, PLASTICITY_CACHE=tmp_path / "cache", LD_PRELOAD=str(sanitizer_library()),
        ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="print_stacktrace=1",
    )  # fmt: skip
    out, err = process.communicate(timeout=300)
    assert out == "nothing found\n", err
    assert "heap-buffer-overflow" in err
