"""Traced forms: a part's own code, taken once to a list of operations, from which C is written and built."""
