"""Argument types shared by the commands that use argparse."""

import argparse


def positive(value: str) -> int:
    """Parses an argument that must be a whole number of at least 1."""
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value} is refused: it must be a whole number of at least 1.")
    return int(value)
