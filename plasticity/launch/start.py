"""Where the command starts: it responds to Ctrl-C before it imports the rest, which takes a second, and to --help
without it."""

import argparse
import gc
import signal
from pathlib import Path

from plasticity.machine.interrupt import nothing_to_keep
from plasticity.machine.output import expect_no_reader

OBJECTS = 50_000
"""Number of new objects after which Python looks for garbage, in place of 700: imports and composing make many, and
most of them stay."""


def main() -> None:
    """Runs the command."""
    signal.signal(signal.SIGINT, nothing_to_keep)
    expect_no_reader()
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path)
    known, _ = parser.parse_known_args()
    if known.help:
        from plasticity.composition.help import help_text

        print(help_text([known.config_dir] if known.config_dir else []))
        return
    gc.set_threshold(OBJECTS)
    from plasticity.launch.command import main as command

    try:
        command(known.config_dir)
    finally:
        gc.freeze()  # no garbage is looked for at exit, which frees all memory anyway
