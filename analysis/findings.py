"""The earlier place of `analysis.paper.findings`, whose command still works from here."""

from .entry import command
from .paper.findings import main

if __name__ == "__main__":
    command(main)
