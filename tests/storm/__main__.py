"""The command: python -m tests.storm --help."""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .cluster import Cluster
from .season import Broken, Season, uninterrupted

KILLS_PER_SEASON = 40
ENGINES = (*["native"] * 9, "reference")


def storm(
    folder: Path,
    kills: int,
    random_seed: int,
    on_cluster: bool,
    season: int = 0,
    before: Counter[str] | None = None,
    engines: Sequence[str] = ENGINES,
) -> Counter[str]:
    """Runs seasons until there have been `kills` kills.

    Args:
        folder: holds the seasons, which come and go, and the rows of the uninterrupted sweep, which stay.
        kills: how many, including those of `before`.
        random_seed: decides what happens in each season.
        on_cluster: whether there is a cluster to submit to.
        season: number of the first season.
        before: what was done in earlier seasons.
        engines: each season uses one of them.

    Returns:
        what was done, and how often

    Raises:
        Broken: saying how to reproduce it.
    """
    counts = Counter(before or {})
    expected: dict[str, dict[str, bytes]] = {}
    while counts.total() < kills:
        choices = random.Random(f"{random_seed} {season}")
        engine = choices.choice(engines)
        if engine not in expected:
            expected[engine] = uninterrupted(folder / f"uninterrupted-{engine}", engine)
        place = folder / f"season-{season}"
        shutil.rmtree(place, ignore_errors=True)
        left = min(KILLS_PER_SEASON, kills - counts.total())
        began = time.monotonic()
        try:
            counts += Season(place, engine, expected[engine], choices, on_cluster).pass_over(left)
        except Broken as error:
            again = f"--random-seed {random_seed} --first-season {season} --kills {left}"
            again += " --slurm" * on_cluster
            raise Broken(f"Season {season}: {error}\nAgain: python -m tests.storm {again}") from error
        shutil.rmtree(place)
        print(
            f"season {season}: {engine}, {time.monotonic() - began:.0f} s; {counts.total()} kills", flush=True
        )
        season += 1
        (folder / "counts.json").write_text(json.dumps({"season": season, "counts": counts}))
    return counts


def main() -> None:
    """Reads the arguments and runs the storm."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm")
    parser.add_argument("--kills", type=int, default=30, metavar="N")
    parser.add_argument("--random-seed", type=int, default=random.randrange(10**6), metavar="N")
    parser.add_argument("--first-season", type=int, default=0, metavar="N", help="to see one again")
    parser.add_argument("--slurm", action="store_true", help="also on a private SLURM (as root)")
    parser.add_argument("--folder", type=Path, help="keep counts here, and go on from those that are there")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="storm-"))
    folder.mkdir(parents=True, exist_ok=True)
    season, before = arguments.first_season, Counter[str]()
    if (folder / "counts.json").exists():
        known = json.loads((folder / "counts.json").read_text())
        season, before = known["season"], Counter(known["counts"])
    print(f"random seed {arguments.random_seed}, in {folder}", flush=True)
    cluster = Cluster() if arguments.slurm else None
    try:
        counts = storm(folder, arguments.kills, arguments.random_seed, arguments.slurm, season, before)
    except Broken as error:
        sys.exit(str(error))
    finally:
        if cluster:
            cluster.stop()
    for what, number in counts.most_common():
        print(f"{number:6} {what}")
    print(
        f"{counts.total():6} in all: every run finished once, and its rows are those of an uninterrupted sweep"
    )


if __name__ == "__main__":
    main()
