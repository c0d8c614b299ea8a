"""Files of images and labels, as data sets are kept in them, each with its name, its MD5 sum and its shape.

The format is MNIST's own, IDX: a header (two zero bytes, the type of an item, the number of dimensions, each
dimension as a big-endian 32-bit integer), then the items in row-major order.
"""

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np


class Unobtainable(Exception):
    """A source cannot provide the files. The text is the reason, in a few words."""


@dataclass(frozen=True)
class IdxFile:
    """A file of unsigned bytes in IDX format. Mirrors serve it gzipped; it is kept decompressed.

    Args:
        name: the file's name in the cache.
        md5: MD5 sum of the whole file in the cache, in hexadecimal.
        shape: the dimensions that its header declares.
    """

    name: str
    md5: str
    shape: tuple[int, ...]

    @property
    def header(self) -> bytes:
        unsigned_byte = 8
        return struct.pack(f">xxBB{len(self.shape)}I", unsigned_byte, len(self.shape), *self.shape)

    @property
    def served(self) -> str:
        """Its name at a mirror."""
        return f"{self.name}.gz"

    def received(self, content: bytes) -> bytes:
        """The file that is kept of what a mirror served. Raises Unobtainable."""
        try:
            return gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise Unobtainable(str(error)) from error

    def encode(self, items: np.ndarray) -> bytes:
        """The contents of a file with these items, which must be as many as its shape declares."""
        return self.header + items.astype(np.uint8).tobytes()

    def decode(self, content: bytes) -> np.ndarray:
        """The items of a checked file, as a read-only uint8 array of the declared shape."""
        items = np.frombuffer(content, np.uint8, count=math.prod(self.shape), offset=len(self.header))
        return items.reshape(self.shape)

    def check(self, content: bytes) -> None:
        """Raises Unobtainable if the content is not this file's, byte for byte."""
        check_sum(self.name, hashlib.md5(content, usedforsecurity=False).hexdigest(), self.md5)


@dataclass(frozen=True)
class GzippedFile(IdxFile):
    """A file in IDX format that is kept as it is served, gzipped.

    Args:
        md5: MD5 sum of the gzipped file; empty if only its own checksum is known.
    """

    @property
    def served(self) -> str:
        return self.name

    def received(self, content: bytes) -> bytes:
        return content

    def encode(self, items: np.ndarray) -> bytes:
        return gzip.compress(super().encode(items), compresslevel=1, mtime=0)

    def check(self, content: bytes) -> None:
        if self.md5:
            super().check(content)
        self.decode(content)

    def decode(self, content: bytes) -> np.ndarray:
        """The items, as in `IdxFile`. Raises Unobtainable if the file is truncated, altered or a different one."""
        try:
            plain = gzip.decompress(content)  # checks length and CRC-32
        except (OSError, EOFError, zlib.error) as error:
            raise Unobtainable(f"{self.name} is truncated or altered ({error})") from error
        if not plain.startswith(self.header) or len(plain) != len(self.header) + math.prod(self.shape):
            raise Unobtainable(f"{self.name} does not hold unsigned bytes of shape {list(self.shape)}")
        return super().decode(plain)


Contents = dict[IdxFile, bytes]
"""What files hold, whole."""


def check_sum(name: str, found: str, expected: str) -> None:
    """Raises Unobtainable if a file's MD5 sum is not the expected one."""
    if found != expected:
        raise Unobtainable(f"{name} is truncated or altered (its MD5 sum is {found}, not {expected})")
