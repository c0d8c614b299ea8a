"""Where `analysis.paper.table_1` was: its earlier command still works."""

from .entry import command
from .paper.table_1 import main

if __name__ == "__main__":
    command(main)
