"""Networks that cannot fit into memory: each is refused on its own, before it starts."""

import resource
import subprocess
import sys

import pytest
from conftest import ROOT

from plasticity.errors import UserError
from plasticity.run import Run
from plasticity.training import ram

LIMIT = 6 * 2**30


def test_what_is_needed_is_two_copies_of_all_weights():
    run = Run.of({"model": {"width": 20, "depth": 2}})
    assert ram.needed(run) == 2 * 4 * (784 * 20 + 20 * 20 + 20 * 10)


def test_what_an_optimiser_remembers_counts():
    run = Run.of({"model": {"width": 20, "depth": 2}, "optimiser": "adam"})
    weights, biases = 784 * 20 + 20 * 20 + 20 * 10, 20 + 20 + 10
    moments_and_counts = 3 * 4 * (weights + biases)
    assert ram.needed(run) == 2 * 4 * weights + moments_and_counts


def test_a_network_larger_than_any_machine_is_refused_with_its_size():
    run = Run.of({"model": {"width": 100_000}})
    with pytest.raises(
        UserError, match=r"layers 784-100000-.*-10 does not fit into memory: .* at least 320\.6 GB"
    ):
        ram.check(run)


def test_in_a_small_address_space_the_small_run_is_computed_and_the_large_one_refused(command):
    sweep = ["-m", "model.width=8,100000", "dataset.tasks=2", "dataset.examples_per_task=50"]
    done = subprocess.run(
        [sys.executable, "launch.py", *sweep, f"runs_dir={command.runs}"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "1 of 2 runs finished, 1 failed" in done.stdout and "does not fit into memory" in done.stdout
    assert sorted(state["status"] for state in command.states().values()) == ["failed", "finished"]
