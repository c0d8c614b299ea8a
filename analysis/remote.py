"""Runs at Weights & Biases, fetched as the folders that they were published from.

A history at W&B is thinned when it is published and sampled when it is read, so no number is taken from one: every
published run also has its whole table, its config and its state as files, and its folder is rebuilt from these.
"""

import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from plasticity.errors import UserError
from plasticity.machine.folders import data as cache_directory
from plasticity.machine.progress import tracked
from plasticity.track.stored import CONFIG, STATE, TABLE

FILES = {CONFIG: "config.yaml", STATE: "state.json", TABLE: "tasks.csv"}
"""The name that each file has in a run's folder."""

AT_ONCE = 8
"""The number of runs to download at once."""


def fetch(place: str) -> list[str]:
    """Downloads published runs that are not in the cache yet.

    Args:
        place: ENTITY/PROJECT, or ENTITY/PROJECT/GROUP; a group may contain slashes.

    Returns:
        a directory of run folders for each run at W&B; the same run may be in more than one

    Raises:
        UserError: when there is no such project, or it has no runs that this package published.
    """
    entity, project, group = _parts(place)
    print(f"Looking for runs at W&B in {place} …", file=sys.stderr, flush=True)
    runs = _runs(f"{entity}/{project}", {"group": group} if group else {})
    runs = [run for run in runs if run.job_type != "figures"]
    root = _cache() / entity / project
    with ThreadPoolExecutor(AT_ONCE) as pool:
        downloads = [pool.submit(_folder, run, root) for run in runs]
        found = [download.result() for download in tracked(downloads, "Downloading runs")]
    left = [run.name for run, folder in zip(runs, found, strict=True) if folder is None]
    if left:
        shown = ", ".join(left[:5]) + ", …" * (len(left) > 5)
        print(
            f"{len(left)} runs at {place} have no complete table and are left out: {shown}.", file=sys.stderr
        )
    folders = [str(folder) for folder in found if folder is not None]
    if not folders:
        raise UserError(f"There are no published runs in {place}: python -m plasticity.track publishes some.")
    return folders


def _parts(place: str) -> tuple[str, str, str]:
    entity, _, rest = place.partition("/")
    project, _, group = rest.partition("/")
    if not entity or not project:
        raise UserError(f"--wandb {place} is refused: it must be ENTITY/PROJECT or ENTITY/PROJECT/GROUP.")
    return entity, project, group


def _runs(path: str, filters: dict[str, Any]) -> list[Any]:
    import wandb

    try:
        return list(wandb.Api(timeout=60).runs(path, filters=filters, per_page=500, lazy=False))
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(f"--wandb {path} is refused: {str(error).partition(chr(10))[0]}") from error


def _folder(run: Any, root: Path) -> Path | None:
    """The directory that holds a run's folder; None for a run that lacks one of its files.

    An id at W&B is written to only once, so what is in the cache never goes stale.
    """
    identity, directory = str(run.config.get("run", "")), root / str(run.id)
    if not re.fullmatch("[0-9a-f]{12}", identity):
        return None
    if directory.exists():
        return directory
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".") as temporary:
        folder = Path(temporary) / "run" / identity
        files = {file.name: file for file in run.files()}
        for name, own in FILES.items():
            if name not in files:
                return None
            downloaded = files[name].download(root=temporary, replace=True)
            downloaded.close()
            folder.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / name).rename(folder / own)
        if not directory.exists():
            (Path(temporary) / "run").rename(directory)
    return directory


def _cache() -> Path:
    server = re.sub("[^a-z0-9.]+", "_", os.environ.get("WANDB_BASE_URL", "wandb").lower())
    return cache_directory() / "wandb" / server
