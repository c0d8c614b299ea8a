"""How many cores a process may use where control groups have quotas, in made-up files of both versions."""

import pytest

from plasticity.machine import cores
from plasticity.machine.cores import quota


@pytest.fixture
def groups(tmp_path):
    """Writes the files of groups, and what a process is a member of."""

    def write(membership, **files):
        (tmp_path / "membership").write_text(membership)
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path, tmp_path / "membership"

    return write


CASES = {
    "a container's own": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "none": ("0::/a\n", {"a/cpu.max": "max 100000\n"}, None),
    "that of a group around it": ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),
    "version 1": (
        "9:memory:/a\n4:cpu,cpuacct:/a\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
        3.0,
    ),
    "version 1, with the host's path": (
        "4:cpuacct,cpu:/docker/0123\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "50000\n"},
        2.0,
    ),
    "version 1 without": ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    "of other controllers": ("4:memory:/\n", {"cpu.max": "100000 100000\n"}, None),
    "unreadable": ("0::/\n", {"cpu.max": "nonsense"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_least_quota_of_the_groups_counts(groups, case):
    membership, files, expected = CASES[case]
    assert quota(*groups(membership, **files)) == expected


@pytest.mark.parametrize(("limit", "number"), [("100000", 1), ("150000", 2), ("1000", 1), ("900000", 4)])
def test_there_are_no_more_cores_than_the_quota_keeps_busy(groups, monkeypatch, limit, number):
    root, membership = groups("0::/\n", **{"cpu.max": f"{limit} 100000\n"})
    monkeypatch.setattr(cores, "GROUPS", root)
    monkeypatch.setattr(cores, "MEMBERSHIP", membership)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(4))
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert cores.cores() == number
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cores.cores() == 1
    monkeypatch.setattr(cores, "MEMBERSHIP", root / "missing")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert cores.cores() == 3
