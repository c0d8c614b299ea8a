"""Ways to ruin a run's files, each of which can be told from a whole file."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path


def _empty(path: Path, choices: random.Random) -> None:
    path.write_bytes(b"")


def _remove(path: Path, choices: random.Random) -> None:
    path.unlink()


def _truncate(path: Path, choices: random.Random) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: choices.randrange(len(contents))] if contents else b"")


def _flip_a_bit(path: Path, choices: random.Random) -> None:
    contents = bytearray(path.read_bytes())
    if contents:
        contents[choices.randrange(len(contents))] ^= 1 << choices.randrange(8)
    path.write_bytes(contents)


def _nonsense(path: Path, choices: random.Random) -> None:
    path.write_bytes(choices.randbytes(200))


def _directory(path: Path, choices: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def _later_version(path: Path, choices: random.Random) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))


def _change_rows(path: Path, choices: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if len(lines) > 2:
        at = choices.randrange(1, len(lines) - 1)
        before, row, after, rest = lines[:at], lines[at], lines[at + 1], lines[at + 2 :]
        changed = {
            "gone": [after],
            "doubled": [row, row, after],
            "swapped": [after, row],
            "merged": [row[:-1], after],
            "torn": [row[: len(row) // 2] + b"\n", after],
        }
        path.write_bytes(b"".join([*before, *changed[choices.choice(list(changed))], *rest]))


RUINS: dict[str, tuple[Callable[[Path, random.Random], None], ...]] = {
    "state.json": (_empty, _remove, _truncate, _nonsense, _directory, _later_version),
    "tasks.csv": (_empty, _remove, _truncate, _nonsense, _directory, _change_rows),
    "checkpoint.npz": (_empty, _remove, _truncate, _nonsense, _directory, _flip_a_bit),
    "config.yaml": (_empty, _remove, _nonsense, _directory),
}


def ruin(folders: list[Path], choices: random.Random) -> tuple[str, Path] | None:
    """Ruins a file of one of some runs in place: a process that has it open keeps writing to it.

    Returns:
        what was done, and to which run; None if there was nothing to ruin
    """
    if not folders:
        return None
    folder = choices.choice(folders)
    file = choices.choice(list(RUINS))
    how = choices.choice(RUINS[file])
    try:
        how(folder / file, choices)
    except (OSError, ValueError):  # it is not there, or was replaced at this moment
        return None
    return f"{file}: {how.__name__.strip('_').replace('_', ' ')}", folder


def ruin_whole(folders: list[Path], choices: random.Random) -> tuple[str, Path] | None:
    """Puts a file in the place of a run's folder; only to be used while no process computes the run."""
    if not folders:
        return None
    folder = choices.choice(folders)
    shutil.rmtree(folder)
    folder.write_text("notes")
    return "a file in place of the folder", folder
