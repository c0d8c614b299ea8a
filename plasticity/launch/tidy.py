"""Tidies the folders of finished runs whose launch was killed, or that were damaged."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from plasticity.errors import UserError
from plasticity.run import Run
from plasticity.store import RunFolder


def tidy(finished: Iterable[Run], unreadable: Iterable[Run], runs_dir: Path) -> list[str]:
    """Removes what finished runs no longer need, and rewrites what cannot be read.

    Args:
        finished: the runs.
        unreadable: those of them whose config cannot be read.
        runs_dir: the directory of runs.

    Returns:
        sentences that the user should read
    """
    for run in finished:
        _remove_checkpoint(RunFolder.of(runs_dir, run), run)
    return [_rewritten_config(RunFolder.of(runs_dir, run), run) for run in unreadable]


def _remove_checkpoint(folder: RunFolder, run: Run) -> None:
    """Removes the checkpoint that a finished run still has if its process was killed at its very end."""
    if not folder.has_checkpoint():
        return
    with (
        suppress(OSError, UserError),
        folder.claim() as held,
    ):  # if it can't be removed, it only takes up room
        if held and folder.state(run).is_finished:
            folder.remove_checkpoint()


def _rewritten_config(folder: RunFolder, run: Run) -> str:
    """Rewrites the unreadable config of a finished run, which its folder's name identifies. Returns a note."""
    try:
        with folder.claim() as held:
            if held:
                folder.create(run)
    except (OSError, UserError) as error:
        why = getattr(error, "strerror", None) or error
        return f"{folder.path / 'config.yaml'} can be neither read nor rewritten ({why})."
    return f"{folder.path / 'config.yaml'} could not be read, and was rewritten."
