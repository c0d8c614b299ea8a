"""How many cores a process may use."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where the system shows its control groups."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""Where it says which of them this process is in."""


def cores() -> int:
    """Number of cores that this process may use, given its affinity, its job's share of the machine, and quotas."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = [int(share)] if share.isdecimal() and int(share) > 0 else []
    return min(affinity, *limits, ceil(quota(GROUPS, MEMBERSHIP) or affinity))


def quota(groups: Path, membership: Path) -> float | None:
    """The processor time per time that control groups (a container, a service, a job) leave to this process.

    Args:
        groups: where the groups of version 2, and the controllers of version 1, are.
        membership: says which groups this process is in: a line "hierarchy:controllers:group" for each hierarchy.

    Returns:
        the least quota of its groups and of those around them; None without one
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return None
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            found += [_of_version_2(folder) for folder in _around(groups, group)]
        elif "cpu" in controllers.split(","):
            # A container may see its own group at the top, though its path there is that on the host.
            for root in {groups / controllers, groups / "cpu"}:
                found += [_of_version_1(folder) for folder in _around(root, group)]
    return min((limit for limit in found if limit is not None), default=None)


def _around(root: Path, group: str) -> Iterator[Path]:
    """The folders of a group and of the groups around it."""
    folder = root / group.strip("/")
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder


def _of_version_2(folder: Path) -> float | None:
    try:
        most, period = (folder / "cpu.max").read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):  # no such group, or no limit ("max")
        return None


def _of_version_1(folder: Path) -> float | None:
    try:
        most = int((folder / "cpu.cfs_quota_us").read_text())
        return most / int((folder / "cpu.cfs_period_us").read_text()) if most > 0 else None
    except (OSError, ValueError):
        return None
