"""Diagnostics: what is measured inside a network between two tasks. They change no number of a run."""

from plasticity.diagnostics.diagnostic import Diagnostic, View

__all__ = ["Diagnostic", "View"]
