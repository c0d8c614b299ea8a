"""Where the command starts: it responds to Ctrl-C before it imports the rest, which takes a second."""

import signal

from plasticity.machine.interrupt import nothing_to_keep
from plasticity.machine.output import expect_no_reader


def main() -> None:
    """Runs the command."""
    signal.signal(signal.SIGINT, nothing_to_keep)
    expect_no_reader()
    from plasticity.launch.command import main as command

    command()
