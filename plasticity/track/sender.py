"""The process in which W&B's client runs, so that it can be killed whatever it is waiting for.

The client has its own threads and service process, waits in `finish` for a server that hangs, and ignores
signals meanwhile; none of that can be interrupted from within. So the whole process is ended: its parent kills
it, and it ends itself as soon as its parent is gone, which it notices by the end of its input, even after
SIGKILL. The service process ends with it.
"""

import contextlib
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plasticity.track.errors import PublishingStopped, Unreachable
from plasticity.track.place import Place

AMBIENT = (
    "RUN_ID", "RESUME", "RUN_GROUP", "JOB_TYPE", "TAGS", "NAME", "NOTES", "MODE", "PROJECT", "ENTITY", "DIR",
    "SWEEP_ID", "SWEEP_PARAM_PATH", "SERVICE", "CONFIG_PATHS",
)  # fmt: skip
"""Environment variables `WANDB_…` that would change what is published."""

NICENESS = 5
"""Training takes precedence over a publication on the cores."""


class Sender:
    """A process with W&B's client in it. It answers one request at a time.

    The client writes to a folder of the worker, which is removed with it. For offline runs, that folder is on
    their disk, so that they are moved into place in one step; otherwise it is among the temporary files, which are
    local to a node.
    """

    def __init__(self, target: Place) -> None:
        place = target.directory if target.mode == "offline" else None
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.mkdtemp(prefix=".publishing-", dir=place)
        kept = {
            name: value for name, value in os.environ.items() if name.removeprefix("WANDB_") not in AMBIENT
        }
        self._answers: queue.Queue[Any] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plasticity.track.sender", self._folder],
            env=kept | {"WANDB_SILENT": "true"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, operation: str, *arguments: Any, seconds: float, stopped: Callable[[], bool]) -> Any:
        """Makes the process do an operation of `plasticity.track.upload`, and returns what that returned.

        Raises:
            PublishingStopped: as soon as `stopped()` says so.
            Unreachable: after `seconds`, or when the process died.
            Exception: what the operation raised.
        """
        assert self._process.stdin is not None
        end = time.monotonic() + seconds
        try:
            pickle.dump((operation, arguments), self._process.stdin)
            self._process.stdin.flush()
            error, value = self._wait(end, stopped)
        except OSError as problem:
            raise Unreachable("the W&B client died") from problem
        if error is not None:
            raise error
        return value

    def _wait(self, end: float, stopped: Callable[[], bool]) -> Any:
        while True:
            try:
                answer = self._answers.get(timeout=0.05)
            except queue.Empty:
                if stopped():
                    raise PublishingStopped("publishing was stopped") from None
                if time.monotonic() > end:
                    raise Unreachable("the server did not answer in time") from None
                continue
            return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self._answers.put(pickle.load(self._process.stdout))
        self._answers.put((Unreachable("the W&B client died"), None))

    def kill(self) -> None:
        """Ends the process at once."""
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        _kill(children)
        _remove(self._folder)


def main() -> None:
    """Answers requests until the parent is gone."""
    tempfile.tempdir = sys.argv[1]
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the client prints must not be taken for an answer
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    requests: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    from plasticity.track.upload import OPERATIONS

    while True:
        operation, arguments = requests.get()
        answer: tuple[Exception | None, Any] = None, None
        try:
            answer = None, OPERATIONS[operation](*arguments)
        except Exception as error:
            answer = _portable(error), None
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: `_read` is ending the process
            pickle.dump(answer, answers)
            answers.flush()


def _read(requests: "queue.Queue[tuple[str, tuple[Any, ...]]]") -> None:
    with contextlib.suppress(EOFError):
        while True:
            requests.put(pickle.load(sys.stdin.buffer))
    _kill(_children(os.getpid()))
    _remove(sys.argv[1])
    os._exit(1)


def _children(process: int) -> list[int]:
    """The processes that a process started: the client's service. Without /proc, it ends by itself."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, file.read_text().split())
    return found


def _remove(folder: str) -> None:
    """Removes a folder in which a dying process or thread may still be at work."""
    end = time.monotonic() + 2
    while Path(folder).exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


def _kill(processes: list[int]) -> None:
    """Ends processes, so that they write no more."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _portable(error: Exception) -> Exception:
    """The error, or one with the same text, for a parent that never imports W&B."""
    if type(error).__module__ in ("builtins", "plasticity.track.errors"):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}".splitlines()[0])


if __name__ == "__main__":
    main()
