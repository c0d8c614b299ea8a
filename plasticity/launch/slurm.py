"""The cluster launcher: packs runs into jobs, and submits them to SLURM as arrays through submitit."""

import os
import re
import shlex
import shutil
from collections.abc import Collection, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path

import submitit
from submitit.core.utils import FailedJobError

import plasticity
from plasticity.composition.cluster import Cluster
from plasticity.composition.settings import Settings
from plasticity.errors import ConfigError, UserError
from plasticity.launch.code import freeze, users_modules
from plasticity.launch.ended import ended, undone
from plasticity.launch.environment import IN_A_JOB, as_of_no_job
from plasticity.launch.estimate import seconds_per_step, spoken
from plasticity.launch.job import Job
from plasticity.launch.jobs import Submission, check_commands, covered, max_array_size, slurm
from plasticity.launch.local import Outcome, finish
from plasticity.launch.pack import jobs_by_minutes, jobs_by_runs, pack, split
from plasticity.launch.plan import Plan
from plasticity.launch.preview import preview
from plasticity.launch.summary import failures, states
from plasticity.launch.sweep import Ended, close, planned
from plasticity.launch.watch import watch
from plasticity.machine.folders import expanded
from plasticity.machine.interrupt import INTERRUPTED, uninterrupted
from plasticity.machine.processes import Process
from plasticity.run import Run
from plasticity.store.claim import claim
from plasticity.training.provenance import commit

REQUEUES = 1_000
"""How often a job may reach its time limit; it makes progress each time."""


def submit(asked: Sequence[Run | None], settings: Settings, cluster: Cluster) -> Ended:
    """Submits the runs that are neither finished nor in a living job, and returns at once.

    Args:
        asked: the runs asked for; None for a combination that is absent.
        settings: folders, engine and so on; `settings.launch` says how runs are packed.
        cluster: what the site needs to know.

    Returns:
        how it ended: with the exit code 0 when everything is submitted or, with `wait`, finished

    Raises:
        UserError: before anything is submitted, if it cannot be; with SLURM's message if it refuses a job.
    """
    settings = _absolute(settings)
    _check_path(settings.runs_dir)
    in_jobs = covered(settings.runs)  # before states are read: what a job ends in between is then finished
    with Process() as apart:
        todo = planned(asked, settings, apart, cluster=True)
        per_step = seconds_per_step(todo, settings.data_root, apart)
    submitting = claim(settings.runs / ".submitting")
    with nullcontext(True) if settings.launch.dry_run else submitting as alone:
        if not alone:
            raise UserError(f"Another launch is submitting runs of {settings.runs} right now: wait for it.")
        in_jobs |= covered(settings.runs)
        runs = [run for run in todo.to_compute if run.identity not in in_jobs]
        _print([*ended(runs, settings.runs, in_jobs.values()), *_failed(runs, settings)])
        packed, seconds = _pack(todo, runs, per_step, settings, cluster)
        print(_sentence(todo, in_jobs, packed, seconds, cluster), flush=True)
        if settings.launch.dry_run:
            _print(preview(todo, per_step, runs))
            return Ended(0)
        if packed:
            submission = _submit(packed, settings, cluster, todo.restart)
            submitted = submission.jobs()
            in_jobs |= {run: job for job, runs in submitted.items() for run in runs}
            print(f"Submitted {_counted(len(submitted))}. Logs: {submission.logs}", flush=True)
    jobs = {in_jobs[identity] for identity in _identities(todo) if identity in in_jobs}
    if jobs:
        print(_commands(jobs, settings), flush=True)
    if jobs and not settings.launch.wait:
        _print(_published(todo, todo.finished(), Outcome(), settings).tracked)
        return Ended(0, states(todo.asked, Outcome(), settings))
    if jobs and not watch(todo, jobs, settings):
        print("Stopped watching. The jobs continue; the same command watches them again.", flush=True)
        return Ended(INTERRUPTED, states(todo.asked, Outcome(), settings))
    _print(ended(todo.to_compute, settings.runs, living=()))
    left = undone(runs if todo.restart else todo.to_measure, todo.restart, settings)
    return close(todo, _published(todo, todo.asked, Outcome(left), settings), settings)


def _print(paragraphs: Sequence[str]) -> None:
    print(*paragraphs, sep="\n", end="\n" * bool(paragraphs), flush=True)


def _check_path(runs_dir: str) -> None:
    """Refuses characters that SLURM replaces in the names of logs, where it would not find its way back."""
    if re.search(r"[%\\\x00-\x1f]", runs_dir):
        raise ConfigError(
            "runs_dir", runs_dir, r"a path without % and \ on a cluster, where SLURM interprets them"
        )


def _failed(runs: list[Run], settings: Settings) -> list[str]:
    """Says which of the runs to be submitted failed before, and why: no launch that waited for them has said so."""
    failed = failures(runs, states(runs, Outcome(), settings))
    if not failed:
        return []
    counted = (
        "1 run failed before, and is" if len(failed) == 1 else f"{len(failed)} runs failed before, and are"
    )
    return [f"{counted} tried again:", *failed]


def _published(todo: Plan, runs: Sequence[Run], outcome: Outcome, settings: Settings) -> Outcome:
    """Publishes what jobs finished but did not publish before they died; adds what the tracker says of it."""
    with settings.tracker.tracking(settings.runs_dir, todo.asked) as tracking:
        tracking.catch_up(runs)
        finish(tracking, outcome)
    return outcome


def _pack(
    todo: Plan, runs: list[Run], per_step: Sequence[float], settings: Settings, cluster: Cluster
) -> tuple[list[list[Run]], float]:
    """The runs of each job, and the core-seconds that all of them take together."""
    whole = [steps * each for steps, each in zip(todo.steps_left, per_step, strict=True)]
    by_run = dict(zip(_identities(todo), whole, strict=True))
    seconds = [by_run[run.identity] for run in runs]
    if settings.launch.runs_per_job is not None:
        jobs = jobs_by_runs(len(runs), settings.launch.runs_per_job)
    else:
        jobs = jobs_by_minutes(seconds, settings.launch.minutes_per_job, cluster.cpus_per_job)
    return pack(runs, seconds, jobs, settings.launch.runs_per_job), sum(seconds)


def _submit(packed: list[list[Run]], settings: Settings, cluster: Cluster, restart: str | None) -> Submission:
    """Submits jobs, in arrays as large as the cluster accepts.

    Raises:
        UserError: when SLURM refuses a job, or the files of the submission cannot be written.
    """
    check_commands()
    arrays = split(packed, max_array_size())
    recorded: dict[str, list[str]] = {}
    try:
        with uninterrupted():  # no interrupt may come between a job and its record
            submission = Submission.new(settings.runs)
            modules = users_modules([run for runs in packed for run in runs], settings)
            setup = _environment(submission, settings, modules)
            for array in arrays:
                jobs = [Job(runs, settings, restart) for runs in array]
                _submit_array(jobs, submission, settings, cluster, setup, recorded)
    except OSError as error:
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise UserError(
            f"{len(recorded)} of {len(packed)} jobs were submitted: {settings.runs / '.jobs'} cannot be "
            f"written to ({why})."
        ) from error
    return submission


def _submit_array(
    jobs: list[Job],
    submission: Submission,
    settings: Settings,
    cluster: Cluster,
    setup: list[str],
    recorded: dict[str, list[str]],
) -> None:
    """Submits an array and records its jobs, together with the earlier ones in `recorded`."""
    limit = settings.launch.max_parallel_jobs
    parameters = cluster.executor_parameters(limit or len(jobs), setup)
    if limit and recorded:  # the limit is for all arrays together, so one follows the other
        parameters["slurm_dependency"] = f"afterany:{_array_of(list(recorded)[-1])}"
    executor = submitit.AutoExecutor(submission.logs, cluster="slurm", slurm_max_num_timeout=REQUEUES)
    executor.update_parameters(**parameters)
    try:
        # submitit prints what sbatch says, which is in the error, too
        with as_of_no_job(cluster.given()), redirect_stderr(StringIO()), executor.batch():
            submitted = [executor.submit(job) for job in jobs]
    except FailedJobError as error:
        raise UserError(f"SLURM refused the job: {str(error).strip()}") from error
    new = {ours.job_id: [run.identity for run in job.runs] for ours, job in zip(submitted, jobs, strict=True)}
    try:
        submission.record(recorded | new)
    except OSError:  # if they were not recorded, they would be submitted again
        slurm("scancel", _array_of(next(iter(new))))
        raise
    recorded |= new


def _array_of(job: str) -> str:
    return job.partition("_")[0]


def _environment(submission: Submission, settings: Settings, modules: dict[str, Path]) -> list[str]:
    """Shell lines that a job starts with: they say which code it runs, and that there is no network."""
    code = Path(plasticity.__file__).parent.parent
    if settings.launch.freeze:
        code = submission.code
        freeze(modules, code)
    search = [str(code), *sorted({str(path.parent) for path in modules.values()})]
    return [
        f"cd {shlex.quote(str(code))}",  # where Python first looks for a module that is run by name
        f"export PYTHONPATH={shlex.quote(os.pathsep.join(search))}${{PYTHONPATH:+:$PYTHONPATH}}",
        f"export PLASTICITY_COMMIT={shlex.quote(commit() or '')}",
        "export PLASTICITY_OFFLINE=1 WANDB_ERROR_REPORTING=false",
        IN_A_JOB,
    ]


def _absolute(settings: Settings) -> Settings:
    """The settings with absolute paths."""
    root = settings.data_root
    return replace(
        settings,
        runs_dir=str(settings.runs),
        data_root=None if root is None else str(expanded(root).absolute()),
    )


def _identities(todo: Plan) -> list[str]:
    return [run.identity for run in todo.to_compute]


def _sentence(
    todo: Plan, in_jobs: Collection[str], packed: list[list[Run]], seconds: float, cluster: Cluster
) -> str:
    if not packed:
        return todo.sentence(in_jobs)
    each = spoken(seconds / len(packed) / min(cluster.cpus_per_job, len(packed[0])))
    return f"{todo.sentence(in_jobs)}; {_counted(len(packed))} of about {each}"


def _counted(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def _commands(jobs: set[str], settings: Settings) -> str:
    """How to watch the jobs, cancel them, and submit the rest."""
    ids = sorted({_array_of(job) for job in jobs}, key=int)
    return (
        f"Jobs: {', '.join(ids)}\n"
        f"Watch:  python -m plasticity.analysis runs --runs {shlex.quote(settings.runs_dir)}   or   squeue --me\n"
        f"Cancel: scancel {' '.join(ids)}\n"
        "Repeated later, the same command submits only what is still missing."
    )
