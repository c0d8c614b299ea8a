"""Where `analysis.paper.findings` was: its earlier command still works."""

from .entry import command
from .paper.findings import main

if __name__ == "__main__":
    command(main)
