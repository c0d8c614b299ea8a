"""A publication through W&B's client. Runs in a separate process: see `plasticity.track.sender`."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plasticity.track import offline
from plasticity.track.errors import Incomplete, Taken, Unreachable
from plasticity.track.place import Place
from plasticity.track.publication import STATES, Publication, Row, differences, image_key, same

SHOWN = {"finished": ("finished",), "failed": ("failed",), "preempted": ("preempting", "preempted")}
"""The states in which the server may show a run, by how it ended. A run that is `crashed` did not arrive."""


def publish(publication: Publication, name: str, target: Place) -> str | None:
    """Publishes a run under an id that was never used before.

    Returns:
        its address; None offline

    Raises:
        Incomplete: it was uploaded, but did not arrive.
        Taken: the server has a run with this id.
        Unreachable: the server refused it, or did not accept it in time.
        Exception: anything else, such as a full disk; it concerns this run alone.
    """
    begin(publication, name, target)
    return end(publication, name, target)


@dataclass
class Open:
    """A run that was begun and has not ended.

    Attributes:
        client: W&B's object.
        directory: where the client writes, in the worker's own folder.
        last_task: the task of the last row that was logged.
    """

    client: Any
    directory: str
    last_task: int = -1


OPEN: dict[str, Open] = {}
"""The runs of this process that are open, by id."""


def begin(publication: Publication, name: str, target: Place) -> None:
    """Opens a run, with what is fixed from the start.

    Raises:
        As `publish`.
    """
    import wandb

    directory = tempfile.mkdtemp()
    chosen = name == publication.id
    with _server_errors():
        client = wandb.init(
            project=target.project, entity=target.entity, dir=directory, id=name, name=publication.name,
            group=publication.group, job_type=publication.job_type, tags=publication.tags,
            notes=publication.notes, config=publication.config,
            mode=target.mode,  # type: ignore[arg-type]
            resume="never" if target.mode == "online" and not chosen else None, reinit="create_new",
            settings=_settings(target, publication.sweep),
        )  # fmt: skip
    client.define_metric("task", summary="none")
    client.define_metric("*", step_metric="task", summary="none")
    OPEN[name] = Open(client, directory)


def extend(name: str, rows: Sequence[Row]) -> None:
    """Logs the rows that are new, in order of their tasks."""
    run = OPEN[name]
    for row in rows:
        if row["task"] > run.last_task:
            run.client.log(row)
            run.last_task = row["task"]


def end(publication: Publication, name: str, target: Place) -> str | None:
    """Logs what is left of a run, closes it, and reads it back.

    Returns, Raises:
        As `publish`.
    """
    extend(name, publication.history(target.every))
    run = OPEN.pop(name)
    run.client.summary.update(publication.summary)
    for file in publication.files:
        copy = Path(run.client.dir) / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(publication.contents(file))
        run.client.save(str(copy), base_path=run.client.dir, policy="now")
    if publication.images:
        import wandb

        paths = {image_key(file): str(Path(run.client.dir) / file) for file in publication.images}
        run.client.log({key: wandb.Image(path) for key, path in paths.items()})
    if publication.state == "preempted":
        run.client.mark_preempting()
    with _server_errors():
        run.client.finish(STATES[publication.state])
    if target.mode == "offline":
        (folder,) = Path(run.directory).glob("wandb/offline-run-*")
        offline.Seal(publication.digest(target.every), target.path).write(folder)
        (target.directory / "wandb").mkdir(exist_ok=True)
        os.replace(folder, target.directory / "wandb" / folder.name)  # atomically: whole, or not there
    shutil.rmtree(run.directory, ignore_errors=True)
    if target.mode == "offline":
        return None
    verify(publication, name, target)
    return str(run.client.url)


def verify(publication: Publication, name: str, target: Place, patience: float | None = None) -> str | None:
    """Reads a run back and compares all of it, again and again until it is whole or patience runs out.

    Args:
        patience: in seconds; by default `target.verify_seconds`.

    Returns:
        its address; None offline

    Raises:
        Incomplete: saying what is still missing at the end.
    """
    patient_until = time.monotonic() + (target.verify_seconds if patience is None else patience)
    pause = 0.5
    while True:
        with _server_errors():
            run, missing = _missing(publication, name, target)
        if not missing:
            return run and str(run.url)
        if time.monotonic() + pause > patient_until:
            raise Incomplete(missing)
        time.sleep(pause)
        pause *= 2


def present(names: Sequence[str], target: Place) -> list[str]:
    """Those of some ids under which the server has a run, even an incomplete one."""
    with _server_errors():
        return [name for name in names if _find(name, target) is not None]


def remove(name: str, target: Place) -> None:
    """Deletes a run, if it is there."""
    for folder in offline.folders(target.directory, name):
        shutil.rmtree(folder)
    if target.mode == "offline":
        return
    with _server_errors():
        run = _find(name, target)
        if run is not None:
            run.delete()


@contextmanager
def _server_errors() -> Iterator[None]:
    """Distinguishes what the client raises because of the server from what it raises because of a run."""
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        yield
    except (wandb.Error, WandbApiFailedError, TimeoutError, ConnectionError) as error:
        if "already exists" in str(error):
            raise Taken(str(error)) from error
        raise Unreachable(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _settings(target: Place, sweep: str | None) -> Any:
    """New settings for each run, since `init` changes those that it is given."""
    import wandb

    return wandb.Settings(
        console="off", silent=True, disable_git=True, save_code=False, symlink=False, x_disable_stats=True,
        x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
        init_timeout=target.init_seconds,
        finish_timeout=target.finish_seconds, finish_timeout_raises=True, sweep_id=sweep,
    )  # fmt: skip


def _missing(publication: Publication, name: str, target: Place) -> tuple[Any, str | None]:
    """A run as the API shows it and, in words, what it lacks of a publication."""
    if target.mode == "offline":
        return None, _missing_offline(publication, name, target)
    run = _find(name, target)
    if run is None:
        return None, "there is no such run"
    if run.state not in SHOWN[publication.state]:
        return run, f"the run is {run.state}, not {publication.state}"
    rows = list(run.scan_history(use_cache=False))
    images = rows.pop() if publication.images and rows else {}
    wrong = differences(publication.history(target.every), rows)
    if wrong:
        return run, wrong
    summary = dict(run.summary)
    lost = [key for key, value in publication.summary.items() if not same(value, summary.get(key))]
    sizes = {file.name: file.size for file in run.files()}
    lost += [file for file in publication.files if sizes.get(file) != len(publication.contents(file))]
    shown = {file: images.get(image_key(file)) or {} for file in publication.images}
    lost += [file for file, image in shown.items() if sizes.get(image.get("path")) != image.get("size", -1)]
    return run, f"{', '.join(lost)} did not arrive" if lost else None


def _find(name: str, target: Place) -> Any:
    """A run as the API shows it now, or None."""
    import wandb

    api = _api()
    api.flush()
    try:
        return api.run(f"{target.entity or api.default_entity}/{target.project}/{name}")
    except (ValueError, wandb.errors.CommError) as error:
        if "not find" in str(error) or "not found" in str(error):
            return None
        raise


def _api(made: list[Any] = []) -> Any:  # noqa: B006 (one for the process)
    """The API client of this process."""
    import wandb

    if not made:
        made.append(wandb.Api(timeout=20))
    return made[0]


def _missing_offline(publication: Publication, name: str, target: Place) -> str | None:
    """What is wrong with the folder of an offline run, in words. One that does not say what it holds is trusted."""
    found = [offline.seal(folder) for folder in offline.folders(target.directory, name)]
    if not found:
        return "there is no such folder"
    other = any(seal and seal.digest != publication.digest(target.every) for seal in found)
    return "its folder holds another version" if other else None


OPERATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (publish, begin, extend, end, verify, present, remove)
}
"""The operations that a worker can be asked for, by name."""
