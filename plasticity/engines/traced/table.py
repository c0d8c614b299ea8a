"""The table of all functions that have a traced form, by their names in PyTorch."""

from plasticity.engines.traced import real, shapes
from plasticity.engines.traced.functions import FUNCTIONS

__all__ = ["FUNCTIONS", "real", "shapes"]
