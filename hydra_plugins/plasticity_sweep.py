"""Hydra's side of a sweep: composes every run first, then launches them as one list."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from plasticity.config import RunConfig
from plasticity.errors import UserError
from plasticity.launcher.cluster import Cluster
from plasticity.launcher.compose import HYDRA_ERRORS, explain, read
from plasticity.launcher.composer import Composer
from plasticity.launcher.launch import Launch, Unfinished, launch
from plasticity.settings import Settings
from plasticity.store import RunFolder, RunState


class Grid(BasicSweeper):
    """`hydra/sweeper=grid`: every combination of the values given, as one list of runs.

    Hydra's own does the same, but composes every run twice and leaves a file in the working directory.
    """

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        assert self.hydra_context is not None and self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        (combinations,) = self.split_arguments(overrides, max_batch_size=None)
        results = self.launcher.launch(combinations, initial_job_idx=0)
        for result in results:
            if result.status == JobStatus.FAILED:
                raise result._return_value
        return [results]


class LocalSweep(Launcher):
    """`hydra/launcher=local`: computes the runs of a sweep on this machine."""

    compute: Launch = staticmethod(launch)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.composer = Composer(hydra_context.config_loader, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        composed = [self._compose(overrides) for overrides in job_overrides]
        runs, settings = [run for run, _ in composed], composed[0][1]
        code = self.compute(runs, settings)
        if settings.launch.dry_run:
            raise SystemExit(0)
        return [_result(run, settings, code) for run in runs]

    def _compose(self, overrides: Sequence[str]) -> tuple[RunConfig | None, Settings]:
        """The run of one combination of overrides; a mistake names the combination."""
        try:
            return read(self.composer(overrides))
        except (UserError, *HYDRA_ERRORS) as error:
            raise UserError(f"{' '.join(overrides)}: {explain(error)}") from error


class SlurmSweep(LocalSweep):
    """`hydra/launcher=slurm`: submits the runs of a sweep to a cluster. Takes the keys of `Cluster`."""

    def __init__(self, **values: Any):
        from plasticity.launcher.slurm import submit  # imports what only a cluster needs

        plain = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(values), resolve=True))
        self.compute = partial(submit, cluster=Cluster.of(plain))


def _result(run: RunConfig | None, settings: Settings, code: int) -> JobReturn:
    """What a sweeper gets for a run: its score, None for an absent one, an error for an unfinished one."""
    state = RunState() if run is None else RunFolder.of(settings.runs, run).state()
    there = run is None or state.status == "finished"
    result = JobReturn()
    result.status = JobStatus.COMPLETED if there else JobStatus.FAILED
    result.return_value = state.score if there else Unfinished(code)
    return result
