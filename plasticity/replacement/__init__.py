"""Replacement: which hidden units are replaced, and when. One file per method."""

from plasticity.replacement.continual_backpropagation import ContinualBackpropagation
from plasticity.replacement.layers import resolve
from plasticity.replacement.replacement import Memory, Replacement, Step

__all__ = ["ContinualBackpropagation", "Memory", "Replacement", "Step", "resolve"]
