"""Pickles of numpy arrays, read without running what they may ask for."""

import gzip
import pickle
from typing import IO, Any, ClassVar

import numpy as np


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays that Python 2 wrote, and refuses to look up anything else.

    A pickle can call anything that it can name; one that can name only these three cannot run code.
    """

    ADMITTED: ClassVar[dict[str, Any]] = {
        "numpy.core.multiarray._reconstruct": np.ndarray(0).__reduce__()[0],  # its module moved in numpy 2
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }

    def __init__(self, stream: IO[bytes] | gzip.GzipFile):
        super().__init__(stream, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted not in self.ADMITTED:
            raise pickle.UnpicklingError(f"a pickle that asks for {wanted} is refused")
        return self.ADMITTED[wanted]
