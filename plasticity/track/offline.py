"""Offline runs: folders that W&B's client wrote, for `wandb sync` to upload."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from plasticity.track.ledger import Entry
from plasticity.track.place import Place

SEAL = "publication.json"
"""The file in an offline run's folder that says what it holds. `wandb sync` does not upload it."""


@dataclass(frozen=True)
class Seal:
    """What an offline run's folder holds.

    Attributes:
        digest: the digest of the publication.
        path: the entity and the project that it was published for; see `Place.path`.
    """

    digest: str
    path: str

    def write(self, folder: Path) -> None:
        """Seals a folder that is yet to be moved into place."""
        (folder / SEAL).write_text(json.dumps(asdict(self)))


def folders(directory: Path, name: str) -> list[Path]:
    """The folders of the offline run with an id; there is none, or one."""
    return [path for path, other in _offline(directory) if other == name]


def sealed(directory: Path, identity: str) -> dict[str, Seal | None]:
    """The ids under which a run is in a directory, and what each folder holds; None if it does not say so."""
    return {name: seal(path) for path, name in _offline(directory) if name.startswith(f"{identity}-")}


def held(target: Place, identity: str, entries: Mapping[str, Entry], digest: str) -> dict[str, str]:
    """The digests of what a run's folders hold for a target, by id.

    Args:
        entries: what the ledger says of an id at another place, for folders that have no seal.
        digest: what a folder is trusted to hold of which neither its seal nor the ledger says anything.
    """
    found = {}
    for name, sealed_as in sealed(target.directory, identity).items():
        entry = entries.get(name)
        if sealed_as is not None:
            what, place = sealed_as.digest, f" {sealed_as.path}"
        elif entry is not None:
            what, place = entry.digest, entry.place
        else:
            what, place = digest, f" {target.path}"
        if target.alike(place):
            goes_there = target.mode == "online" or place.endswith(f" {target.path}")
            found[name] = what if goes_there else ""  # `wandb sync` would send it to another entity
    return found


def seal(folder: Path) -> Seal | None:
    """What a folder holds, or None if it does not say so."""
    try:
        found = Seal(**json.loads((folder / SEAL).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found.digest, str) and isinstance(found.path, str) else None


def _offline(directory: Path) -> Iterator[tuple[Path, str]]:
    """Each offline run's folder and id. A folder is named `offline-run-<time>-<id>`; the id may have dashes."""
    for path in sorted(directory.glob("wandb/offline-run-*")):
        yield path, path.name.split("-", 3)[-1]
