"""What a W&B server remembers of its runs, and its answers to the GraphQL requests of the client."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

VIEWER = {
    "id": "viewer", "entity": "tester", "username": "tester", "name": "tester", "email": "tester@localhost",
    "admin": False, "flags": "{}", "teams": {"edges": [{"node": {"name": "tester"}}]},
    "apiKeys": {"edges": []},
}  # fmt: skip


class Unknown(Exception):
    """A request that this server does not know."""


class Refused(Exception):
    """A request that the service refuses, with the HTTP status of its refusal."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclass
class Run:
    """A run as the service keeps it.

    Attributes:
        lines: the lines of each file of the file stream, by their number. A line that is sent again under its
            number takes the place of the first, so that a repeated request doubles nothing.
        files: the uploaded files, by name.
    """

    entity: str
    project: str
    id: str
    number: int
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    sweep: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    state: str = "running"
    exit_code: int | None = None
    preempting: bool = False

    @property
    def path(self) -> str:
        """Entity, project and id, as in the API's paths."""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def values(self) -> dict[str, Any]:
        """The config as its user wrote it."""
        return {key: entry["value"] for key, entry in self.config.items() if key != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows in the order of their line numbers."""
        lines = self.lines.get("wandb-history.jsonl", {})
        return [json.loads(lines[number]) for number in sorted(lines)]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """What `define_metric` said, by name or glob: the step metric, and whether there is a summary."""
        sent = self.config.get("_wandb", {}).get("value", {}).get("m", [])
        names = [metric.get("1") or metric["2"] for metric in sent]
        return {
            name: {
                "step": names[metric["5"] - 1] if "5" in metric else None,
                "summary": metric.get("7") != [6],
            }
            for name, metric in zip(names, sent, strict=True)
        }

    def node(self) -> dict[str, Any]:
        """The run as GraphQL shows it."""
        last_step = max((row.get("_step", -1) for row in self.history), default=-1)
        keys = {key for row in self.history for key in row}
        return {
            "id": self.path, "name": self.id, "displayName": self.name, "projectId": "1", "state": self.state,
            "group": self.group, "jobType": self.job_type, "tags": self.tags, "notes": self.notes,
            "sweepName": self.sweep, "description": self.notes, "commit": None, "readOnly": False,
            "createdAt": f"2026-01-01T00:{self.number // 60 % 60:02}:{self.number % 60:02}Z",
            "heartbeatAt": "2026-01-01T01:00:00Z", "user": {"name": "tester", "username": "tester"},
            "config": json.dumps(self.config), "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}", "historyLineCount": len(self.history),
            "historyKeys": {"lastStep": last_step, "keys": {key: {"typeCounts": []} for key in keys}},
            "fileCount": len(self.files), "project": {"id": "1", "name": self.project,
            "entity": {"id": "1", "name": self.entity}},
        }  # fmt: skip


@dataclass
class Sweep:
    """A sweep of W&B: the commands left for its agents, and what agents said of their runs."""

    id: str
    config: str
    commands: list[dict[str, Any]]
    told: list[dict[str, str]] = field(default_factory=list)
    state: str = "RUNNING"


class Service:
    """The service's memory, and its answer to each GraphQL operation."""

    def __init__(self) -> None:
        self.address = ""
        self.runs: dict[str, Run] = {}
        self.deleted: set[str] = set()
        self.sweeps: dict[str, Sweep] = {}
        self.views: list[dict[str, Any]] = []
        self._created = 0

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of a GraphQL answer.

        Raises:
            Unknown: an operation that is not among `OPERATIONS`, or a filter not understood.
            Refused: as the service would.
        """
        if operation not in OPERATIONS:
            raise Unknown(f"GraphQL {operation} with {variables}")
        return OPERATIONS[operation](self, variables)

    def run(self, variables: dict[str, Any], key: str = "name") -> Run | None:
        """The run that variables name, or None."""
        return self.runs.get(path_of(variables, key))

    def upsert_bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Creates a run or changes one: None leaves a field as it is."""
        path = variables.get("id") or path_of(variables, "name")
        if path in self.deleted:
            raise Refused(409, "run ID is in use by a deleted run")
        inserted = path not in self.runs
        if inserted:
            entity, project, identity = path.split("/")
            self.runs[path] = Run(entity, project, identity, self._created)
            self._created += 1
        run = self.runs[path]
        run.name = variables.get("displayName") or variables.get("display_name") or run.name
        run.group = variables.get("groupName") or run.group
        run.job_type = variables.get("jobType") or run.job_type
        run.notes = variables.get("notes") or run.notes
        run.sweep = variables.get("sweep") or run.sweep
        run.tags = run.tags if variables.get("tags") is None else variables["tags"]
        run.config |= json.loads(variables.get("config") or "{}")
        run.summary |= json.loads(variables.get("summaryMetrics") or "{}")
        run.state = variables.get("state") or ("running" if "host" in variables else run.state)
        return {"upsertBucket": {"bucket": run.node(), "inserted": inserted}}

    def delete_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Deletes a run. Its id is spent from then on."""
        self.deleted.add(variables["id"])
        del self.runs[variables["id"]]
        return {"deleteRun": {"clientMutationId": None}}

    def resume_status(self, variables: dict[str, Any]) -> dict[str, Any]:
        """What the client needs to resume a run."""
        run = self.run(variables)
        bucket = run and run.node() | {
            "logLineCount": len(run.lines.get("output.log", {})),
            "eventsLineCount": len(run.lines.get("wandb-events.jsonl", {})),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "wandbConfig": json.dumps(
                {"t": run.config.get("_wandb", {}).get("value", {}).get("t", {"1": []})}
            ),
        }
        return {"model": {"name": variables["project"], "entity": {"name": "tester"}, "bucket": bucket}}

    def create_run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Addresses to put files to."""
        run = self.run(variables, "run")
        if run is None:
            raise Refused(404, "no such run")
        files = [{"name": name, "uploadUrl": self.file_address(run, name)} for name in variables["files"]]
        return {"createRunFiles": {"runID": run.path, "uploadHeaders": [], "files": files}}

    def file_address(self, run: Run, name: str) -> str:
        """Where a file of a run is put and fetched."""
        return f"{self.address}/storage/{run.path}/{name}"

    def list_runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        """A page of a project's runs."""
        filters = json.loads(variables.get("filters") or "{}")
        place = f"{variables['entity']}/{variables['project']}/"
        runs = [run for run in self.runs.values() if run.path.startswith(place) and matches(run, filters)]
        order = variables.get("order") or "+created_at"
        if order.lstrip("+-") != "created_at":
            raise Unknown(f"runs in the order {order}")
        runs.sort(key=lambda run: run.number, reverse=order.startswith("-"))
        start = int(variables.get("cursor") or 0)
        page = runs[start : start + variables["perPage"]]
        more = start + len(page) < len(runs)
        end = str(start + len(page))
        return {
            "project": {
                "internalId": "1", "runCount": len(runs), "readOnly": False,
                "runs": {
                    "edges": [{"node": run.node(), "cursor": end} for run in page],
                    "pageInfo": {"endCursor": end, "hasNextPage": more},
                },
            }
        }  # fmt: skip

    def one_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        """A run, or None where there is none."""
        run = self.run(variables, "run" if "run" in variables else "name")
        return {"project": {"run": run and run.node()}}

    def parquet_history(self, variables: dict[str, Any]) -> dict[str, Any]:
        """No row is exported to Parquet here: all have to be read from the pages."""
        run = self.run(variables, "runName")
        return {"project": {"run": run and {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}

    def history_page(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The rows of some steps, as lines of JSON."""
        run = self.run(variables, "run")
        steps = range(variables["minStep"], variables["maxStep"])
        rows = [json.dumps(row) for row in run.history if row["_step"] in steps] if run else None
        return {"project": {"run": run and {"history": rows}}}

    def sampled_history(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The rows of some steps, including the last one, that have all the keys asked for; never a sample."""
        run, spec = self.run(variables, "run"), json.loads(variables["spec"])
        if run is None:
            return {"project": {"run": None}}
        steps, keys = range(spec["minStep"], spec["maxStep"] + 1), dict.fromkeys(spec["keys"])
        rows = [row for row in run.history if row["_step"] in steps and all(key in row for key in keys)]
        if len(rows) > spec["samples"]:
            raise Unknown(f"a sample of {spec['samples']} of {len(rows)} rows")
        return {"project": {"run": {"sampledHistory": [[{key: row[key] for key in keys} for row in rows]]}}}

    def run_files(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The files of a run."""
        run = self.run(variables)
        assert run is not None
        names = [name for name in run.files if name in (variables.get("fileNames") or run.files)]
        edges = [
            {
                "cursor": name,
                "node": {
                    "id": name, "name": name, "url": self.file_address(run, name), "mimetype": "text/plain",
                    "directUrl": self.file_address(run, name), "sizeBytes": len(run.files[name]),
                    "updatedAt": "2026-01-01T00:00:00Z", "md5": None,
                },
            }
            for name in names
        ]  # fmt: skip
        page = {"endCursor": None, "hasNextPage": False}
        files = {"fileCount": len(names), "files": {"edges": edges, "pageInfo": page}}
        return {"project": {"internalId": "1", "run": files}}

    def sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        """A sweep, or None where there is none."""
        sweep = self.sweeps.get(variables.get("name") or variables["sweep"])
        found = sweep and {
            "__typename": "Sweep", "id": sweep.id, "name": sweep.id, "displayName": sweep.id,
            "method": "grid", "state": sweep.state, "description": None, "bestLoss": None,
            "config": sweep.config,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": None, "heartbeatAt": None, "runCount": 0,
            "runCountExpected": None, "controllerRunName": None, "runs": {"edges": []},
            "earlyStopJobRunning": False, "controller": None, "scheduler": None,
        }  # fmt: skip
        return {"project": {"sweep": found}}

    def heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The next command for an agent: one run at a time, and its end after the last."""
        sweep = self.sweeps[variables["id"]]
        told = json.loads(variables["runState"])
        sweep.told.append(told)
        commands: list[dict[str, Any]] = []
        if not told:
            commands.append(sweep.commands.pop(0) if sweep.commands else {"type": "exit"})
        return {"agentHeartbeat": {"agent": {"id": sweep.id}, "commands": json.dumps(commands)}}

    def upsert_view(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Keeps a workspace as it was sent."""
        self.views.append(variables | {"spec": json.loads(variables["spec"])})
        view = {"id": "view", "name": variables["name"]}
        return {"upsertView": {"view": view, "inserted": "id" not in variables}}

    def all_views(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The workspaces with a name, by which they are looked up."""
        found = [view for view in self.views if view["name"] == variables["viewName"]][-1:]
        nodes = [
            {"node": {"id": "view", "displayName": view["displayName"], "spec": json.dumps(view["spec"])}}
            for view in found
        ]
        return {"project": {"allViews": {"edges": nodes}}}


def path_of(variables: dict[str, Any], key: str) -> str:
    """The path of the run that variables name under a key."""
    return f"{variables.get('entity') or 'tester'}/{variables['project']}/{variables[key]}"


def matches(run: Run, filters: dict[str, Any]) -> bool:
    """Whether a run passes filters in the form of MongoDB: names, `$and`, `$or`, `$in` and equality."""
    shown = {
        "name": run.id, "display_name": run.name, "displayName": run.name, "group": run.group,
        "jobType": run.job_type, "state": run.state, "sweep": run.sweep,
    }  # fmt: skip
    for key, wanted in filters.items():
        if key in ("$and", "$or"):
            passed = (all if key == "$and" else any)(matches(run, part) for part in wanted)
        else:
            if key == "tags":
                values = run.tags
            elif key in shown:
                values = [shown[key]]
            else:
                raise Unknown(f"a filter by {key}")
            if isinstance(wanted, dict):
                if set(wanted) != {"$in"}:
                    raise Unknown(f"a filter {wanted}")
                wanted = wanted["$in"]
            else:
                wanted = [wanted]
            passed = any(value in wanted for value in values)
        if not passed:
            return False
    return True


OPERATIONS: dict[str, Callable[[Service, dict[str, Any]], dict[str, Any]]] = {
    "Viewer": lambda service, variables: {"viewer": VIEWER},
    "GetViewer": lambda service, variables: {"viewer": VIEWER},
    "GetDefaultEntity": lambda service, variables: {"viewer": VIEWER},
    "ServerFeaturesQuery": lambda service, variables: {"serverInfo": {"features": []}},
    "OrganizationCoreWeaveOrganizationID": lambda service, variables: {"entity": {"organization": None}},
    "UpsertBucket": Service.upsert_bucket,
    "DeleteRun": Service.delete_run,
    "RunResumeStatus": Service.resume_status,
    "CreateRunFiles": Service.create_run_files,
    "Runs": Service.list_runs,
    "Run": Service.one_run,
    "RunState": Service.one_run,
    "RunHistoryKeys": Service.one_run,
    "RunParquetHistory": Service.parquet_history,
    "HistoryPage": Service.history_page,
    "SampledHistoryPage": Service.sampled_history,
    "RunFiles": Service.run_files,
    "GetSweep": Service.sweep,
    "GetSweepLegacy": Service.sweep,
    "SweepWithRuns": Service.sweep,
    "CreateAgent": lambda service, variables: {"createAgent": {"agent": {"id": variables["sweep"]}}},
    "Heartbeat": Service.heartbeat,
    "UpsertView2": Service.upsert_view,
    "View": Service.all_views,
}
"""Answer by operation. Anything else fails the test that caused it."""
