"""Where `analysis.paper.calibration` was: its earlier command still works."""

from .entry import command
from .paper.calibration import main

if __name__ == "__main__":
    command(main)
