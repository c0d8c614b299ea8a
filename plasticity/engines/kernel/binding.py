"""The kernel as Python sees it: the structures of `learner.h`, and the functions of the built library."""

import ctypes
import os
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char, c_char_p, c_float, c_int, c_int64, c_uint64, c_void_p
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from plasticity.engines.kernel import build
from plasticity.errors import UserError
from plasticity.streams import Purpose

VARIANT = "PLASTICITY_KERNEL"
"""Environment variable that forces a variant: x86-64, x86-64-v3 or x86-64-v4. All give the same results."""

KINDS: dict[bytes, Any] = {
    b"i": ctypes.c_int32,
    b"q": c_int64,
    b"Q": c_uint64,
    b"f": c_float,
    b"d": ctypes.c_double,
    b"P": c_void_p,
}
"""The types of fields, by the characters in the table of `layout.h`."""


class Field(ctypes.Structure):
    """`Field` of `layout.h`."""

    _fields_ = [("structure", c_char_p), ("name", c_char_p), ("offset", c_int64), ("kind", c_char)]


class Name(ctypes.Structure):
    """`Name` of `layout.h`."""

    _fields_ = [("field", c_char_p), ("name", c_char_p), ("number", c_int64)]


class Kernel(ctypes.Structure):
    """The functions of `kernel.h`. Python's global interpreter lock is released while one of them runs."""

    _fields_ = [
        ("learn", ctypes.CFUNCTYPE(c_int64, c_void_p, c_void_p, c_int64, c_int64)),
        ("look", ctypes.CFUNCTYPE(c_int64, c_void_p, c_void_p, c_int64, POINTER(c_void_p))),
        ("activate", ctypes.CFUNCTYPE(None, c_int, c_int, c_void_p, c_void_p, c_void_p)),
        ("count_silences", c_void_p),
        ("name", c_char_p),
    ]


@cache
def library() -> ctypes.CDLL:
    """The built library.

    Raises:
        build.Unavailable: it cannot be built or loaded.
    """
    loaded = build.load()
    loaded.plasticity_kernel.argtypes = [c_char_p]
    loaded.plasticity_kernel.restype = POINTER(Kernel)
    loaded.plasticity_words.argtypes = [c_uint64, c_uint64, c_void_p, c_int64, c_void_p]
    loaded.plasticity_words.restype = None
    loaded.plasticity_uniform.argtypes = [c_float, c_uint64, c_uint64, c_void_p, c_int64, c_void_p]
    loaded.plasticity_uniform.restype = None
    for function in (loaded.plasticity_columns_of_rows, loaded.plasticity_rows_of_columns):
        function.argtypes = [c_void_p, c_int64, c_void_p, c_int64, c_int64, c_void_p]
        function.restype = None
    loaded.plasticity_fields.restype = POINTER(Field)
    loaded.plasticity_names.restype = POINTER(Name)
    return loaded


def structure(name: str) -> Any:
    """A structure of `learner.h` by its name, as a subclass of `ctypes.Structure`."""
    return _structures()[name]


@cache
def _structures() -> dict[str, Any]:
    return dict(declared(_table("plasticity_fields")))


def declared(table: list[Field]) -> Iterator[tuple[str, Any]]:
    """The structures that a table of fields describes, by name.

    Raises:
        LayoutError: Python would lay one out in another way than the compiler has.
    """
    for name, entries in groupby(table, lambda field: field.structure):
        *listed, end = entries
        made = type(
            name.decode(),
            (ctypes.Structure,),
            {"_fields_": [(field.name.decode(), KINDS[field.kind]) for field in listed]},
        )
        places = [*(getattr(made, field.name.decode()).offset for field in listed), ctypes.sizeof(made)]
        for field, place in zip([*listed, end], places, strict=True):
            if field.offset != place:
                where = f"{name.decode()}.{field.name.decode()}"
                raise LayoutError(f"{where} is at {field.offset} in the kernel, at {place} in Python.")
        yield name.decode(), made


class LayoutError(Exception):
    """A structure is laid out differently in Python and in the kernel: each would misread what the other wrote."""


def uniform(
    bound: float, seed: int, purpose: Purpose, position: tuple[int, ...], draws: np.ndarray
) -> np.ndarray:
    """Fills an array of float32 with the draws of `streams.uniform`, without its intermediate arrays."""
    place = np.array((*position, 0, 0, 0)[:3], np.uint64)
    library().plasticity_uniform(bound, seed, purpose, place.ctypes.data, draws.size, draws.ctypes.data)
    return draws


def columns_of_rows(rows: np.ndarray, place: np.ndarray, columns: np.ndarray) -> None:
    """columns[j, i] = rows[place[i], j], for arrays of float32 whose rows are contiguous, and an int32 `place`."""
    _move(library().plasticity_columns_of_rows, rows, place, columns)


def rows_of_columns(columns: np.ndarray, place: np.ndarray, rows: np.ndarray) -> None:
    """The reverse of `columns_of_rows`."""
    _move(library().plasticity_rows_of_columns, rows, place, columns)


def _move(function: Any, rows: np.ndarray, place: np.ndarray, columns: np.ndarray) -> None:
    assert rows.dtype == columns.dtype == np.float32 and place.dtype == np.int32
    assert rows.flags.c_contiguous and columns.flags.c_contiguous and place.flags.c_contiguous
    assert len(columns) <= rows.shape[1] and columns.shape[1] == len(place)
    function(
        rows.ctypes.data, rows.shape[1], place.ctypes.data, len(place), len(columns), columns.ctypes.data
    )


@cache
def numbers(field: str) -> dict[str, int]:
    """The kernel's numbers of the parts that it computes, by their names.

    Args:
        field: the field of `Learner` that takes the number: "activation", "loss" or "utility".

    Raises:
        build.Unavailable: the kernel cannot be built or loaded.
    """
    return {
        entry.name.decode(): entry.number
        for entry in _table("plasticity_names")
        if entry.field.decode() == field
    }


def _table(function: str) -> Any:
    """A table of `layout.h`, by the function that returns it."""
    count = c_int64()
    return getattr(library(), function)(byref(count))[: count.value]


def kernel(variant: str | None = None) -> Kernel:
    """The kernel for this processor.

    Args:
        variant: its name; None for the one that $PLASTICITY_KERNEL names, else the best one.

    Raises:
        build.Unavailable: it cannot be built.
        UserError: this processor has no such variant.
    """
    variant = variant or os.environ.get(VARIANT) or None
    found = library().plasticity_kernel(variant.encode() if variant else None)
    if not found:
        raise UserError(
            f"{VARIANT}={variant} is refused: it must be a variant that this machine's processor supports, one of "
            "x86-64, x86-64-v3 and x86-64-v4, or not set."
        )
    kernel: Kernel = found.contents
    return kernel
