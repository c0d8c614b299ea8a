"""Where the command starts: it responds to Ctrl-C before it imports the rest, which takes a second, and to --help
without it."""

import argparse
import signal
from pathlib import Path

from plasticity.machine.interrupt import nothing_to_keep
from plasticity.machine.output import expect_no_reader


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
    from plasticity.launch.command import main as command

    command(known.config_dir)
