"""Six kills of the storm; `python -m tests.storm` makes as many as it is told to."""

import random

from storm.__main__ import storm


def test_whatever_strikes_the_rows_are_those_of_an_uninterrupted_sweep(tmp_path):
    random_seed = random.randrange(10**6)
    counts = storm(tmp_path, 6, random_seed, on_cluster=False, engines=("native",))
    assert counts.total() >= 6
