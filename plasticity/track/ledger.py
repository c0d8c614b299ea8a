"""What was published where: an append-only file of JSON lines."""

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from plasticity.machine.lock import lock
from plasticity.store.claim import claim


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event in the history of a publication.

    Attributes:
        place: the target; see `Place.place`.
        identity: the run's identity.
        id: the id under which the run is, or was, at W&B. No id is ever begun twice.
        event: "begun", before the server receives it; "published", once it is read back whole, or is whole in the
            offline folder; "failed", with the reason; "deleted", once it is gone again; "foreign", if the server
            already had a run with this id, which is then never deleted from here.
        digest: the digest of what was published.
        stamp: the run's stamp when it was published; see `Publication.stamp`.
        rows: number of rows of its history.
        last_task: the last row's task.
        reason: why it failed.
        seconds: the time, since 1970.
    """

    place: str
    identity: str
    id: str
    event: str
    digest: str = ""
    stamp: str = ""
    rows: int = 0
    last_task: int | None = None
    reason: str = ""
    seconds: float = 0.0


TEXTS = tuple(field.name for field in fields(Entry) if field.type in (str, "str"))
"""The attributes of an entry that are texts."""

TURNS = 64
"""How many files those who publish runs lock: few, and yet two runs seldom share one."""


class Ledger:
    """The entries in a file, to which several processes may add. An entry that was added is on the disk."""

    def __init__(self, path: Path):
        self.path = path

    def entries(self, place: str | None = None, identity: str | None = None) -> list[Entry]:
        """The entries so far, oldest first. Lines that make no sense, such as one cut short, are skipped."""
        try:
            found = list(_parse(self.path.read_bytes()))
        except FileNotFoundError:
            return []
        return [
            entry for entry in found if place in (None, entry.place) and identity in (None, entry.identity)
        ]

    def begin(self, place: str, identity: str, attempt: int, digest: str) -> Entry:
        """Gives a publication an id that was never used here, and records it before it is used."""
        with self._locked():
            taken = {entry.id for entry in self.entries(identity=identity)}
            first = f"{identity}-{attempt}"
            names = (first if number == 1 else f"{first}-{number}" for number in range(1, len(taken) + 2))
            name = next(name for name in names if name not in taken)
            return self._append(Entry(place=place, identity=identity, id=name, event="begun", digest=digest))

    def adopt(self, place: str, identity: str, name: str, digest: str, foreign: bool = False) -> Entry:
        """Takes over an id that was not assigned here; a foreign one is never deleted from here."""
        entry = Entry(place=place, identity=identity, id=name, event="begun", digest=digest)
        with self._locked():
            if foreign:
                self._append(replace(entry, event="foreign", reason="its id was not given here"))
            return self._append(entry)

    def add(self, entry: Entry) -> Entry:
        """Appends an entry."""
        with self._locked():
            return self._append(entry)

    @contextmanager
    def turn(self, identity: str, patient: Callable[[], bool]) -> Iterator[bool]:
        """Makes all who publish a run, in any process, take turns.

        Yields:
            True when it is our turn; False if another one is still at it when `patient()` says no.

        Raises:
            UserError: if the file system has no locks.
        """
        folder = self.path.with_name(f"{self.path.name}.locks")
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            with claim(folder / str(zlib.crc32(identity.encode()) % TURNS)) as ours:
                if ours or not patient():
                    yield ours
                    return
            time.sleep(0.1)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with lock(self.path, patience=None) as ours:
            if ours.refusal is not None:
                raise ours.refusal
            yield

    def _append(self, entry: Entry) -> Entry:
        line = json.dumps(asdict(entry) | {"seconds": time.time()})
        with open(self.path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            torn = end > 0 and file.seek(end - 1) is not None and file.read(1) != b"\n"
            file.write(b"\n" * torn + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return entry


def _parse(written: bytes) -> Iterator[Entry]:
    for line in written.splitlines():
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue
        if all(isinstance(getattr(entry, name), str) for name in TEXTS):
            yield entry


@dataclass(frozen=True)
class Standing:
    """The standing of a run at a place: the entry that counts, and the ids that are to be deleted.

    Attributes:
        published: the latest publication that arrived whole and is still there.
        begun: the latest one that was begun and neither arrived nor is gone, if it is later than `published`.
        superseded: the ids that were begun before `published` and are not gone.
    """

    published: Entry | None
    begun: Entry | None
    superseded: tuple[str, ...]

    def current(self, stamp: str) -> Entry | None:
        """The publication with this stamp, if nothing is left to be done for its run."""
        there = self.published
        return there if there and there.stamp == stamp and not self.begun and not self.superseded else None


def standings(entries: list[Entry], place: str) -> dict[str, Standing]:
    """The standing of each run at a place, by identity."""
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.place == place:
            by_run.setdefault(entry.identity, []).append(entry)
    return {identity: standing(found) for identity, found in by_run.items()}


def standing(entries: list[Entry]) -> Standing:
    """The standing of a run, from all of its entries at a place. Later means begun later."""
    begun = {entry.id: entry for entry in entries if entry.event == "begun"}
    gone = {entry.id for entry in entries if entry.event == "deleted"}
    foreign = {entry.id for entry in entries if entry.event == "foreign"}
    whole: dict[str, Entry] = {}
    for entry in entries:
        if entry.event == "published":
            whole[entry.id] = entry
        elif entry.event == "failed":
            whole.pop(entry.id, None)
    order = [identity for identity in begun if identity not in gone]
    published = next((identity for identity in reversed(order) if identity in whole), None)
    at = order.index(published) if published else -1
    open_ones = [identity for identity in order[at + 1 :] if identity not in foreign]
    return Standing(
        published=whole[published] if published else None,
        begun=begun[open_ones[-1]] if open_ones else None,
        superseded=tuple(identity for identity in order[: max(at, 0)] if identity not in foreign),
    )
