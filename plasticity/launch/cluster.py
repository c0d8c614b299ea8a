"""What a SLURM site needs to know about a job: the typed form of `conf/hydra/launcher/slurm.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plasticity.errors import ConfigError
from plasticity.part import build, integer, text


def _lines(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ConfigError(key, value, "a list of shell lines")
    return value


def _options(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "a group of sbatch options, such as {exclude: node7}")
    return dict(value)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One kind of job on one cluster; None leaves a value to the site.

    Attributes:
        partition, account, qos, constraint: as sbatch takes them.
        cpus_per_job: cores of a job, each computing one run at a time.
        mem_per_cpu: memory per core, such as "2G". Some sites refuse `--mem`, that of the whole job.
        minutes: time limit of a job. A job that reaches it is requeued and resumes.
        gpus_per_job: 0 for none.
        signal_seconds: time for a job to write its checkpoints before it is killed.
        setup: shell lines to run before a job, such as "module load …".
        additional_parameters: further sbatch options by their long name.
    """

    partition: str | None = text(None, optional=True)
    account: str | None = text(None, optional=True)
    qos: str | None = text(None, optional=True)
    constraint: str | None = text(None, optional=True)
    cpus_per_job: int = integer(4, at_least=1)
    mem_per_cpu: str | None = text(None, optional=True)
    minutes: int = integer(240, at_least=1)
    gpus_per_job: int = integer(0, at_least=0)
    signal_seconds: int = integer(60, at_least=1)
    setup: list[str] = field(default_factory=list, metadata={"check": _lines})
    additional_parameters: dict[str, Any] = field(default_factory=dict, metadata={"check": _options})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Cluster":
        """The cluster that a config describes.

        Raises:
            ConfigError: naming the first key that is unknown, or whose value is invalid.
        """
        return build(cls, values, "hydra.launcher.")

    def executor_parameters(self, parallel_jobs: int, extra_setup: list[str]) -> dict[str, Any]:
        """The parameters of submitit's executor."""
        options = {
            key: getattr(self, key) for key in ("partition", "account", "qos", "constraint", "mem_per_cpu")
        }
        return {f"slurm_{key}": value for key, value in options.items() if value is not None} | {
            "name": "plasticity",
            "timeout_min": self.minutes,
            "cpus_per_task": self.cpus_per_job,
            "slurm_signal_delay_s": self.signal_seconds,
            "slurm_array_parallelism": parallel_jobs,
            "slurm_setup": [*self.setup, *extra_setup],
            "slurm_additional_parameters": self.additional_parameters,
            "slurm_stderr_to_stdout": True,
        } | ({"gpus_per_node": self.gpus_per_job} if self.gpus_per_job else {})  # fmt: skip
