"""The environment of jobs: nothing from the job that they were submitted from, and everything that they set up."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_", "SBATCH_CPU_BIND", "SBATCH_MEM_BIND")
"""How the names of variables begin that describe the job, allocation or step in which a process runs."""

OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables that say which cluster to submit to, and as whom."""

DEVICES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL")
"""Variables in which SLURM says which GPUs a job has."""

OF_A_LAUNCH = ("ARRAY_INX", "ERROR", "JOB_NAME", "OPEN_MODE", "OUTPUT", "SIGNAL", "TIMELIMIT")
"""What a launch always tells sbatch, as in the names of sbatch's variables, which would replace it."""

IN_A_JOB = "export SLURM_EXPORT_ENV=ALL"
"""Makes srun pass on what a job's set-up lines export, even if sbatch was told to export nothing."""


@contextmanager
def as_of_no_job(options: Iterable[str]) -> Iterator[None]:
    """Removes variables that sbatch, or the job, would mistake for its own.

    Args:
        options: long names of the options that sbatch is given, which go before a user's variables.
    """
    given = {f"SBATCH_{name.replace('-', '_').upper()}" for name in (*OF_A_LAUNCH, *options)}
    if "SBATCH_MEM_PER_CPU" in given:  # each excludes the others
        given |= {"SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_GPU"}
    if "SLURM_JOB_ID" in os.environ:
        given |= set(DEVICES)
    taken = {name: value for name, value in os.environ.items() if name in given or _of_a_job(name)}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


def _of_a_job(name: str) -> bool:
    return name.startswith(OF_A_JOB) and name not in OF_THE_CLUSTER
