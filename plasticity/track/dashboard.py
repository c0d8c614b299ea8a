"""A dashboard for published runs: python -m plasticity.track.dashboard --help."""

import argparse
import os
import sys
from typing import Any

from plasticity.errors import UserError
from plasticity.machine.interrupt import interruptible
from plasticity.machine.output import expect_no_reader
from plasticity.track.environment import require

TITLE = "Plasticity"

VIEW = "plasticity1"
"""The workspace's id in its address, always the same, so that saving it again updates it."""


def workspace(entity: str, project: str) -> Any:
    """The workspace: runs by network and replacement set, curves over tasks, and scores.

    Curves are means over the runs of a replacement set, with their standard deviation. Scores are grouped by all of
    the config but the seed, so that no mean mixes runs that differ in anything else.
    """
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    def curve(title: str, **what: Any) -> Any:
        return panels.LinePlot(
            title=title,
            x="task",
            groupby=panels.Config("replacement_set"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_runs_to_show=100,
            **what,
        )

    def scores(title: str, **grouped: Any) -> Any:
        return panels.BarPlot(
            title=title,
            metrics=[panels.SummaryMetric("score")],
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_bars_to_show=60,
            **grouped,
        )

    curves = [
        curve("Accuracy by task", y=["accuracy"]),
        curve("Weight magnitude", y=["weight_magnitude"]),
        curve("Dead units, by layer", metric_regex="^dead_units/"),
        curve("Units replaced, by layer", metric_regex="^replaced/"),
    ]
    bars = [scores("Score by network and replacement set", groupby=panels.Metric("Group"))]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[
            workspaces.Section(name="Over tasks", panels=curves, is_open=True),
            workspaces.Section(name="Scores", panels=bars, is_open=True),
        ],
        settings=workspaces.WorkspaceSettings(x_axis="task", max_runs=100),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Config("network"), workspaces.Config("replacement_set")],
            order=[workspaces.Ordering(workspaces.Summary("score"), ascending=False)],
            pinned_columns=[
                *("run:displayName", "run:state", "summary:score", "summary:last_accuracy"),
                *("summary:weight_magnitude", "summary:dead_units", "summary:units_replaced"),
            ],
        ),
    )


def save(entity: str, project: str) -> str:
    """Creates the workspace, or updates it if it was created before; returns its address."""
    from wandb_workspaces.workspaces import internal

    view = workspace(entity, project)
    view._internal_name = f"nw-{VIEW}-v"
    try:
        view._internal_id = internal.get_view_dict(entity, project, VIEW)["id"]
    except ValueError:  # there is none yet
        pass
    view.save()
    return str(view.url)


def main() -> None:
    """Reads the arguments and saves the workspace."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis dashboard",
        description="Creates or updates a workspace on Weights & Biases: curves over tasks for each replacement "
        "set, scores, and a table of runs.",
    )
    parser.add_argument("--entity", help="user or team (default: your account's)")
    parser.add_argument("--project", default="plasticity", help="project at W&B (default: plasticity)")
    arguments = parser.parse_intermixed_args()
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        require("online")
    except UserError as error:
        sys.exit(str(error))
    try:
        import wandb
        import wandb_workspaces  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(f"The dashboard needs {error.name}: pip install wandb-workspaces.")
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    try:
        entity = str(arguments.entity or wandb.Api().default_entity)
        print(f"The dashboard is at {save(entity, arguments.project)}")
    except (wandb.Error, WandbApiFailedError, ValueError) as error:
        sys.exit(f"The dashboard was not saved: {str(error).partition(chr(10))[0]}")


if __name__ == "__main__":
    expect_no_reader()
    with interruptible():
        main()
