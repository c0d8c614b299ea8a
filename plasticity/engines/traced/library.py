"""Libraries of programs, built and kept as the kernel is: each part's once for the same operations."""

import ctypes
from collections.abc import Sequence
from functools import cache

from plasticity.engines.kernel import build
from plasticity.engines.kernel.binding import Kernel
from plasticity.engines.traced.source import Program

TEXT = """#include "functions.h"

{functions}
__attribute__((visibility("default"))) Program *const KERNEL[] = {{{names}}};
"""


def addresses(programs: Sequence[Program], kernel: Kernel) -> list[int]:
    """The functions of some programs, for the processors that a kernel is compiled for.

    Raises:
        build.Unavailable: they cannot be built or loaded.
    """
    bodies = list(dict.fromkeys(program.body for program in programs))
    name = kernel.name.decode()
    library = _library(tuple(bodies), name.removeprefix("kernel_"))
    table = (ctypes.c_void_p * len(bodies)).in_dll(library, name)
    return [int(table[bodies.index(program.body)] or 0) for program in programs]


@cache
def _library(bodies: tuple[str, ...], variant: str) -> ctypes.CDLL:
    """Compiled for this kind of processor alone, since a part's user waits for it."""
    named = {f"program_{number}": body for number, body in enumerate(bodies)}
    functions = "\n".join(body.replace("NAME", name, 1) for name, body in named.items())
    return build.load(build.Source(TEXT.format(functions=functions, names=", ".join(named)), variant=variant))
