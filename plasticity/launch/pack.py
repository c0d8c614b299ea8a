"""Packing: many short runs into few jobs, all of about the same length, and jobs into arrays."""

import heapq
from collections.abc import Sequence
from math import ceil
from typing import TypeVar

Item = TypeVar("Item")


def pack(
    runs: Sequence[Item], seconds: Sequence[float], jobs: int, most: int | None = None
) -> list[list[Item]]:
    """Distributes runs over jobs.

    The longest run comes first; each goes to the job with the least to do or, among equals, with the fewest runs.

    Args:
        runs: what to pack.
        seconds: how long each will take.
        jobs: number of jobs; no job is left empty.
        most: the most runs of a job; jobs · most must hold them all. None for no limit.

    Returns:
        the runs of each job, the longest first; together every run once
    """
    loads: list[tuple[float, int, int]] = [(0.0, 0, job) for job in range(min(jobs, len(runs)))]
    packed: list[list[Item]] = [[] for _ in loads]
    for number in sorted(range(len(runs)), key=lambda number: -seconds[number]):
        load, count, job = heapq.heappop(loads)
        packed[job].append(runs[number])
        if most is None or count + 1 < most:
            heapq.heappush(loads, (load + seconds[number], count + 1, job))
    return packed


def jobs_by_runs(runs: int, runs_per_job: int) -> int:
    """Number of jobs that hold all runs, at most `runs_per_job` each."""
    return ceil(runs / runs_per_job)


def jobs_by_minutes(seconds: Sequence[float], minutes_per_job: float, cpus_per_job: int) -> int:
    """Number of jobs that take about `minutes_per_job`, each of their cores computing one run at a time."""
    return max(1, ceil(sum(seconds) / (60 * minutes_per_job * cpus_per_job))) if seconds else 0


def split(jobs: Sequence[Item], limit: int) -> list[Sequence[Item]]:
    """Splits jobs into arrays of at most `limit`."""
    return [jobs[first : first + limit] for first in range(0, len(jobs), limit)]
