"""The earlier place of `analysis.paper.table_1`, whose command still works from here."""

from .entry import command
from .paper.table_1 import main

if __name__ == "__main__":
    command(main)
