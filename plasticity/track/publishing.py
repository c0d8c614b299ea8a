"""Publishing alongside a launch: in a thread that no training waits for, through processes that can be killed."""

import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plasticity.machine.cores import cores
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.track import stored
from plasticity.track.environment import restriction
from plasticity.track.ledger import Ledger, standings
from plasticity.track.live import LOOK_SECONDS, Live
from plasticity.track.place import EVERY, Place
from plasticity.track.publication import Publication
from plasticity.track.publisher import Delivery, Publisher
from plasticity.track.tracking import LEAVE_SECONDS

if TYPE_CHECKING:
    from plasticity.track.trackers import Wandb

AT_ONCE = 4
"""The most runs that are published at once, each by its own client."""


def ledger(runs_dir: Path) -> Ledger:
    """The ledger of a directory of runs."""
    return Ledger(runs_dir / ".published.jsonl")


@dataclass(frozen=True)
class Agent:
    """The ids of the sweep and of the run for which an agent of a W&B sweep has started this process."""

    sweep: str
    run: str

    @classmethod
    def here(cls) -> "Agent | None":
        """The agent's ids, if there is an agent."""
        sweep, run = os.environ.get("WANDB_SWEEP_ID"), os.environ.get("WANDB_RUN_ID")
        return cls(sweep, run) if sweep and run else None


class Publishing:
    """What a launch does for W&B: a `Tracking`.

    Args:
        tracker: where, what and when to publish.
        runs_dir: the directory of runs.
        runs: every run of the launch.
    """

    def __init__(self, tracker: "Wandb", runs_dir: str, runs: Iterable[Run]):
        self.tracker, self.runs_dir, self.runs = tracker, runs_dir, Path(runs_dir).absolute()
        asked_for = tracker.mode != "disabled"
        allowed, self._variable = (asked_for and restriction()) or ("online", "")
        self.active = asked_for and allowed != "disabled"
        asked = list(runs)
        self.outcomes: dict[str, Delivery] = {}
        self._agent = Agent.here() if len(asked) == 1 else None
        self._waiting: queue.SimpleQueue[tuple[str, RunFolder] | None] = queue.SimpleQueue()
        self._pending: set[str] = set()
        self._thread: threading.Thread | None = None
        if self.active:
            target = _target(tracker, self.runs, online=self._agent is not None)
            if allowed == "offline":
                target = replace(target, mode="offline")
            self.publisher = Publisher(target, ledger(self.runs))
            self.live = Live(self.publisher, self._describe)
            self.shows_live = self.tracker.publish == "live" and target.mode == "online"

    def __enter__(self) -> "Publishing":
        return self

    def __exit__(self, *error: object) -> None:
        """Abandons what is not published yet."""
        if self._thread is not None:
            self.publisher.stop()
            self._waiting.put(None)
            self._thread.join()
            self.publisher.close()

    def began(self, run: Run) -> None:
        """To be called when a run has begun, or has been resumed."""
        if self.active and self.shows_live:
            self._put("began", run)

    def ended(self, run: Run, state: RunState) -> None:
        """To be called when a run has ended: publishes it, unless it was only stopped and is not shown live."""
        if self.active and (self.shows_live or state.is_over):
            self._pending.add(run.identity)
            self._put("ended", run)

    def catch_up(self, runs: Iterable[Run]) -> None:
        """Publishes those finished runs whose present state is not published yet."""
        if not self.active:
            return
        try:
            known = standings(self.publisher.ledger.entries(), self.publisher.target.place)
        except Exception as error:  # whatever it is: nothing can be published either
            self.publisher.broken = str(error)
            known = {}
        for run in runs:
            state, standing = RunFolder.of(self.runs, run).stored_state(), known.get(run.identity)
            there = standing.current(stored.stamp(state)) if standing else None
            if there and (self._agent is None or self._agent.run == there.id):
                self.outcomes[run.identity] = Delivery(run.identity, there.id, "already")
            elif state.is_finished:
                self.ended(run, state)

    def wait(self, stop: Callable[[], object], seconds: float | None = None) -> None:
        """Waits until everything is published or has failed; at most for `seconds`, or until `stop()` is true."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._pending and not stop() and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.05)

    def leave(self) -> None:
        """Marks the runs that are shown live as preempted, if that can be done in a few seconds."""
        if self.active:
            for folder, _ in list(self.live.open.values()):
                self._pending.add(folder.identity)
                self._waiting.put(("ended", folder))
            self.wait(lambda: False, LEAVE_SECONDS)

    def lines(self) -> list[str]:
        """Where the runs are published or stored, what is not and why, and the command that publishes it."""
        if not self.active:
            later = f"Publish later, without {self._variable}: {self._command()}"
            return (
                [f"Nothing was published, since {self._variable} is set. {later}"] if self._variable else []
            )
        done = [one for one in self.outcomes.values() if one.status in ("published", "already")]
        left = [one for one in self.outcomes.values() if one not in done]
        left += [self.publisher.postponed(identity) for identity in self._pending - self.outcomes.keys()]
        lines = []
        if done and self.publisher.target.mode == "offline":
            folder = shlex.quote(f"{self.runs_dir}/wandb")
            without = f", without {self._variable}" * bool(self._variable)
            lines.append(
                f"{_runs(len(done))} published offline, in {folder}. Upload{without}: {self._command()}"
            )
        elif done:
            url = next((one.url for one in done if one.url), None)
            lines.append(f"{_runs(len(done))} published, {self.publisher.target.shown(url)}")
        if left:
            reason = next((one.reason for one in left if one.status == "failed"), left[0].reason)
            reason = reason.partition("\n")[0].rstrip(".")
            lines.append(f"{_runs(len(left))} not published: {reason}. Publish later: {self._command()}")
        return lines

    def _command(self) -> str:
        tracker = self.tracker
        options = ["--runs", self.runs_dir]
        options += ["--entity", tracker.entity] if tracker.entity else []
        options += ["--project", tracker.project]
        options += ["--every", str(tracker.every)] if tracker.every != EVERY else []
        options += ["--notes", tracker.notes] if tracker.notes else []
        options += ["--tags", *tracker.tags] if tracker.tags else []
        return shlex.join(["python", "-m", "plasticity.track", *options])

    def _put(self, event: str, run: Run) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._waiting.put((event, RunFolder.of(self.runs, run)))

    def _work(self) -> None:
        """Publishes what has ended, several at once, and meanwhile shows what is being computed."""
        with ThreadPoolExecutor(min(AT_ONCE, cores())) as pool:
            while True:
                try:
                    item = self._waiting.get(timeout=LOOK_SECONDS if self.live.open else None)
                except queue.Empty:
                    self._guarded(self.live.look)
                    continue
                if item is None:
                    pool.shutdown(wait=False, cancel_futures=True)
                    break
                event, folder = item
                if event == "began":
                    self._guarded(self.live.begin, folder)
                elif outcome := self._guarded(self.live.end, folder):
                    self._note(outcome)
                else:
                    pool.submit(self._publish, folder)
        self.live.close()

    def _publish(self, folder: RunFolder) -> None:
        self._note(self.publisher.publish_described(folder.identity, lambda: self._describe(folder)))

    def _guarded(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception:  # what is not shown live is published once it has ended
            self.live.close()
            return None

    def _note(self, outcome: Delivery) -> None:
        self.outcomes[outcome.identity] = outcome
        self._pending.discard(outcome.identity)

    def _describe(self, folder: RunFolder) -> Publication:
        publication = stored.publication(folder, self.tracker.tags, self.tracker.notes or "")
        if self._agent is None:
            return publication
        return replace(publication, id=self._agent.run, sweep=self._agent.sweep)


def _runs(number: int) -> str:
    return f"{number} run{'s' * (number != 1)}"


def _target(tracker: "Wandb", directory: Path, online: bool) -> Place:
    entity, project = tracker.entity, tracker.project
    if online:
        entity = os.environ.get("WANDB_ENTITY") or entity
        project = os.environ.get("WANDB_PROJECT") or project
    return Place(
        project=project,
        entity=entity,
        mode="online" if online else tracker.mode,
        directory=directory,
        every=tracker.every,
    )
