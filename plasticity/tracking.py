"""Weights & Biases: publishes a finished run from its folder. It can never make training fail."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from plasticity.store import RunFolder

if TYPE_CHECKING:
    from plasticity.settings import TrackerSettings

Publish = Callable[[RunFolder], None]

INIT_SECONDS = 30


def publisher(settings: "TrackerSettings") -> Publish:
    """What is to be done with the folder of every run that finishes."""
    return TRACKERS[settings.name](settings)


def _nothing(settings: "TrackerSettings") -> Publish:
    return lambda folder: None


def _wandb(settings: "TrackerSettings") -> Publish:
    def publish(folder: RunFolder) -> None:
        try:
            _publish(folder, settings)
        except Exception as error:  # whatever it is, the run is computed and stored
            print(f"Run {folder.identity} was not published to W&B: {error}", file=sys.stderr)

    return publish


TRACKERS: dict[str, Callable[["TrackerSettings"], Publish]] = {"none": _nothing, "wandb": _wandb}
"""Tracker by name, as in `tracker.name`."""


def _publish(folder: RunFolder, settings: "TrackerSettings") -> None:
    """Publishes a run: its config, every `every`th row, its summary, and its folder's files."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    state, config, rows = folder.state(), folder.config(), folder.rows()
    run = wandb.init(
        project=settings.project,
        entity=settings.entity,
        dir=folder.path,
        id=f"{folder.identity}-{state.attempt}",
        name=folder.identity,
        config=config | {"engine": state.provenance["engine"]},
        group=_group(config),
        job_type=_job_type(config),
        mode=cast(Literal["offline", "online"], settings.mode),
        reinit="create_new",
        settings=wandb.Settings(
            console="off", silent=True, x_disable_stats=True, x_disable_meta=True, disable_git=True,
            x_disable_machine_info=True, save_code=False, symlink=False, init_timeout=INIT_SECONDS,
        ),
    )  # fmt: skip
    run.define_metric("task")
    run.define_metric("*", step_metric="task", summary="none")
    for row in [*rows[:: settings.every], *rows[-1:]]:
        run.log({key: float(value) for key, value in row.items()})
    run.summary.update({"score": state.score, "tasks": state.tasks_done, "seconds": state.seconds})
    for name in ("config.yaml", "tasks.csv"):
        copy = shutil.copy(folder.path / name, run.dir)
        run.save(copy, base_path=run.dir, policy="now")
    run.finish()


def _job_type(config: dict[str, Any]) -> str:
    """The replacement set, in a word."""
    layers = config["replacement"]["layers"]
    if len(layers) == config["model"]["depth"]:
        return "all"
    return "layers " + ",".join(map(str, layers)) if layers else "none"


def _group(config: dict[str, Any]) -> str:
    """The config without the seed, in a line."""
    model, optimiser = config["model"], config["optimiser"]
    rate = f" rate {config['replacement']['rate']:g}" if config["replacement"]["layers"] else ""
    return (
        f"{config['dataset']['name']} {model['depth']}x{model['width']} {config['activation']['name']} "
        f"{config['regulariser']['name']} {_job_type(config)} step size {optimiser['step_size']:g}{rate}"
    )
