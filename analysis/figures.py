"""Where `analysis.paper.figures` was: its earlier command still works."""

from .entry import command
from .paper.figures import main

if __name__ == "__main__":
    command(main)
