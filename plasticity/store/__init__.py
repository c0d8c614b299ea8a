"""The record of what was computed: a folder per run, which everything else reads."""

from plasticity.store.config import total_tasks
from plasticity.store.directory import prepare, run_folders, stored_run
from plasticity.store.folder import RunFolder
from plasticity.store.rows import Row
from plasticity.store.state import RunState

__all__ = ["Row", "RunFolder", "RunState", "prepare", "run_folders", "stored_run", "total_tasks"]
