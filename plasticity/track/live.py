"""Runs that are shown while they are computed: what is in their folders is sent now and then."""

from collections.abc import Callable

from plasticity.store import RunFolder
from plasticity.track.ledger import Entry
from plasticity.track.publication import Publication
from plasticity.track.publisher import Delivery, Publisher
from plasticity.track.sender import Sender

LOOK_SECONDS = 2.0
"""Time between two looks at the rows of the runs that are shown."""


class Live:
    """Runs that are open at W&B, in one client. Only one thread may use it.

    What arrives in the end is what publishing the whole run would have sent, and it is read back in the same way. A
    client that fails is abandoned with all of its runs, which are then published whole, once they have ended.

    Args:
        publisher: the session's publisher.
        describe: turns a run's folder into a publication.
    """

    def __init__(self, publisher: Publisher, describe: Callable[[RunFolder], Publication]):
        self.publisher, self.describe = publisher, describe
        self.open: dict[str, tuple[RunFolder, Entry]] = {}
        self._worker: Sender | None = None

    def begin(self, folder: RunFolder) -> None:
        """Opens a run that is being computed, with the rows that it has."""
        if self.publisher.broken:
            return
        publication = self.describe(folder)
        self.publisher.adopt(publication, "")
        entry = self.publisher.enter(publication, "")
        self.open[folder.identity] = folder, entry
        if self._tell("begin", publication, entry.id, self.publisher.target):
            self._extend(publication, entry)

    def look(self) -> None:
        """Sends the rows that are new."""
        for folder, entry in list(self.open.values()):
            if folder.identity in self.open:
                self._extend(self.describe(folder), entry)

    def end(self, folder: RunFolder) -> Delivery | None:
        """Closes a run that has ended, and reads it back; None for one that is not open, or did not arrive."""
        if folder.identity not in self.open:
            return None
        _, entry = self.open[folder.identity]
        publication = self.describe(folder)
        url = self._tell("end", publication, entry.id, self.publisher.target)
        self.open.pop(folder.identity, None)
        return self.publisher.arrival(publication, entry, url) if url else None

    def close(self) -> None:
        """Ends the client."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None
        self.open.clear()

    def _extend(self, publication: Publication, entry: Entry) -> None:
        self._tell("extend", entry.id, publication.history(self.publisher.target.every, whole=False))

    def _tell(self, operation: str, *arguments: object) -> str | None:
        """Makes the client do something. Returns None if that failed."""
        publisher = self.publisher
        if self._worker is None:
            self._worker = Sender(publisher.target)
        try:
            done = self._worker.ask(
                operation, *arguments, seconds=publisher.target.deadline, stopped=publisher.stopped
            )
        except Exception as error:
            for identity, (_, entry) in self.open.items():
                publisher.note(identity, entry.id, "failed", str(error))
            self.close()
            publisher.judge(error, operation)
            return None
        return done or "done"
