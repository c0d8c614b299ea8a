"""What a SLURM site needs to know about a job: the typed form of `conf/hydra/launcher/slurm.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plasticity.errors import ConfigError
from plasticity.part import build, checked, integer

OPTIONS = ("partition", "account", "qos", "constraint", "mem_per_cpu")
"""The keys that are options of sbatch, of the same name."""


def _lines(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ConfigError(key, value, "a list of shell lines")
    return value


def _text(key: str, value: Any) -> str | None:
    """An option's value as sbatch reads it: numbers as they are, lists with commas."""
    entries = value if isinstance(value, list) else [value]
    if value is None:
        return None
    if not entries or not all(type(entry) is int or (isinstance(entry, str) and entry) for entry in entries):
        raise ConfigError(key, value, "a string, a whole number, a list of them, or null")
    return ",".join(map(str, entries))


def _options(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "a group of sbatch options, such as {exclude: node7}")
    given = {name: one for name, one in value.items() if one is not None and one is not False}
    return {name: True if one is True else _text(f"{key}.{name}", one) for name, one in given.items()}


def _option() -> Any:
    return checked(_text, None)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One kind of job on one cluster; None leaves a value to the site.

    Attributes:
        partition, account, qos, constraint: the sbatch option of the same name.
        cpus_per_job: cores of a job, each computing one run at a time.
        mem_per_cpu: memory per core, such as "2G". Some sites refuse `--mem`, that of the whole job.
        minutes: time limit of a job. A job that reaches it is requeued and resumes.
        gpus_per_job: GPUs of a job; 0 for none.
        signal_seconds: time for a job to write its checkpoints before it is killed.
        setup: shell lines to run before a job, such as "module load …".
        additional_parameters: further sbatch options by their long names; true for one without a value, false or
            null to leave it out.
    """

    partition: str | None = _option()
    account: str | None = _option()
    qos: str | None = _option()
    constraint: str | None = _option()
    cpus_per_job: int = integer(4, at_least=1)
    mem_per_cpu: str | None = _option()
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

    def given(self) -> list[str]:
        """The options that sbatch is given a value for, by their long names."""
        return [*(key for key in OPTIONS if getattr(self, key) is not None), *self.additional_parameters]

    def executor_parameters(self, parallel_jobs: int, extra_setup: list[str]) -> dict[str, Any]:
        """The parameters of submitit's executor."""
        options = {key: getattr(self, key) for key in OPTIONS}
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
