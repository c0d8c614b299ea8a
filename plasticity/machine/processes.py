"""Processes that end with this one, however it ends, and whose death takes nothing else along."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from plasticity.errors import EXPECTED, UserError, reason
from plasticity.machine.output import expect_no_reader
from plasticity.machine.threads import one_thread_each

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR2}
"""Signals that a process may be sent before it is set up; they are blocked until then."""


class Died(Exception):
    """A process ended before it answered. The text says how: "its process was killed by SIGSEGV"."""


def start(target: Callable[..., object], *arguments: object) -> tuple[BaseProcess, Connection]:
    """Starts a function in a process of its own, with one thread; SIGNALS are blocked there until `unblock`.

    Args:
        target: the function; its first argument is its end of a pipe.
        arguments: its other arguments.

    Returns:
        the process, and our end of the pipe, which closes when the process ends

    Raises:
        UserError: when the system allows no further process, or no further open file.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # In joblib's processes: a new interpreter is told the method's name, and knows only Python's own.
        multiprocessing.set_start_method("spawn", force=True)
    context = multiprocessing.get_context("spawn")
    try:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        # A signal to every process of a job or a terminal must not end the process before it is set up.
        resource_tracker.ensure_running()  # first, since it unblocks signals
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            with one_thread_each():
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    except OSError as error:
        raise UserError(
            f"No process can be started ({error.strerror}): each needs some 16 open files (ulimit -n), a few "
            "threads (ulimit -u) and memory."
        ) from error
    theirs.close()
    return process, ours


def unblock() -> None:
    """Lets the signals through that `start` blocked, once a process has set up its handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_with_parent() -> None:
    """Makes this process end as soon as the one that started it has, even if that was killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()  # until the system closes its end of a pipe
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Process:
    """A process that computes what it is asked for, one call at a time. It is started when it is first needed."""

    def __init__(self) -> None:
        self._started: tuple[BaseProcess, Connection] | None = None

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def connection(self) -> Connection:
        """What becomes ready when the process has answered, or died."""
        if self._started is None:
            self._started = start(_serve)
        return self._started[1]

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Makes the process compute a function of a module. Raises UserError if it cannot be started."""
        connection = self.connection
        try:
            connection.send((function, arguments))
        except OSError:
            pass  # it died, as `answer` will say

    def answer(self, seconds: float | None = None) -> Any:
        """What the function returned.

        Args:
            seconds: how long to wait for it; None for as long as it takes.

        Raises:
            TimeoutError: when it took longer. The process is then killed.
            Died: when the process died.
            UserError: with the text of the function's own error, whatever its kind.
        """
        try:
            if not self.connection.poll(seconds):
                self.kill()
                raise TimeoutError
            problem, value = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise Died(cause_of_death(self._last_words())) from error
        if problem is not None:
            raise UserError(problem)
        return value

    def kill(self) -> int | None:
        """Ends the process, if it is there; returns its exit code."""
        if self._started is None:
            return None
        process, connection = self._started
        self._started = None
        process.kill()
        process.join()
        connection.close()
        return process.exitcode

    def _last_words(self) -> int | None:
        """The exit code of a process that has closed its pipe, and is therefore about to end."""
        assert self._started is not None
        self._started[0].join(timeout=1)
        return self.kill()


def computed(
    number: int, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Computes calls of a function in several processes at a time. A call that takes its process down fails alone.

    Args:
        number: of processes.
        function: of a module.
        calls: the arguments of each call.

    Yields:
        the position of each call, as soon as it is done, and what it returned; or a UserError or Died instead

    Raises:
        UserError: when no process can be started.
    """
    waiting = deque(enumerate(calls))
    idle = [Process() for _ in range(min(number, len(calls)))]
    busy: dict[Connection, tuple[Process, int]] = {}
    try:
        while waiting or busy:
            while waiting and idle:
                process, (position, arguments) = idle.pop(), waiting[0]
                try:
                    process.ask(function, *arguments)
                except UserError:
                    if not busy:
                        raise
                    break  # the others have to do
                waiting.popleft()
                busy[process.connection] = process, position
            for ready in wait(list(busy)):
                process, position = busy.pop(cast(Connection, ready))
                try:
                    found = process.answer()
                except (UserError, Died) as error:
                    found = error
                idle.append(process)
                yield position, found
    finally:
        for process in [*idle, *(one for one, _ in busy.values())]:
            process.kill()


def _serve(connection: Connection) -> None:
    """Computes what is asked for until the parent is gone, which also takes Ctrl-C for us."""
    expect_no_reader()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unblock()
    end_with_parent()
    while True:
        try:
            received = connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)
        try:
            function, arguments = pickle.loads(received)  # imports the user's modules
            connection.send((None, function(*arguments)))
        except BaseException as error:  # a user's code may raise anything, such as KeyboardInterrupt
            known = isinstance(error, EXPECTED)
            told = f"{type(error).__name__}: {error}".rstrip(": ")
            connection.send((reason(error) if known else told, None))


def cause_of_death(exit_code: int | None) -> str:
    """Why a process ended without being told to, from its exit code."""
    if exit_code is not None and exit_code < 0:
        hint = " (out of memory?)" if -exit_code == signal.SIGKILL else ""
        return f"its process was killed by {_name(-exit_code)}{hint}"
    return f"its process ended with exit code {exit_code}"


def _name(number: int) -> str:
    """A signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
