"""How many cores a process may use."""

import os


def cores() -> int:
    """Number of cores that this process may use, given its affinity and its job's share of the machine."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(affinity, int(share)) if share.isdecimal() and int(share) > 0 else affinity
