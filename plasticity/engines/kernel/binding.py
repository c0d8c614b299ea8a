"""The kernel as Python sees it: the structures of `learner.h`, and the functions of the built library."""

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_uint64, c_void_p
from functools import cache
from itertools import zip_longest

from plasticity.engines.kernel import build
from plasticity.errors import UserError

VARIANT = "PLASTICITY_KERNEL"
"""Environment variable that forces a variant: x86-64, x86-64-v3 or x86-64-v4. All give the same results."""


class Layer(ctypes.Structure):
    """`Layer` of `learner.h`."""

    _fields_ = [
        ("inputs", c_int32),
        ("units", c_int32),
        ("stride", c_int32),
        ("body_length", c_int32),
        ("tail_length", c_int32),
        ("body", c_void_p),
        ("tail", c_void_p),
        ("place", c_void_p),
        ("bias", c_void_p),
        ("row_magnitude", c_void_p),
        ("used", c_int32),
        ("row", c_void_p),
        ("value", c_void_p),
        ("z", c_void_p),
        ("activation", c_void_p),
        ("slope", c_void_p),
        ("error", c_void_p),
        ("rate", c_double),
        ("debt", c_double),
        ("bound", c_float),
        ("mature", c_int32),
        ("next_mature", c_int64),
        ("born", c_void_p),
        ("observed", c_void_p),
        ("utility", c_void_p),
        ("mean_activation", c_void_p),
        ("fading", c_void_p),
        ("chosen", c_void_p),
        ("choices", c_int32),
        ("scratch", c_void_p),
        ("total_magnitude", c_double),
        ("replaced", c_int64),
    ]


class Learner(ctypes.Structure):
    """`Learner` of `learner.h`."""

    _fields_ = [
        ("depth", c_int32),
        ("batch", c_int32),
        ("layer", POINTER(Layer)),
        ("activation", c_int),
        ("loss", c_int),
        ("utility", c_int),
        ("bias_compensation", c_int32),
        ("by_chance", c_int32),
        ("step_size", c_double),
        ("kept", c_double),
        ("decay_rate", c_double),
        ("faded_at", c_int64),
        ("maturity_threshold", c_int64),
        ("seed", c_uint64),
        ("scale", c_double),
        ("clock", c_int64),
        ("finite", c_int32),
        ("again", c_int32),
        ("total_loss", c_double),
        ("right", c_int64),
        ("total_plasticity", c_double),
    ]


class Examples(ctypes.Structure):
    """`Examples` of `learner.h`."""

    _fields_ = [
        ("start", c_void_p),
        ("index", c_void_p),
        ("entry", c_void_p),
        ("dense", c_void_p),
        ("label", c_void_p),
        ("target", c_void_p),
        ("order", c_void_p),
        ("first_step", c_int64),
        ("count", c_int64),
    ]


class Kernel(ctypes.Structure):
    """The functions of `kernel.h`. Python's global interpreter lock is released while one of them runs."""

    _fields_ = [
        ("learn", ctypes.CFUNCTYPE(c_int64, POINTER(Learner), POINTER(Examples), c_int64, c_int64)),
        ("look", ctypes.CFUNCTYPE(c_int64, POINTER(Learner), POINTER(Examples), c_int64, POINTER(c_void_p))),
        ("activate", ctypes.CFUNCTYPE(None, c_int, c_int, c_void_p, c_void_p, c_void_p)),
    ]


class Field(ctypes.Structure):
    """`Field` of `layout.h`."""

    _fields_ = [("structure", c_char_p), ("name", c_char_p), ("offset", c_int64), ("size", c_int64)]


@cache
def library() -> ctypes.CDLL:
    """The built library.

    Raises:
        build.Unavailable: it cannot be built or loaded.
        LayoutError: its structures differ from those above.
    """
    path = build.library()
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise build.Unavailable(
            f"The native engine's kernel cannot be loaded ({error}): set the environment variable {build.CACHE} "
            "to a folder from which programs may be loaded."
        ) from error
    loaded.plasticity_kernel.argtypes = [c_char_p]
    loaded.plasticity_kernel.restype = POINTER(Kernel)
    loaded.plasticity_words.argtypes = [c_uint64, c_uint64, c_void_p, c_int64, c_void_p]
    loaded.plasticity_words.restype = None
    loaded.plasticity_fields.argtypes = [POINTER(c_int64)]
    loaded.plasticity_fields.restype = POINTER(Field)
    check_layout(loaded, Layer, Learner, Examples)
    return loaded


class LayoutError(Exception):
    """The structures in Python and in the kernel differ: each would misread what the other wrote."""


def check_layout(loaded: ctypes.CDLL, *structures: type[ctypes.Structure]) -> None:
    """Compares structures with the library's, field by field: names, order, offsets and sizes.

    Raises:
        LayoutError: naming the first field that differs.
    """
    count = c_int64()
    table = loaded.plasticity_fields(byref(count))
    theirs = [(f.structure.decode(), f.name.decode(), f.offset, f.size) for f in table[: count.value]]
    ours = [field for structure in structures for field in _fields(structure)]
    for our, their in zip_longest(ours, theirs):
        if our != their:
            raise LayoutError(
                "binding.py and the kernel disagree about (structure, field, offset, size): "
                f"{our} there, {their} in the kernel."
            )


def _fields(structure: type[ctypes.Structure]) -> list[tuple[str, str, int, int]]:
    """Rows of the table of `layout.h`, including the nameless last one."""
    places = [(name, getattr(structure, name)) for name, *_ in structure._fields_]
    rows = [(structure.__name__, name, place.offset, place.size) for name, place in places]
    return [*rows, (structure.__name__, "", ctypes.sizeof(structure), 0)]


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
    return found.contents
