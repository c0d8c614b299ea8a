"""Sweeps on a real SLURM: a private cluster of one node, all its state in a temporary folder."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import user
from conftest import ROOT, Command, as_anybody, wait_for

from plasticity.composition.cluster import Cluster
from plasticity.composition.compose import compose_settings
from plasticity.errors import ConfigError
from plasticity.launch.jobs import living_jobs
from plasticity.launch.slurm import submit

SLURM = ["-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_job=1", "hydra.launcher.minutes=30"]
SHORT = ["dataset.tasks=3", "dataset.examples_per_task=300", "model.width=20"]
LONG = [
    *("dataset.tasks=500", "dataset.examples_per_task=1000", "model.width=50"),
    *("checkpoint_seconds=0.2", "diagnostics=none"),
]
HOLD = "+hydra.launcher.additional_parameters.hold=true"

missing = [
    tool
    for tool in ("slurmctld", "slurmd", "munged")
    if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")
]
pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f"SLURM is not installed: no {', '.join(missing)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a private SLURM takes root to start"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1] // 1000 * 1000 + 17


@pytest.fixture(scope="module")
def slurm():
    """The environment of a running cluster."""
    folder = tempfile.mkdtemp(prefix="slurm-")
    Path(folder).chmod(0o755)  # munge insists on it
    started = subprocess.run(
        [ROOT / "tests/slurm/start.sh", folder],
        env=os.environ | {"SLURM_LAB_PORT": str(free_port()), "SLURM_LAB_CPUS": "2"}
        | {"SLURM_LAB_ARRAY": "2"},  # small, so that sweeps have to be split
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if started.returncode != 0:
        pytest.fail(f"no cluster could be started: {started.stderr.strip()[-300:]}")
    yield {"SLURM_CONF": f"{folder}/etc/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}:/usr/sbin"}
    subprocess.run([ROOT / "tests/slurm/stop.sh", folder], timeout=120)
    shutil.rmtree(folder)


@pytest.fixture
def cluster(command, slurm, monkeypatch):
    """The command, with a cluster to submit to that is empty again afterwards."""
    for key, value in slurm.items():
        monkeypatch.setenv(key, value)
    yield command
    subprocess.run(["scancel", "--user", "root"], capture_output=True)
    quiet(60)


def jobs() -> list[str]:
    """The jobs that are queued or running."""
    return subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i"], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip


def until(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.25)


def quiet(seconds: float = 100) -> None:
    until(lambda: not jobs(), seconds)


def hurry(job: str) -> None:
    """Makes a requeued job start at once, without SLURM's usual wait."""
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)


def logs(command: Command) -> str:
    return "".join(path.read_text() for path in sorted(command.runs.glob(".jobs/*/logs/*.out")))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The rows of the long run, computed on this machine in one go."""
    command = Command(tmp_path_factory.mktemp("uninterrupted"))
    assert command(*LONG).returncode == 0
    return command.tables()


def test_a_packed_sweep_returns_at_once_and_equals_the_local_one(cluster, fresh):
    sweep = [*SHORT, "seed=range(3)", "replacement=all,layer_1"]
    began = time.monotonic()
    packed = ["hydra.launcher.cpus_per_job=2", "launch.runs_per_job=2", "launch.max_parallel_jobs=2"]
    submitted = cluster(*SLURM, *sweep, *packed)
    took = time.monotonic() - began
    assert (submitted.returncode, submitted.stderr) == (0, "")
    assert "6 runs: 0 finished, 0 resumed, 6 new; 3 jobs of about" in submitted.stdout
    for shown in ("Submitted 3 jobs. Logs:", "python -m plasticity.analysis runs", "scancel "):
        assert shown in submitted.stdout
    arrays = submitted.stdout.partition("Cancel: scancel ")[2].partition("\n")[0].split()
    assert len(arrays) == 2, "three jobs where an array may have two"
    waiting = subprocess.run(["scontrol", "show", "job", arrays[1]], capture_output=True, text=True).stdout
    assert f"Dependency=afterany:{arrays[0]}" in waiting, "the limit holds for both arrays together"
    assert jobs() and took < 30
    quiet()
    local = fresh()
    assert local("-m", *sweep).returncode == 0
    assert cluster.tables() == local.tables() and len(cluster.tables()) == 6
    assert all(state["status"] == "finished" for state in cluster.states().values())
    again = cluster(*SLURM, *sweep)
    assert "6 runs: 6 finished" in again.stdout and not jobs()
    assert "6 of 6 runs finished, in" in again.stdout and "See them with:" in again.stdout


def test_a_second_launch_submits_only_what_no_living_job_covers(cluster):
    first = cluster(*SLURM, *SHORT, "seed=0,1", "launch.runs_per_job=1", HOLD)
    assert first.returncode == 0, first.stderr
    assert len(jobs()) == 2
    second = cluster(*SLURM, *SHORT, "seed=0,1,2", "launch.runs_per_job=1", HOLD)
    assert "3 runs: 0 finished, 2 in jobs already, 0 resumed, 1 new; 1 job of about" in second.stdout
    assert len(jobs()) == 3
    cancelled = jobs()[0]
    subprocess.run(["scancel", cancelled], check=True)
    until(lambda: len(jobs()) == 2)
    for job in jobs():
        subprocess.run(["scontrol", "release", job], check=True)
    third = cluster(*SLURM, *SHORT, "seed=0,1,2", "launch.wait=true")
    assert "; 1 job of about" in third.stdout and "3 of 3 runs finished" in third.stdout
    assert third.returncode == 0 and len(cluster.tables()) == 3


def test_a_requeued_job_counts_as_living_at_every_moment(cluster):
    """Even while it is COMPLETING, for as long as its processes take to end."""
    assert cluster(*SLURM, *LONG).returncode == 0
    (job,) = jobs()
    until(cluster.running)
    subprocess.run(["scontrol", "requeue", job], check=True)
    seen = set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not {"COMPLETING", "PENDING"} <= seen:
        assert job in living_jobs(cluster.runs)
        time.sleep(0.05)
        seen |= set(
            subprocess.run(
                ["squeue", "--noheader", "--format=%T"], capture_output=True, text=True
            ).stdout.split()
        )
    assert "COMPLETING" in seen


def test_a_wrong_partition_is_refused_with_slurms_words_and_the_next_submission_removes_its_folder(cluster):
    done = cluster(*SLURM, *SHORT, "seed=0,1", "hydra.launcher.partition=nowhere")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert done.stderr.count("invalid partition specified: nowhere") == 1 and not jobs()
    assert cluster(*SLURM, *SHORT, HOLD).returncode == 0
    (kept,) = cluster.runs.glob(".jobs/*/")
    assert (kept / "jobs.json").exists() and len(jobs()) == 1


def test_a_job_that_is_requeued_preempted_and_killed_resumes_to_the_same_numbers(cluster, uninterrupted):
    def state() -> dict:
        (only,) = cluster.states().values()
        return only

    submitted = cluster(*SLURM, *LONG, "force=true")  # of the submission, not of every start
    assert submitted.returncode == 0, submitted.stderr
    (job,) = jobs()
    until(lambda: any((folder / "checkpoint.npz").exists() for folder in cluster.folders()))
    started = state()["started"]
    urgent = ["sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 1"]
    for attempt, interrupt in enumerate((["scontrol", "requeue", job], urgent), start=2):
        pid = state()["provenance"]["pid"]
        subprocess.run(interrupt, check=True, capture_output=True)
        until(lambda: cluster.states() and not is_running(pid), 30)  # noqa: B023
        until(lambda: hurry(job) or state()["attempt"] == attempt, 60)  # noqa: B023
    assert f"Stopping with checkpoints of 1 unfinished run: {cluster.folders()[0].name}" in logs(cluster)
    os.kill(state()["provenance"]["pid"], signal.SIGKILL)
    quiet()
    assert state()["status"] == "failed" and "SIGKILL" in state()["reason"]
    assert "1 of them" not in (again := cluster(*SLURM, *LONG)).stdout and again.returncode == 0
    quiet()
    assert state()["status"] == "finished" and state()["attempt"] == 4, logs(cluster)
    assert state()["started"] == started  # it resumed, and did not start over
    assert cluster.tables() == uninterrupted


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_job_that_reaches_its_time_limit_resumes(cluster):
    run = ["dataset.tasks=100000", "dataset.examples_per_task=100", "model.width=20"]
    limited = ["hydra.launcher.minutes=1", "hydra.launcher.signal_seconds=50"]
    assert cluster(*SLURM[:3], *limited, *run).returncode == 0
    (job,) = jobs()
    until(lambda: "this job is timed-out" in logs(cluster), 100)
    until(lambda: hurry(job) or any(state["attempt"] > 1 for state in cluster.states().values()), 60)
    (state,) = cluster.states().values()
    assert state["status"] == "running" and state["tasks_done"] > 0


def test_a_failing_run_costs_no_other_and_its_job_says_so(cluster):
    submitted = cluster(*SLURM, *SHORT, "optimiser.step_size=0.001,0.01,1e20", "launch.wait=true")
    assert submitted.returncode == 1
    assert "2 of 3 runs finished, 1 failed" in submitted.stdout and "diverged in task 0" in submitted.stdout
    log, job = logs(cluster), submitted.stdout.partition("Jobs: ")[2].partition("\n")[0]
    assert "2 of 3 runs finished, 1 failed" in log and "Traceback" not in log
    listed = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"]
    assert subprocess.run(listed, capture_output=True, text=True).stdout == "FAILED\n"
    (failed,) = (one for one, state in cluster.states().items() if state["status"] == "failed")
    again = cluster(*SLURM, *SHORT, "optimiser.step_size=0.001,0.01,1e20", "launch.dry_run=true").stdout
    assert f"1 run failed before, and is tried again:\n  failed: {failed}: diverged in task 0" in again


def test_a_job_that_fails_to_measure_a_finished_run_counts_as_failed(cluster, tmp_path):
    """With what can be measured here, where the part is tried, but not in a job."""
    (tmp_path / "mine.py").write_text(BROKEN)
    cluster.folder = tmp_path
    assert cluster(*SHORT, "snapshots.every=1", "diagnostics=none").returncode == 0
    before = cluster.states(), cluster.tables()
    asked = [*SLURM, *SHORT, "diagnostics=mine.Broken", "launch.missing_measures=compute", "launch.wait=true"]
    done = cluster(*asked)
    assert done.returncode == 1 and (cluster.states(), cluster.tables()) == before, done.stdout + done.stderr
    (log,) = cluster.runs.glob(".jobs/*/logs/*.out")
    assert f"Failed: it was not measured; the log of its job is {log}." in done.stdout
    assert "no measure in a job" in log.read_text()


BROKEN = """import os
from dataclasses import dataclass
from plasticity import Diagnostic

@dataclass(frozen=True, kw_only=True)
class Broken(Diagnostic):
    def __call__(self, view):
        if "SLURM_JOB_ID" in os.environ:
            raise ValueError("no measure in a job")
        return {"seen": 1.0}
"""


@pytest.mark.parametrize(
    ("override", "named"),
    {
        "hydra.launcher.minutes=0": "at least 1",
        "hydra.launcher.nodes=2": "it must be a known key, one of hydra.launcher.partition",
        "+hydra.launcher.partitoin=x": "hydra.launcher.partition",
    }.items(),
)
def test_a_mistake_about_the_cluster_is_refused(cluster, override, named):
    done = cluster(*SLURM, *SHORT, override)
    assert done.returncode != 0 and named in done.stderr and "Traceback" not in done.stderr and not jobs()


def test_jobs_compute_with_the_code_and_the_users_own_parts_as_they_were_submitted(cluster, tmp_path):
    cluster.tree = tree = tmp_path / "tree"
    for folder in ("plasticity", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / folder, tree / folder)
    shutil.copy(ROOT / "launch.py", tree)
    cluster.folder = own = tmp_path / "own"
    own.mkdir()
    user.write(own)
    (own / "my_helpers.py").write_text("FACTOR = 1\n")
    (page,) = re.findall(
        "```python\n(.*?)```", (ROOT / "docs" / "parts" / "trackers.md").read_text(), re.DOTALL
    )
    (own / "my_trackers.py").write_text(page)
    user.edit(own, "import logging\n", "import logging\nimport my_helpers\n")
    user.edit(own, "self.slope * z)", "my_helpers.FACTOR * self.slope * z)")
    parts = [
        "--config-dir",
        "my_conf",
        "activation=slope",
        "diagnostics=mean_weight",
        "tracker=my_trackers.Lines",
    ]
    submitted = cluster(*parts[:2], *SLURM, *parts[2:], *SHORT, HOLD)
    assert submitted.returncode == 0, submitted.stderr
    frozen = cluster.runs.glob(".jobs/*/code/*")
    modules = {"my_parts.py", "my_helpers.py", "my_trackers.py"}
    assert {path.name for path in frozen} == {"plasticity", *modules}
    for edited in (tree / "plasticity" / "training" / "train.py", *(own / name for name in modules)):
        edited.write_text("raise SystemExit('edited')")
    (job,) = jobs()
    subprocess.run(["scontrol", "release", job], check=True)
    quiet()
    assert [state["status"] for state in cluster.states().values()] == ["finished"], logs(cluster)
    assert all(b"mean_weight" in table for table in cluster.tables().values())
    told = (own / "progress.txt").read_text()
    assert all(re.search(rf"^{run} finished: ", told, re.MULTILINE) for run in cluster.states()), told


def test_jobs_that_are_not_frozen_find_the_users_own_parts(cluster, tmp_path):
    user.write(tmp_path)
    cluster.folder = tmp_path
    done = cluster(
        *SLURM, "diagnostics=my_parts.MeanWeight", *SHORT, "launch.freeze=false", "launch.wait=true"
    )
    assert done.returncode == 0, done.stdout + done.stderr + logs(cluster)
    assert "\nScore " in done.stdout and "finished before" not in done.stdout
    assert not list(cluster.runs.glob(".jobs/*/code"))


def test_printed_commands_can_be_pasted_whatever_the_directory_is_called(cluster):
    cluster.runs = cluster.directory / "my runs"
    done = cluster(*SLURM, *SHORT)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.partition("Watch:  ")[2].partition("   or ")[0]
    cancel = done.stdout.partition("Cancel: ")[2].partition("\n")[0]
    quiet()
    interpreter, option, module, *arguments = shlex.split(listed)
    assert (interpreter, option) == ("python", "-m")
    shown = cluster(*arguments, module=module)
    assert shown.returncode == 0 and "1 run: 1 finished." in shown.stdout, shown.stderr
    assert subprocess.run(cancel, shell=True).returncode == 0


def test_ctrl_c_while_a_job_is_submitted_keeps_its_record(cluster, tmp_path, monkeypatch):
    real = shutil.which("sbatch")
    slow = tmp_path / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/submitting; sleep 2; exec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    process = cluster.fork(*SLURM, *SHORT, HOLD)
    wait_for((tmp_path / "submitting").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "") and "Submitted 1 job." in out
    assert len(jobs()) == 1
    assert ", 1 in jobs already" in cluster(*SLURM, *SHORT).stdout and len(jobs()) == 1
    (job,) = jobs()
    ends_first = slow.parent / "squeue"  # the job ends while the next launch starts
    left = f"{real.replace('sbatch', 'squeue')} --noheader --jobs={job}"
    ends_first.write_text(
        f'#!/bin/sh\nscontrol release {job}; while [ "$({left})" ]; do sleep 0.2; done\n'
        f'exec {real.replace("sbatch", "squeue")} "$@"\n'
    )
    ends_first.chmod(0o755)
    assert "1 run: 1 finished, 0 resumed, 0 new\nScore " in cluster(*SLURM, *SHORT).stdout and not jobs()


def test_a_launch_from_within_a_job_submits_as_from_outside(cluster, monkeypatch, tmp_path):
    """What the outer job, or the user for sbatch, left in the environment does not reach the new job."""
    theirs = {
        "SBATCH_PARTITION": "nowhere", "SBATCH_OUTPUT": "/nowhere/%j", "SBATCH_EXPORT": "NONE",
        "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "CUDA_VISIBLE_DEVICES": "7",
    }  # fmt: skip
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    launch = [
        *(sys.executable, "launch.py", *SLURM, *SHORT, f"runs_dir={cluster.runs}", "launch.wait=true"),
        *(
            "hydra.launcher.cpus_per_job=1",
            "hydra.launcher.mem_per_cpu=300M",
            "hydra.launcher.partition=main",
        ),
        f"hydra.launcher.setup=['env > {tmp_path}/inner']",
    ]
    outer = ["salloc", "-n1", "--mem=400M", *launch]
    done = subprocess.run(outer, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr + logs(cluster)
    assert [state["status"] for state in cluster.states().values()] == ["finished"]
    inner = (tmp_path / "inner").read_text()
    assert "SLURM_MEM_PER_CPU=300" in inner and "SLURM_JOB_PARTITION=main" in inner
    for left in ("SLURM_MEM_PER_NODE", "SLURM_ARRAY", "CUDA_VISIBLE_DEVICES"):
        assert left not in inner


def test_jobs_that_end_before_our_code_starts_say_why(cluster):
    fails = [*SLURM, *SHORT, "seed=0,1", "launch.runs_per_job=1", "hydra.launcher.cpus_per_job=1"]
    fails.append("hydra.launcher.setup=[module load x || exit 1]")
    waited = cluster(*fails, "launch.wait=true")
    assert waited.returncode == 1 and "0 of 2 runs finished, 2 left, in " in waited.stdout
    assert "The same command computes them." in waited.stdout
    job = waited.stdout.partition("Jobs: ")[2].partition("\n")[0]
    (log,) = cluster.runs.glob(f".jobs/*/logs/{job}_0_0_log.out")
    listed = cluster("--runs", str(cluster.runs), module="analysis.runs").stderr
    assert listed.startswith("There are no runs in") and "(squeue --me); if none is," in listed
    assert str(log.parent) in listed
    again = cluster(*SLURM, *SHORT, "seed=range(3)", HOLD)  # seed 2 was in no job
    for done in (waited, again):
        assert f"2 jobs ({job}_0, {job}_1) ended before anything was computed:\n    " in done.stdout
        assert "module: command not found\n" in done.stdout and f"\nLog: {log}\n" in done.stdout
    subprocess.run(["scancel", *jobs()], check=True)
    quiet()
    planned = cluster(*SLURM, *SHORT, "seed=0,1", "launch.dry_run=true").stdout
    assert "ended before anything was computed, and left no log: cancelled while queued, or" in planned
    assert cluster(*SLURM, *SHORT, "seed=range(3)", "launch.wait=true").returncode == 0
    shutil.rmtree(cluster.folders()[0])
    assert "ended" not in cluster(*SLURM, *SHORT, "seed=range(3)", "launch.dry_run=true").stdout


def test_a_job_that_is_killed_midway_says_so_and_a_stopped_one_does_not(cluster):
    assert cluster(*SLURM, *LONG).returncode == 0
    (job,) = jobs()
    until(cluster.running)
    listed = subprocess.run(["scontrol", "listpids", job], capture_output=True, text=True).stdout
    for line in listed.splitlines()[1:]:
        if (pid := line.split()[0]).isdecimal() and int(pid) > 0:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    quiet()
    planned = cluster(*SLURM, *LONG, "launch.dry_run=true").stdout
    assert f"Job {job} ended without finishing or stopping its runs" in planned, planned
    assert "submitit INFO" not in planned
    assert cluster(*SLURM, *LONG).returncode == 0
    (job,) = jobs()
    until(lambda: any(state["attempt"] == 2 for state in cluster.running()))
    subprocess.run(["scancel", job], check=True)
    quiet()
    assert [state["status"] for state in cluster.states().values()] == ["stopped"], logs(cluster)
    assert "ended" not in cluster(*SLURM, *LONG, "launch.dry_run=true").stdout


def test_options_of_sbatch_may_be_written_as_sbatch_takes_them(cluster):
    typed = ["partition=main,high", "account=1234", "mem_per_cpu=200", "additional_parameters.comment=a&b"]
    typed += [f"additional_parameters.{one}" for one in ("mail_type=END,FAIL", "nice=5", "spread_job=false")]
    done = cluster(*SLURM, *SHORT, *(f"hydra.launcher.{option}" for option in typed), HOLD)
    assert done.returncode == 0, done.stderr
    (script,) = cluster.runs.glob(".jobs/*/logs/*_submission.sh")
    lines = script.read_text().splitlines()
    given = ["partition=main,high", "account=1234", "mem-per-cpu=200", "comment='a&b'", "mail-type=END,FAIL"]
    for option in (*given, "nice=5", "hold"):
        assert f"#SBATCH --{option}" in lines
    assert "spread" not in script.read_text()


def test_a_path_that_slurm_would_interpret_is_refused(cluster):
    for name in (r"a\b", "%A_%a"):
        settings = compose_settings([f"runs_dir={cluster.directory / name}"])
        with pytest.raises(ConfigError, match=r"it must be a path without % and \\ on a cluster"):
            submit([], settings, Cluster())
    cluster.runs = cluster.directory / "%j"
    done = cluster(*SLURM, *SHORT)
    assert done.returncode == 1 and "it must be a path without % and \\ on a cluster" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not [*cluster.directory.iterdir()] and not jobs()


@pytest.mark.parametrize("command_of_slurm", ["sbatch", "srun"])
def test_a_machine_without_slurms_commands_says_so(cluster, tmp_path, monkeypatch, command_of_slurm):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in {"sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct"} - {command_of_slurm}:
        (commands / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(commands))
    done = cluster(*SLURM, *SHORT)
    assert done.returncode == 1 and done.stderr == (
        f"hydra/launcher=slurm needs SLURM's commands, but {command_of_slurm} was not found.\n"
    )
    assert not list(cluster.runs.glob(".jobs/*"))


def test_a_disk_that_is_full_once_the_code_is_frozen_is_reported(cluster, disk):
    disk("200k")
    done = cluster(*SLURM, *SHORT)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "0 of 1 jobs were submitted" in done.stderr and "No space left on device" in done.stderr
    assert not jobs()
    subprocess.run(["mount", "-o", "remount,size=20m", str(cluster.runs)], check=True)
    assert cluster(*SLURM, *SHORT).returncode == 0
    assert len(list(cluster.runs.glob(".jobs/*/"))) == 1
    quiet()
    assert [state["status"] for state in cluster.states().values()] == ["finished"], logs(cluster)


def test_what_a_second_user_may_not_write_to_is_reported(cluster):
    (cluster.runs / ".jobs").mkdir(parents=True)
    (cluster.runs / ".submitting").touch()
    anybody = as_anybody(cluster.directory / "anybody")
    for theirs in (cluster.runs / ".submitting", cluster.runs / ".jobs"):
        os.chown(theirs, 12345, 12345)
        done = cluster(*SLURM, *SHORT, "seed=1", **anybody)
        os.chown(theirs, 0, 0)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        assert f"{theirs} cannot be written to (Permission denied)" in done.stderr and not jobs()


def test_a_job_of_another_user_who_shares_the_directory_covers_its_runs(cluster):
    held = ["sbatch", "--hold", "--parsable", "--output=/dev/null", "--chdir=/", "--wrap=true"]
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    job = subprocess.run(held, cwd="/", check=True, capture_output=True, text=True, **nobody).stdout.strip()
    assert "1 new; 1 job of" in cluster(*SLURM, *SHORT, "launch.dry_run=true").stdout
    assert cluster(*SLURM, *SHORT, HOLD).returncode == 0
    (submission,) = cluster.runs.glob(".jobs/*/")
    (recorded,) = json.loads((submission / "jobs.json").read_text()).values()
    subprocess.run(["scancel", "--user=root"], check=True)
    (submission / "jobs.json").write_text(json.dumps({job: recorded}))
    os.chown(submission, 65534, 65534)
    assert "1 in jobs already, 0 resumed, 0 new" in cluster(*SLURM, *SHORT).stdout
    subprocess.run(["scancel", job], check=True)


def test_ctrl_c_while_waiting_leaves_the_jobs(cluster):
    process = cluster.fork(*SLURM, *LONG, "launch.wait=true")
    wait_for(cluster.running, process)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "The jobs continue" in out and "Traceback" not in err
    assert len(jobs()) == 1 and cluster.running()
