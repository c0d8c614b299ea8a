"""Publications made up for the tests, and a process that publishes them."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from plasticity.publish import Ledger, Publication, Publisher, Target

CONFIG = {"model": {"width": 20, "depth": 5}, "replacement": {"layers": [1], "rate": 1e-4}, "seed": 3}
SUMMARY = {"score": 0.8125, "effective_rank.layer_1": 7.5, "engine": "native"}


def rows(count: int) -> list[dict[str, Any]]:
    """A diagnostic is measured at every 5th task, and missing at the others."""
    missing = float("nan")
    return [
        {
            "task": task, "accuracy": task / 7, "loss": 1e-300 * task,
            "weight_magnitude.layer_1": 1e9 + task / 3,
            "dead_units.layer_1": task if task % 5 == 0 else missing,
        }
        for task in range(count)
    ]  # fmt: skip


def publication(directory: Path, number: int = 0, count: int = 95, **changes: Any) -> Publication:
    """A run; `changes` are fields of `Publication`."""
    (directory / "tasks.csv").write_text("task,accuracy\n0,0.5\n")
    whole: dict[str, Any] = {
        "identity": f"run{number}", "attempt": 1, "name": f"layer 1, seed {number}",
        "group": "width 20, layer 1",
        "job_type": "layer 1", "tags": ("table_1", "width_20"), "notes": "a note", "config": CONFIG,
        "rows": rows(count), "summary": SUMMARY, "files": {"tasks.csv": directory / "tasks.csv"},
    }  # fmt: skip
    return Publication(**whole | changes)


def main() -> None:
    """Publishes the runs of a specification, and prints the outcomes as JSON."""
    spec = json.loads(sys.argv[1])
    directory = Path(spec["directory"])
    target = Target(
        project="plasticity", entity="tester", directory=directory / "published", **spec["target"]
    )
    made = [publication(directory, number, **spec["changes"]) for number in range(spec["runs"])]
    with Publisher(target, Ledger(directory / "ledger.jsonl"), spec["workers"]) as publisher:
        described = {one.identity: partial(lambda one: one, one) for one in made}
        outcomes = list(publisher.publish_all(described))
    print(json.dumps([vars(outcome) for outcome in outcomes]))


if __name__ == "__main__":
    main()
