"""Replacement: which hidden units are replaced, and when. One file per method."""

from plasticity.replacement.continual_backpropagation import ContinualBackpropagation
from plasticity.replacement.cpr import ContinualPartialResets
from plasticity.replacement.layers import resolve
from plasticity.replacement.random import RandomReplacement
from plasticity.replacement.redo import ReDo
from plasticity.replacement.regrama import ReGraMa
from plasticity.replacement.replacement import Memory, Replacement, Step
from plasticity.replacement.snr import SelfNormalisedResets

__all__ = [
    "ContinualBackpropagation",
    "ContinualPartialResets",
    "Memory",
    "RandomReplacement",
    "ReDo",
    "ReGraMa",
    "Replacement",
    "SelfNormalisedResets",
    "Step",
    "resolve",
]
