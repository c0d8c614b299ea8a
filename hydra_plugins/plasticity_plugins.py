"""Plugins that Hydra discovers: plasticity's sweeper and its launchers."""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from plasticity.composition.settings import Settings
    from plasticity.launch.sweep import Ended
    from plasticity.run import Run

LISTS = (f"{__name__}.Combinations", "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")
"""Sweepers that compute a list of runs. All others choose the next runs by the scores of earlier ones."""


class Combinations(Sweeper):
    """`hydra/sweeper=combinations`: every combination of the values given, as one list of runs.

    Args:
        params, alternatives, only, grids: as in `plasticity.composition.combinations`; the command line takes
            precedence over them.
        unknown: keys of other sweepers, which are refused.
    """

    def __init__(
        self,
        params: DictConfig | None = None,
        alternatives: DictConfig | None = None,
        only: Sequence[str] | None = None,
        grids: bool = False,
        **unknown: Any,
    ):
        if unknown:
            from plasticity.errors import UserError

            raise UserError(
                f"hydra.sweeper.{min(unknown)} is refused: it is for a sweeper that chooses its own values, and "
                "also needs that sweeper, such as hydra/sweeper=optuna."
            )
        self.declared = (params, alternatives, only, grids)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        from plasticity.composition.combinations import combinations

        assert self.launcher is not None
        asked = combinations(self.parser, arguments, *self.declared)
        results = self.launcher.launch(asked, initial_job_idx=0)
        for result in results:
            _ = result.return_value  # raises if the run has failed
        return [results]


class LocalLauncher(Launcher):
    """`hydra/launcher=local`: computes the runs of a sweep on this machine, as one list. It takes no keys."""

    def __init__(self, **values: Any):
        if values:
            from plasticity.errors import UserError

            raise UserError(
                f"hydra.launcher.{min(values)} is refused: it is for a cluster, and also needs "
                "hydra/launcher=slurm (or your cluster's launcher)."
            )

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from plasticity.composition.composer import Composer

        self.composer = Composer.of_sweep(hydra_context.config_loader, config)
        self.config = config

    def compute(self, runs: "Sequence[Run | None]", settings: "Settings") -> "Ended":
        """Computes runs, and says how the launch ended."""
        from plasticity.launch.sweep import compute

        return compute(runs, settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        from plasticity.composition.reading import read_all

        runs, settings = read_all(self.composer, job_overrides, self.config)
        ended = self.compute(runs, settings)
        if settings.launch.dry_run:
            raise SystemExit(0)
        chooses = self.config.hydra.sweeper._target_ not in LISTS
        return [_result(run, ended, chooses) for run in runs]


class SlurmLauncher(LocalLauncher):
    """`hydra/launcher=slurm`: submits the runs of a sweep to a cluster. Takes the keys of `Cluster`."""

    def __init__(self, **values: Any):
        from plasticity.composition.cluster import Cluster

        plain = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
        assert isinstance(plain, dict)
        self.cluster = Cluster.of({str(key): value for key, value in plain.items()})

    def compute(self, runs: "Sequence[Run | None]", settings: "Settings") -> "Ended":
        from plasticity.launch.slurm import submit  # imports what only a cluster needs

        return submit(runs, settings, self.cluster)


class RunReturn(JobReturn):
    """What a sweeper receives for a run. The launch itself reports an unfinished one, so Hydra adds no line."""

    @property
    def return_value(self) -> Any:
        if self.status == JobStatus.FAILED:
            raise self._return_value
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value


def _result(run: "Run | None", ended: "Ended", chooses: bool) -> JobReturn:
    """What a sweeper receives for a run: its score, None if it is absent, or an error if it is unfinished.

    For a sweeper that chooses by scores, a run that diverged is a result, the worst one: an error would end its
    search without teaching it anything.
    """
    from plasticity.errors import Diverged
    from plasticity.launch.sweep import Unfinished

    state = None if run is None else ended.states.get(run.identity)
    diverged = state is not None and state.has_failed and Diverged.caused(state.reason)
    result = RunReturn()
    try:
        if run is not None and diverged and chooses:
            result.return_value = -inf if run.dataset.objective.higher_is_better else inf
        else:
            result.return_value = ended.score(run)
        result.status = JobStatus.COMPLETED
    except Unfinished as error:
        result.return_value, result.status = error, JobStatus.FAILED
    return result
