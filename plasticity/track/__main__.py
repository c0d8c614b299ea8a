"""The command that publishes stored runs to Weights & Biases: python -m plasticity.track --help."""

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from plasticity.arguments import positive
from plasticity.errors import UserError
from plasticity.machine.folders import expanded
from plasticity.machine.interrupt import interruptible
from plasticity.machine.output import expect_no_reader
from plasticity.store import RunFolder, run_folders
from plasticity.store.claim import holder
from plasticity.track import stored
from plasticity.track.environment import require
from plasticity.track.ledger import standings
from plasticity.track.place import EVERY, Place
from plasticity.track.publication import Publication
from plasticity.track.publisher import Delivery, Publisher
from plasticity.track.publishing import ledger

FINISH_SECONDS = 300.0
"""How long an upload may take: nothing waits for this command, and a busy server may ask it to wait."""


def main() -> None:
    """Reads the arguments, publishes, and says what is left."""
    arguments = _arguments()
    try:
        sys.exit(publish(arguments))
    except UserError as error:
        sys.exit(str(error))


def publish(arguments: argparse.Namespace) -> int:
    """Publishes the runs of a directory whose present state is not published yet.

    Returns:
        the exit code: 0 if every run that has ended is published, else 1

    Raises:
        UserError: when there are no runs, the ledger cannot be read, or the environment forbids publishing.
    """
    mode = "offline" if arguments.offline else "online"
    require(mode)
    runs_dir = expanded(arguments.runs).absolute()
    folders = run_folders(runs_dir)
    if not folders:
        raise UserError(f"There are no runs in {arguments.runs}.")
    target = Place(
        project=arguments.project,
        entity=arguments.entity,
        mode=mode,
        directory=runs_dir,
        every=arguments.every,
        finish_seconds=FINISH_SECONDS,
    )
    with Publisher(target, ledger(runs_dir), arguments.at_once) as publisher:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: publisher.stop())
        outcomes = _publish(folders, publisher, arguments)
    return _report(outcomes, target)


def _publish(
    folders: Sequence[RunFolder], publisher: Publisher, arguments: argparse.Namespace
) -> list[Delivery]:
    """The outcome of every run that is not being computed."""
    try:
        known = standings(publisher.ledger.entries(), publisher.target.place)
    except OSError as error:
        raise UserError(f"{publisher.ledger.path} cannot be read ({error.strerror}).") from error
    outcomes, left = list[Delivery](), list[RunFolder]()
    for folder in folders:
        state = folder.stored_state()
        if state.status == "running" and holder(folder.path / "claim"):
            continue
        standing = known.get(folder.identity)
        there = standing.current(stored.stamp(state)) if standing else None
        if there and not arguments.verify:
            outcomes.append(Delivery(folder.identity, there.id, "already"))
        else:
            left.append(folder)
    described = {folder.identity: partial(_describe, folder, publisher, arguments) for folder in left}
    _show(0, len(left))
    for number, outcome in enumerate(publisher.publish_all(described), 1):
        outcomes.append(outcome)
        _show(number, len(left))
    return outcomes


def _show(done: int, runs: int) -> None:
    """Shows progress on a terminal."""
    if runs and sys.stderr.isatty():
        print(f"\r{done} of {runs} runs", end="\n" * (done == runs), file=sys.stderr, flush=True)


def _describe(folder: RunFolder, publisher: Publisher, arguments: argparse.Namespace) -> Publication:
    """A run's publication; with --verify, first checks whether it is still there."""
    publication = stored.publication(folder, arguments.tags, arguments.notes)
    if arguments.verify:
        publisher.verify(publication)
    return publication


def _report(outcomes: Sequence[Delivery], target: Place) -> int:
    """Says what is published, and what is left and why."""
    counts = Counter(outcome.status for outcome in outcomes)
    left = [outcome for outcome in outcomes if outcome.status in ("failed", "postponed")]
    shared = _shared_reason(left)
    for outcome in left:
        if outcome.status == "failed" and outcome.reason != shared:
            print(f"  {outcome.identity}: {outcome.reason}")
    url = next((outcome.url for outcome in outcomes if outcome.url), None)
    place = f"in {target.directory / 'wandb'}" if target.mode == "offline" else target.shown(url)
    there = f", {place}" if counts["published"] or counts["already"] else ""
    print(f"{counts['published']} published, {counts['already']} published before{there}.")
    if left:
        reason = f" ({shared.rstrip('.')})" if shared else ""
        print(f"{len(left)} left{reason}: the same command publishes {'it' if len(left) == 1 else 'them'}.")
    return 1 if left else 0


def _shared_reason(left: Sequence[Delivery]) -> str | None:
    """Why several runs are not published, usually since the server failed the first."""
    if postponed := [outcome.reason for outcome in left if outcome.status == "postponed"]:
        return postponed[-1]
    reasons = Counter(outcome.reason for outcome in left)
    return next((reason for reason, times in reasons.most_common(1) if times > 1), None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis publish",
        description="Publishes the runs of a directory to Weights & Biases, each once: finished, failed and "
        "interrupted ones. What arrived is read back; repeating the command publishes nothing twice.",
        epilog="python -m plasticity.track is the same command.",
    )
    parser.add_argument("--runs", default="runs", metavar="DIR", help="directory of runs (default: runs)")
    parser.add_argument("--project", default="plasticity", help="project at W&B (default: plasticity)")
    parser.add_argument("--entity", help="user or team (default: your account's)")
    parser.add_argument(
        "--tags", nargs="+", default=[], metavar="TAG", help="tags, in addition to that of the network"
    )
    parser.add_argument("--notes", default="", help="a note shown with each run")
    parser.add_argument(
        "--every", type=positive, default=EVERY, metavar="N", help=f"publish every Nth row (default: {EVERY})"
    )
    parser.add_argument(
        "--at-once", type=positive, default=4, metavar="N", help="runs published at once (default: 4)"
    )
    parser.add_argument(
        "--verify", action="store_true", help="also read back runs that were published before"
    )
    parser.add_argument(
        "--offline", action="store_true", help="publish into the folder DIR/wandb, for wandb sync"
    )
    return parser.parse_args()


if __name__ == "__main__":
    expect_no_reader()
    with interruptible():
        main()
