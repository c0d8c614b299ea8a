"""Packing runs into jobs and jobs into arrays, with awkward numbers."""

import pytest

from plasticity.launch.pack import jobs_by_minutes, jobs_by_runs, pack, split


@pytest.mark.parametrize("runs", [0, 1, 2, 9, 10, 11, 1001])
@pytest.mark.parametrize("runs_per_job", [1, 3, 10, 2000])
@pytest.mark.parametrize("longest", [1, 1000])
def test_every_run_is_in_one_job(runs, runs_per_job, longest):
    jobs = jobs_by_runs(runs, runs_per_job)
    packed = pack(range(runs), [float(longest), *[1.0] * runs][:runs], jobs, runs_per_job)
    assert sorted(run for job in packed for run in job) == list(range(runs))
    assert all(packed) and all(len(job) <= runs_per_job for job in packed)
    assert len(packed) == jobs == (runs + runs_per_job - 1) // runs_per_job


def test_jobs_are_of_about_the_same_length():
    packed = pack("abcdef", [8, 1, 7, 2, 6, 3], 3)
    assert packed == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_runs_that_take_no_time_are_shared_out_all_the_same():
    assert [len(job) for job in pack(range(7), [0.0] * 7, 3)] == [3, 2, 2]


def test_jobs_by_minutes():
    assert jobs_by_minutes([], 60, 4) == 0
    assert jobs_by_minutes([1.0], 60, 4) == 1
    assert jobs_by_minutes([60.0] * 240, 60, 4) == 1
    assert jobs_by_minutes([60.0] * 241, 60, 4) == 2


@pytest.mark.parametrize(
    ("jobs", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (1001, [10] * 100 + [1])]
)
def test_arrays_are_split_at_the_clusters_limit(jobs, sizes):
    arrays = split(range(jobs), 10)
    assert [len(array) for array in arrays] == sizes
    assert [job for array in arrays for job in array] == list(range(jobs))
