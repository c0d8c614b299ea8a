"""Publications made up for the tests."""

from pathlib import Path
from typing import Any

from plasticity.track import Publication

CONFIG = {"model": {"width": 20, "depth": 5}, "replacement": {"layers": [1], "rate": 1e-4}, "seed": 3}
SUMMARY = {"score": 0.8125, "effective_rank.layer_1": 7.5, "engine": "native"}


def rows(count: int) -> list[dict[str, Any]]:
    """Rows with a diagnostic that is measured in every 5th task, and missing in the others."""
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
    (directory / "table.csv").write_text("task,accuracy\n0,0.5\n")
    whole: dict[str, Any] = {
        "identity": f"run{number}", "attempt": 1, "name": f"layer 1, seed {number}",
        "group": "width 20, layer 1",
        "job_type": "layer 1", "tags": ("table_1", "width_20"), "notes": "a note", "config": CONFIG,
        "rows": rows(count), "summary": SUMMARY,
        "files": {"tasks.csv": directory / "table.csv", "state.json": b"{}"},
    }  # fmt: skip
    return Publication(**whole | changes)
