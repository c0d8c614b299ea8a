"""How a run is computed: the reference engine defines the numbers, the native one computes them fast."""

import sys
from importlib import import_module

from plasticity.engines.engine import Engine
from plasticity.errors import UserError

ENGINES = {
    "native": "plasticity.engines.native:NativeEngine",
    "reference": "plasticity.engines.reference:ReferenceEngine",
}
"""Where each engine is found: importing one may take seconds, naming it must not."""


def resolve(name: str) -> str:
    """The engine that a config's `engine.name` means on this machine: `auto` is native where it can be built.

    Raises:
        UserError: for `native` where it cannot be built, with the reason.
    """
    if name == "reference":
        return name
    from plasticity.engines.native import unavailable

    why = unavailable()
    if why is None:
        return "native"
    if name == "native":
        raise UserError(f"engine=native cannot be used here: {why}")
    print(f"The native engine cannot be used here: {why} The reference engine takes over.", file=sys.stderr)
    return "reference"


def make(name: str, threads: int) -> Engine:
    """An engine by its resolved name, computing up to `threads` runs at a time."""
    module, _, kind = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), kind)(threads=threads)
    return engine
