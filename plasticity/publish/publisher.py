"""Publishes runs, several at once, and never twice. It raises nothing: what went wrong is in the outcome."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from plasticity.publish.errors import Incomplete, Stopped, Taken, Unreachable
from plasticity.publish.ledger import Entry, Ledger, Standing, standing
from plasticity.publish.publication import Publication
from plasticity.publish.target import Target
from plasticity.publish.worker import Worker


@dataclass(frozen=True)
class Outcome:
    """What became of a publication.

    Attributes:
        identity: of the run.
        id: under which it is at W&B, or None if it is not.
        status: "published"; "already", of a run that was published before and did not change; "failed"; or
            "postponed", of a run that was not tried, because the server failed others or publishing
            was stopped.
        reason: why not, in words.
    """

    identity: str
    id: str | None
    status: str
    reason: str = ""


class Publisher:
    """Publishes to one target for as long as a session lasts.

    A server that kept one run waiting until its deadline, or refused one at the door, is not tried again in
    this session: each run would wait as long. The same goes after two runs in turn that were uploaded and did
    not arrive. What is left is `postponed`, and a later session publishes it.

    Args:
        target: where to.
        ledger: what was published before, by whatever process.
        workers: how many runs are published at once, each by a client of its own.

    Attributes:
        broken: why the server is not tried any more, or None.
    """

    def __init__(self, target: Target, ledger: Ledger, workers: int = 1):
        self.target, self.ledger, self.workers = target, ledger, workers
        self.broken: str | None = None
        self._lost_in_turn = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._idle: list[Worker] = []

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def stop(self) -> None:
        """Gives up at once what is being published. Safe in a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Ends the clients."""
        self.stop()
        while self._idle:
            self._idle.pop().kill()

    def publish(self, publication: Publication) -> Outcome:
        """Publishes a run, unless it is there already. It never raises an `Exception`."""
        try:
            return self._publish(publication)
        except Exception as error:  # whatever it is, the run is computed and stored
            status = "postponed" if isinstance(error, Stopped) else "failed"
            return Outcome(publication.identity, None, status, str(error) or type(error).__name__)

    def verify(self, publication: Publication) -> Outcome:
        """Reads back a published run. If it is not whole any more, `publish` publishes it again."""
        published = self._standing(publication).published
        if published is None:
            return Outcome(publication.identity, None, "failed", "it was not published")
        try:
            self._ask("verify", publication, published.id)
        except Exception as error:
            if isinstance(error, Incomplete):
                self._note(publication, published.id, "failed", str(error))
            return Outcome(publication.identity, None, "failed", str(error))
        return Outcome(publication.identity, published.id, "already")

    def publish_all(self, publications: Iterable[Publication]) -> Iterator[Outcome]:
        """Publishes many runs, `workers` at a time, in whatever order they are done."""
        with ThreadPoolExecutor(self.workers) as pool:
            tasks = [pool.submit(self.publish, publication) for publication in publications]
            try:
                for task in as_completed(tasks):
                    yield task.result()
            except BaseException:  # Ctrl-C, or nobody asks for the rest
                self.stop()
                raise

    def _publish(self, publication: Publication) -> Outcome:
        digest = publication.digest(self.target.every)
        before = self._standing(publication)
        if before.published is not None and before.published.digest == digest and before.begun is None:
            self._remove(publication, before.superseded)
            return Outcome(publication.identity, before.published.id, "already")
        if self._done():
            return Outcome(publication.identity, None, "postponed", self.broken or "publishing was stopped")
        begun = before.begun
        if begun is None or begun.digest != digest or not self._arrived(publication, begun):
            begun = self._upload(publication, digest)
        rows = publication.history(self.target.every)
        last = rows[-1].get("task") if rows else None
        self.ledger.add(replace(begun, event="published", rows=len(rows), last_task=last))
        self._lost_in_turn = 0
        self._remove(publication, self._standing(publication).superseded)
        return Outcome(publication.identity, begun.id, "published")

    def _upload(self, publication: Publication, digest: str) -> Entry:
        """Publishes a run under a new id. A run that the server has under it counts if it is equal."""
        begun = self.ledger.begin(self.target.place, publication.identity, publication.attempt, digest)
        try:
            self._ask("publish", publication, begun.id)
        except Taken:
            self._note(publication, begun.id, "foreign", "the server has a run of this id")
            if not self._arrived(publication, begun):
                return self._upload(publication, digest)
        except Exception as error:
            self._note(publication, begun.id, "failed", str(error))
            raise
        return begun

    def _arrived(self, publication: Publication, begun: Entry) -> bool:
        """Whether a run is there whole, as it may be after a process that was killed."""
        try:
            self._ask("verify", publication, begun.id, patience=0)
        except Incomplete:
            return False
        return True

    def _remove(self, publication: Publication, names: tuple[str, ...]) -> None:
        """Deletes what was begun before the publication that counts, or leaves it to the next time."""
        for name in names:
            if self._done():
                return
            try:
                self._ask("remove", name)
            except Exception as error:  # the run itself is published
                self._note(publication, name, "failed", f"not deleted: {error}")
            else:
                self._note(publication, name, "deleted")

    def _done(self) -> bool:
        return self.broken is not None or self._stopping.is_set()

    def _note(self, publication: Publication, name: str, event: str, reason: str = "") -> None:
        place, identity = self.target.place, publication.identity
        self.ledger.add(Entry(place=place, identity=identity, id=name, event=event, reason=reason))

    def _standing(self, publication: Publication) -> Standing:
        return standing(self.ledger.entries(self.target.place, publication.identity))

    def _ask(self, operation: str, *arguments: object, patience: float | None = None) -> None:
        """Has an idle client do something. A client whose request failed is not used again."""
        with self._lock:
            worker = self._idle.pop() if self._idle else Worker(self.target)
        extra = () if patience is None else (patience,)
        try:
            worker.ask(
                operation, *arguments, self.target, *extra,
                seconds=self.target.deadline, stopped=self._stopping.is_set,
            )  # fmt: skip
        except BaseException as error:
            worker.kill()
            self._judge(error, operation)
            raise
        self._idle.append(worker)

    def _judge(self, error: BaseException, operation: str) -> None:
        """Whether the server is worth another try after an error."""
        if isinstance(error, Unreachable):
            self.broken = str(error)
        elif isinstance(error, Incomplete) and operation == "publish":
            self._lost_in_turn += 1
            if self._lost_in_turn > 1:
                self.broken = str(error)
