"""A Weights & Biases server on loopback for the real client: it keeps all it receives, and fails as told."""

import base64
import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from wandb_graphql import Refused, Run, Service, Sweep, Unknown, path_of

KEY = "0123456789abcdef0123456789abcdef01234567"
"""The only API key that the server accepts."""


@dataclass
class Fault:
    """What goes wrong at an endpoint.

    Attributes:
        endpoint: the name of a GraphQL operation, "file_stream", "upload" or "download".
        status: the HTTP status to answer with; None for a fault of the connection.
        retry_after: seconds for the header `Retry-After`.
        how: for a fault of the connection: "hang" (no answer), "cut_request" (closed before it is read) or
            "cut_answer" (done, but closed before the answer).
        times: how often; None for ever.
        after: requests that go through before the first fault.
        run: only for this run's requests.
        met: how often it happened.
    """

    endpoint: str
    status: int | None = None
    retry_after: float | None = None
    how: str | None = None
    times: int | None = None
    after: int = 0
    run: str | None = None
    met: int = 0


@dataclass
class Request:
    """A request as it came in.

    Attributes:
        status: what it was answered with; 0 if there was no answer.
    """

    endpoint: str
    run: str | None
    body: Any
    status: int = 0


class WandbServer:
    """The server, in threads of this process.

    Attributes:
        service: what it remembers.
        requests: all requests, in order.
        unknown: requests that it did not know. A test whose server has any must fail.
    """

    def __init__(self) -> None:
        self.service = Service()
        self.requests: list[Request] = []
        self.unknown: list[str] = []
        self.closing = threading.Event()
        self.lock = threading.RLock()
        self._faults: list[Fault] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self._http.wandb = self  # type: ignore[attr-defined]
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self.service.address = self.address
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Ends the server; whoever waits for an answer is cut off."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def runs(self) -> dict[str, Run]:
        """The runs by their id."""
        return {run.id: run for run in self.service.runs.values()}

    def plant(self, endpoint: str, status: int | None = None, **fault: Any) -> Fault:
        """Makes something go wrong from now on; see `Fault`."""
        self._faults.append(Fault(endpoint, status, **fault))
        return self._faults[-1]

    def reset(self) -> None:
        """Forgets everything, faults included."""
        self.heal()
        with self.lock:
            self.service.__init__()  # type: ignore[misc]
            self.service.address = self.address
            self.requests.clear()

    def heal(self) -> None:
        """Ends all faults; whoever waits for an answer is cut off."""
        self._faults.clear()
        self.closing.set()
        self.closing = threading.Event()

    def add_sweep(self, identity: str, command: list[str], runs: list[dict[str, Any]]) -> Sweep:
        """A sweep whose agent runs a command once for each set of parameters."""
        parameters = {name: {"values": [run[name] for run in runs]} for name in runs[0]}
        config = json.dumps({"method": "grid", "command": command, "parameters": parameters})
        commands = [
            {"type": "run", "run_id": f"{identity}-{number}", "program": command[0],
             "args": {name: {"value": value} for name, value in run.items()}}
            for number, run in enumerate(runs)
        ]  # fmt: skip
        self.service.sweeps[identity] = Sweep(identity, config, commands)
        return self.service.sweeps[identity]

    def count(self, endpoint: str) -> int:
        """How many requests an endpoint had."""
        return sum(request.endpoint == endpoint for request in self.requests)

    def fault(self, request: Request) -> Fault | None:
        """The fault that meets a request, if any."""
        for fault in self._faults:
            if fault.endpoint != request.endpoint or fault.run not in (None, request.run):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif fault.times is None or fault.met < fault.times:
                fault.met += 1
                return fault
        return None


@dataclass
class _Answer:
    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads a request, lets it fail or answers it."""

    protocol_version = "HTTP/1.1"

    @property
    def wandb(self) -> WandbServer:
        return self.server.wandb  # type: ignore[attr-defined]

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the server keeps the requests themselves."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = self._request(body)
        with self.wandb.lock:
            self.wandb.requests.append(request)
            fault = self.wandb.fault(request)
        if fault and fault.how == "hang":
            self.wandb.closing.wait()
        if fault and fault.how in ("hang", "cut_request"):
            return self._cut()
        if fault and fault.status:
            after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            answer = _Answer(fault.status, _errors(f"planted {fault.status}"), after)
        else:
            answer = self._answer(request, body)
        if fault and fault.how == "cut_answer":
            return self._cut()
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        return None

    do_GET = do_POST = do_PUT = _handle  # noqa: N815 (the names that http.server calls)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _request(self, body: bytes) -> Request:
        """The request: its endpoint, its run's id, and its body."""
        parts = unquote(self.path).strip("/").split("/")
        if parts == ["graphql"] and self.command == "POST":
            sent = json.loads(body)
            found = re.search(r"\b(?:query|mutation)\s+(\w+)", sent["query"])
            variables = sent.get("variables") or {}
            run = next((variables[key] for key in ("runName", "run", "name") if variables.get(key)), None)
            return Request(found[1] if found else sent["query"], run, variables)
        if parts[0] == "files" and parts[-1] == "file_stream" and self.command == "POST":
            return Request("file_stream", parts[3], json.loads(body))
        if parts[0] == "storage" and self.command in ("PUT", "GET"):
            return Request("upload" if self.command == "PUT" else "download", parts[3], "/".join(parts[4:]))
        return Request(f"{self.command} {self.path}", None, None)

    def _answer(self, request: Request, body: bytes) -> _Answer:
        """Answers a request; this includes any change of the service's memory."""
        with self.wandb.lock:
            try:
                if request.endpoint in ("upload", "download"):
                    return self._file(request, body)
                if self.headers.get("Authorization") != _authorisation():
                    raise Refused(401, "user is not logged in")
                if request.endpoint == "file_stream":
                    return self._file_stream(request)
                if self.path != "/graphql":
                    raise Unknown(request.endpoint)
                data = self.wandb.service.answer(request.endpoint, request.body)
                return _Answer(200, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
            except Refused as refusal:
                return _Answer(refusal.status, _errors(str(refusal)))
            except Exception as error:  # whatever it is, the test has to fail
                self.wandb.unknown.append(f"{type(error).__name__}: {error}")
                return _Answer(400, _errors(str(error)))

    def _file(self, request: Request, body: bytes) -> _Answer:
        run = self.wandb.service.runs["/".join(unquote(self.path).strip("/").split("/")[1:4])]
        if request.endpoint == "download":
            return _Answer(200, run.files[request.body]) if request.body in run.files else _Answer(404)
        run.files[request.body] = body
        return _Answer(200)

    def _file_stream(self, request: Request) -> _Answer:
        entity, project, identity = unquote(self.path).strip("/").split("/")[1:4]
        run = self.wandb.service.runs.get(
            path_of({"entity": entity, "project": project, "name": identity}, "name")
        )
        if run is None:
            raise Refused(404, "no such run")
        for name, chunk in (request.body.get("files") or {}).items():
            for number, line in enumerate(chunk["content"], chunk["offset"]):
                run.lines.setdefault(name, {})[number] = line
            if name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
        run.preempting = request.body.get("preempting") or run.preempting
        if request.body.get("complete"):
            run.exit_code = request.body["exitcode"]
            failed = "preempted" if run.preempting else "failed"
            run.state = "finished" if run.exit_code == 0 else failed
        elif run.preempting:
            run.state = "preempting"
        return _Answer(200, b'{"limits": {}}', {"Content-Type": "application/json"})


def _authorisation() -> str:
    return "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()


def _errors(message: str) -> bytes:
    return json.dumps({"errors": [{"message": message}]}).encode()


@contextlib.contextmanager
def serving() -> Iterator[WandbServer]:
    """A server until the block's end, where a request that it did not know is an error."""
    server = WandbServer()
    try:
        yield server
    finally:
        server.close()
    assert not server.unknown, f"requests that the W&B server does not know: {server.unknown}"
