"""Figures of a sweep at Weights & Biases: python -m plasticity.track.figures --help."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from plasticity.errors import UserError
from plasticity.machine.interrupt import interruptible
from plasticity.machine.output import expect_no_reader
from plasticity.track.environment import require
from plasticity.track.place import Place
from plasticity.track.publication import Publication, image_key, summary_key
from plasticity.track.publisher import Publisher
from plasticity.track.publishing import ledger

SHOWN = (".png", ".jpg", ".jpeg", ".gif")
"""Endings of files that W&B shows as images; all others are stored as plain files."""


def publication(files: Sequence[Path], name: str) -> Publication:
    """Files as a publication, which replaces an earlier one of the same name.

    Raises:
        UserError: if there are two that could not be told apart.
    """
    images = tuple(file.name for file in files if file.suffix.lower() in SHOWN)
    if len({file.name for file in files}) < len(files):
        raise UserError("The files are refused: two of them have the same name.")
    if len(set(map(image_key, images))) < len(images):
        raise UserError(f"Two images would be shown under one name: {', '.join(images)}.")
    identity = summary_key(name)
    return Publication(
        identity=identity, attempt=1, name=name, group="figures", job_type="figures", tags=("figures",),
        config={"figures": sorted(file.name for file in files)}, rows=[], summary={}, images=images,
        files={file.name: file for file in files},
    )  # fmt: skip


def main() -> None:
    """Reads the arguments, publishes the files, and says where they are."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis publish_figures",
        description="Shows figures and tables on Weights & Biases, in a run of their own. Repeating the command "
        "replaces them.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="FILE | DIR",
        help="files, or directories for all files in them",
    )
    parser.add_argument(
        "--name", default="figures", help="name of the run that shows them (default: figures)"
    )
    parser.add_argument("--project", default="plasticity", help="project at W&B (default: plasticity)")
    parser.add_argument("--entity", help="user or team (default: your account's)")
    arguments = parser.parse_intermixed_args()
    try:
        files = [file for path in arguments.paths for file in _files(path)]
        made = publication(files, arguments.name)
        require("online")
    except UserError as error:
        sys.exit(str(error))
    directory = files[0].parent.absolute()
    target = Place(project=arguments.project, entity=arguments.entity, mode="online", directory=directory)
    with Publisher(target, ledger(directory)) as publisher:
        outcome = publisher.publish(made)
    if outcome.status not in ("published", "already"):
        sys.exit(f"The figures were not published: {outcome.reason}")
    counted = "1 file" if len(files) == 1 else f"{len(files)} files"
    if outcome.status == "already":
        print(f"{counted} published before, and unchanged since.")
    else:
        print(f"{counted} published: {outcome.url}")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path} is refused: there is no such file or directory.")
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise UserError(f"{path} is refused: there are no files in it.")
    return files


if __name__ == "__main__":
    expect_no_reader()
    with interruptible():
        main()
