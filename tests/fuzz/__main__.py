"""The command: python -m tests.fuzz --help."""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from . import folders, overrides

BATCH = {"overrides": 100, "folders": 300}


def main() -> None:
    """Fuzzes for some time, each batch with another seed; ends at the first finding, shrunk to a small example."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--random-seed", type=int, default=0, metavar="N", help="of the first batch")
    arguments = parser.parse_args()
    deadline, counts, number = (
        time.monotonic() + 60 * arguments.minutes,
        Counter[str](),
        arguments.random_seed,
    )
    while time.monotonic() < deadline:
        for name, examples in BATCH.items():
            print(f"--random-seed {number}: {name}", flush=True)
            quiet = settings(
                max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            )  # fmt: skip
            if name == "overrides":
                quiet(seed(number)(given(overrides.command_lines)(overrides.run)))()
            else:
                quiet(seed(number)(given(folders.stages, folders.ruins)(folders.run)))()
            counts[name] += examples
        number += 1
        print(f"{dict(counts)} without a finding", flush=True)


if __name__ == "__main__":
    main()
