"""Training: a run from its checkpoint to its end, and what belongs to that."""
