"""The earlier place of `analysis.paper.calibration`, whose command still works from here."""

from .entry import command
from .paper.calibration import main

if __name__ == "__main__":
    command(main)
