"""Where analysis/remote.py looks for the folder of data sets."""

from plasticity.machine.folders import data as cache_directory

__all__ = ["cache_directory"]
