"""Snapshots: the networks that a run keeps, and what can be done with them afterwards."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import plasticity
from plasticity.engines import get
from plasticity.errors import UserError
from plasticity.optimisers import SGD
from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.training.session import Session
from plasticity.training.train import train

TINY = ["dataset.tasks=4", "dataset.examples_per_task=200", "model.width=12", "model.depth=2", "seed=3"]
REPLACING = ["replacement.rate=0.01", "replacement.maturity_threshold=20"]
AVAILABLE = [name for name in ("native", "reference") if get(name).unsupported(Run()) is None]


def computed(tmp_path, *overrides, **session):
    run = plasticity.compose(*TINY, *REPLACING, *overrides)
    folder = RunFolder.of(tmp_path, run)
    assert train(run, folder, Session(**session)).status == "finished"
    return run, folder


@pytest.mark.parametrize(("every", "kept"), [(0, [4]), (1, [1, 2, 3, 4]), (2, [2, 4]), (3, [3, 4])])
def test_the_network_of_every_nth_task_is_kept_and_always_that_after_the_last(tmp_path, every, kept):
    run, folder = computed(tmp_path, snapshot_every=every)
    assert folder.snapshots() == kept
    learnt = [network.network for network in plasticity.learn(run)]
    for task in kept:
        found = folder.snapshot(task)
        expected = learnt[task - 1].arrays()
        assert found.task == task and found.network.arrays().keys() == expected.keys()
        for name, array in found.network.arrays().items():
            assert array.dtype == expected[name].dtype and array.shape == expected[name].shape
            assert array.tobytes() == expected[name].tobytes()


def test_pytorch_reads_a_snapshot(tmp_path):
    _, folder = computed(tmp_path)
    read = load_file(folder.path / "snapshots" / "000004.safetensors")
    assert read["weights.0"].shape == (12, 784) and read["age.1"].dtype == torch.int64
    assert read["utility.0"].shape == read["biases.0"].shape == (12,)


@pytest.mark.parametrize("engine", AVAILABLE)
@pytest.mark.parametrize("activation", ["relu", "selu", "gelu"])
def test_a_loaded_network_has_the_runs_own_accuracy_and_loss(tmp_path, engine, activation):
    # With a step size of nearly 0, the run's online accuracy in the next task is that of the snapshot.
    run, folder = computed(
        tmp_path, f"activation={activation}", "optimiser.step_size=0.01", "dataset.tasks=2",
        "dataset.examples_per_task=100", snapshot_every=2, engine=engine,
    )  # fmt: skip
    network = plasticity.load_network(folder.path, 2)
    assert "LoadedLayer(weight [12, 784], bias [12])" in repr(network)
    still = replace(run, optimiser=SGD(step_size=1e-12), replacement=replace(run.replacement, layers="none"))
    learner = get(engine).learner(still, folder.snapshot(2).network)
    task = run.dataset.open(run.seed, None).task(2)
    result = learner.learn(task, lambda steps: None)
    with torch.no_grad():
        outputs = network(torch.from_numpy(task.inputs(100)))
        loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(task.targets[task.order]).long())
    predicted = outputs.argmax(dim=1).numpy() == task.targets[task.order]
    assert predicted.mean() == result.score and result.score > 0.05
    assert float(loss) == pytest.approx(result.loss, rel=1e-5)
    np.testing.assert_allclose(
        network.hidden(torch.from_numpy(task.inputs(50)))[1].detach(),
        learner.activations(task, 50)[1],
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_network_is_found_by_folder_run_or_identity(tmp_path):
    run, folder = computed(tmp_path)
    expected = folder.snapshot(4).network.weights[0]
    for way in (folder.path, str(folder.path)):
        assert np.array_equal(plasticity.load_network(way).layers[0].weight.detach(), expected)
    for way in (run, run.identity):
        assert np.array_equal(
            plasticity.load_network(way, runs_dir=tmp_path).layers[0].weight.detach(), expected
        )
    assert np.array_equal(plasticity.load_network(folder.path, 4).layers[0].weight.detach(), expected)


def test_a_network_that_is_not_kept_is_refused_with_what_there_is(tmp_path):
    _, folder = computed(tmp_path, snapshot_every=2)
    with pytest.raises(UserError, match="before task 3: there are snapshots from before tasks 2, 4"):
        plasticity.load_network(folder.path, 3)
    _, other = computed(tmp_path / "other")
    with pytest.raises(UserError, match="before task 3: there is one, from before task 4, which is loaded"):
        plasticity.load_network(other.path, 3)
    with pytest.raises(UserError, match="holds no run"):
        plasticity.load_network(tmp_path / "nothing")
    (folder.path / "snapshots" / "000002.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"000002.safetensors cannot be read"):
        plasticity.load_network(folder.path, 2)
    shutil.rmtree(folder.path / "snapshots")
    with pytest.raises(UserError, match="lacks a snapshot: there are none"):
        plasticity.load_network(folder.path)


def test_a_run_that_starts_over_keeps_no_snapshot_of_before(tmp_path):
    run, folder = computed(tmp_path, snapshot_every=1)
    train(run, folder, Session(restart="a launch"))
    assert folder.snapshots() == [4]


def test_what_a_killed_writer_left_is_swept_by_the_next_holder(tmp_path):
    _, folder = computed(tmp_path, snapshot_every=2)
    kept = sorted((folder.path / "snapshots").iterdir())
    left = folder.path / "snapshots" / ".000003.safetensors.x1y2"
    left.write_bytes(b"half")
    with folder.claim():
        assert sorted((folder.path / "snapshots").iterdir()) == kept
