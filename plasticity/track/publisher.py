"""Publishes runs, several at once, and never twice. It raises nothing: what went wrong is in the outcome."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any

from plasticity.track import offline
from plasticity.track.errors import Incomplete, PublishingStopped, Taken, Unreachable
from plasticity.track.ledger import Entry, Ledger, Standing, standing
from plasticity.track.place import Place
from plasticity.track.publication import Publication
from plasticity.track.sender import Sender


@dataclass(frozen=True)
class Delivery:
    """What became of a publication.

    Attributes:
        identity: the run's identity.
        id: the id under which it is at W&B, or None if it is not.
        status: "published"; "already", if the run was published before and did not change; "failed"; or
            "postponed", if it was not tried, because the server failed others or publishing was stopped.
        reason: why it was not published, in words.
        url: the run's address.
    """

    identity: str
    id: str | None
    status: str
    reason: str = ""
    url: str | None = None


class Publisher:
    """Publishes to one target for as long as a session lasts.

    A server that kept one run waiting until its deadline, or refused one outright, is not tried again in this
    session: each run would wait as long. The same goes after two runs in a row that were uploaded but did not
    arrive. The remaining runs are `postponed`, and a later session publishes them.

    Args:
        target: where to publish.
        ledger: what was published before, by any process.
        workers: how many runs are published at once, each by its own client.

    Attributes:
        broken: why the server is no longer tried, or None.
    """

    def __init__(self, target: Place, ledger: Ledger, workers: int = 1):
        self.target, self.ledger, self.workers = target, ledger, workers
        self.broken: str | None = None
        self._lost_in_turn = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[Sender] = []

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def stop(self) -> None:
        """Abandons at once what is being published. Safe in a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Ends the clients."""
        self.stop()
        while self._idle:
            self._idle.pop().kill()

    def publish(self, publication: Publication) -> Delivery:
        """Publishes a run, unless it is already there. It never raises an `Exception`."""
        return self.publish_described(publication.identity, lambda: publication)

    def publish_described(self, identity: str, describe: Callable[[], Publication]) -> Delivery:
        """Publishes a run that is yet to be read, as `publish` does."""
        if self.stopped():
            return self.postponed(identity)
        try:
            return self._publish(describe())
        except Exception as error:  # whatever it is, the run is computed and stored
            status = "postponed" if isinstance(error, PublishingStopped) else "failed"
            return Delivery(identity, None, status, str(error) or type(error).__name__)

    def verify(self, publication: Publication) -> Delivery:
        """Reads back a published run. If it is no longer whole, `publish` publishes it again."""
        published = self._standing(publication).published
        if published is None:
            return Delivery(publication.identity, None, "failed", "it was not published")
        try:
            self._ask("verify", publication, published.id)
        except Exception as error:
            if isinstance(error, Incomplete):
                self.note(publication.identity, published.id, "failed", str(error))
            return Delivery(publication.identity, None, "failed", str(error))
        return Delivery(publication.identity, published.id, "already")

    def publish_all(self, described: Mapping[str, Callable[[], Publication]]) -> Iterator[Delivery]:
        """Publishes many runs, `workers` at a time, in whatever order they are done.

        Args:
            described: for each run, by its identity, a function that reads it.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            tasks = [pool.submit(self.publish_described, *one) for one in described.items()]
            try:
                for task in as_completed(tasks):
                    yield task.result()
            except BaseException:  # Ctrl-C, or nobody asks for the rest
                self.stop()
                raise

    def _publish(self, publication: Publication) -> Delivery:
        digest = publication.digest(self.target.every)
        there = self._there(publication, digest)
        if there is not None:
            return there
        end = time.monotonic() + 2 * self.target.deadline
        with self.ledger.turn(
            publication.identity, lambda: not self._done() and time.monotonic() < end
        ) as ours:
            if self._done():
                return self.postponed(publication.identity)
            if not ours:
                return Delivery(publication.identity, None, "postponed", "another process is publishing it")
            return self._there(publication, digest) or self._send(publication, digest)

    def _there(self, publication: Publication, digest: str) -> Delivery | None:
        """The outcome for a run that was published before and did not change; None for any other."""
        before = self._standing(publication)
        there = before.published
        if there is None or there.digest != digest or before.begun is not None:
            return None
        if publication.id not in (None, there.id):
            return None
        self._remove(publication, before.superseded)
        return Delivery(publication.identity, there.id, "already")

    def _send(self, publication: Publication, digest: str) -> Delivery:
        """Publishes a run, unless it is at its place after all, though the ledger does not say so."""
        adopted = self.adopt(publication, digest)
        begun = adopted[-1] if adopted else self._standing(publication).begun
        if begun is not None and (begun.digest != digest or publication.id not in (None, begun.id)):
            begun = None
        url = self._arrived(publication, begun) if begun else None
        if begun is None or url is None:
            begun, url = self._upload(publication, digest)
        return self.arrival(publication, begun, url)

    def postponed(self, identity: str) -> Delivery:
        """The outcome of a run that is not tried."""
        return Delivery(identity, None, "postponed", self.broken or "publishing was stopped")

    def enter(self, publication: Publication, digest: str) -> Entry:
        """Records that a publication is begun, under its own id."""
        place, identity = self.target.place, publication.identity
        used = {entry.id for entry in self.ledger.entries(place, identity)}
        if publication.id is not None and publication.id not in used:
            return self.ledger.adopt(place, identity, publication.id, digest, foreign=True)
        return self.ledger.begin(place, identity, publication.attempt, digest)

    def arrival(self, publication: Publication, begun: Entry, url: str | None) -> Delivery:
        """Records that a run arrived whole, and deletes what it replaces."""
        rows = publication.history(self.target.every)
        last = rows[-1].get("task") if rows else None
        digest, stamp = publication.digest(self.target.every), publication.stamp
        self.ledger.add(
            replace(begun, event="published", digest=digest, stamp=stamp, rows=len(rows), last_task=last)
        )
        self._lost_in_turn = 0
        self._remove(publication, self._standing(publication).superseded)
        return Delivery(publication.identity, begun.id, "published", url=url or None)

    def adopt(self, publication: Publication, digest: str) -> list[Entry]:
        """Takes over the ids under which a run is at its place, though the ledger has them elsewhere or not at all.

        A server and an entity have several names, and `wandb sync` uploads an offline run wherever it is told to.
        Therefore the server is asked for every id that the run was ever given, and the disk for its folders.
        """
        target, entries = self.target, self.ledger.entries(identity=publication.identity)
        known = {entry.id for entry in entries if entry.place == target.place}
        elsewhere = {
            entry.id: entry
            for entry in entries
            if entry.id not in known and entry.event in ("begun", "published")
        }
        on_disk = offline.held(target, publication.identity, elsewhere, digest)
        found = {name: held for name, held in on_disk.items() if name not in known}
        asked = [name for name in elsewhere if name not in found]
        if target.mode == "online" and asked:
            found |= {name: elsewhere[name].digest for name in self._ask("present", asked)}
        foreign = {entry.id for entry in entries if entry.event == "foreign"}
        return [
            self.ledger.adopt(target.place, publication.identity, name, found[name], name in foreign)
            for name in sorted(found, key=[*elsewhere, *found].index)
        ]

    def _upload(self, publication: Publication, digest: str) -> tuple[Entry, str | None]:
        """Publishes a run under a new id. If the server already has an equal run under it, that one counts."""
        begun = self.enter(publication, digest)
        try:
            return begun, self._ask("publish", publication, begun.id)
        except Taken:
            self.note(publication.identity, begun.id, "foreign", "the server has a run of this id")
            url = self._arrived(publication, begun)
            return (begun, url) if url is not None else self._upload(publication, digest)
        except Exception as error:
            self.note(publication.identity, begun.id, "failed", str(error))
            raise

    def _arrived(self, publication: Publication, begun: Entry) -> str | None:
        """The address of a run ("" offline) if it is there whole, perhaps from a killed process; None if not."""
        try:
            return self._ask("verify", publication, begun.id, patience=0) or ""
        except Incomplete:
            return None

    def _remove(self, publication: Publication, names: tuple[str, ...]) -> None:
        """Deletes what was begun before the publication that counts, or leaves it for the next time."""
        for name in names:
            if self._done():
                return
            try:
                self._ask("remove", name)
            except Exception as error:  # the run itself is published
                self.note(publication.identity, name, "failed", f"not deleted: {error}")
            else:
                self.note(publication.identity, name, "deleted")

    def stopped(self) -> bool:
        """Whether publishing was stopped."""
        return self._stopping.is_set()

    def _done(self) -> bool:
        return self.broken is not None or self.stopped()

    def note(self, identity: str, name: str, event: str, reason: str = "") -> None:
        """Records what became of a publication."""
        place = self.target.place
        self.ledger.add(Entry(place=place, identity=identity, id=name, event=event, reason=reason))

    def _standing(self, publication: Publication) -> Standing:
        return standing(self.ledger.entries(self.target.place, publication.identity))

    def _ask(self, operation: str, *arguments: object, patience: float | None = None) -> Any:
        """Makes an idle client do something. One that hangs because of the server or a signal is not used again."""
        with self._lock:
            worker = self._idle.pop() if self._idle else Sender(self.target)
        extra = () if patience is None else (patience,)
        try:
            answer = worker.ask(
                operation, *arguments, self.target, *extra,
                seconds=self.target.deadline, stopped=self.stopped,
            )  # fmt: skip
        except Incomplete as error:
            self._idle.append(worker)
            self.judge(error, operation)
            raise
        except BaseException as error:
            worker.kill()
            self.judge(error, operation)
            raise
        self._idle.append(worker)
        return answer

    def judge(self, error: BaseException, operation: str) -> None:
        """Decides whether the server is worth another try after an error."""
        if isinstance(error, Unreachable):
            self.broken = str(error)
        elif isinstance(error, Incomplete) and operation == "publish":
            self._lost_in_turn += 1
            if self._lost_in_turn > 1:
                self.broken = str(error)
