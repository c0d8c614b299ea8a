"""The earlier place of `analysis.paper.figures`, whose command still works from here."""

from .entry import command
from .paper.figures import main

if __name__ == "__main__":
    command(main)
