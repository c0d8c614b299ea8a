"""The benchmarks: what they time is native, and their tables are whole. No time is judged."""

import numpy as np
import pytest

from benchmarks import step
from benchmarks.digits import made_up
from benchmarks.networks import NETWORKS
from benchmarks.own_parts import PARTS
from plasticity.datasets.permuted_mnist import PermutedMnist
from plasticity.engines import get, native
from plasticity.engines.kernel import build
from plasticity.engines.native import NativeEngine
from plasticity.networks.network import initial_network
from plasticity.run import Run

pytestmark = [
    pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable())),
    pytest.mark.usefixtures("header_read_once"),
]

EVERYTHING = ["--methods", "all", "--parts", "all", "--batches", "all"]


@pytest.fixture
def quickly(monkeypatch):
    """Programs are built without optimisation."""
    monkeypatch.setattr(build, "FLAGS", tuple(flag for flag in build.FLAGS if flag != "-O3"))


def digits():
    return made_up(PermutedMnist(examples_per_task=100), 100)


@pytest.mark.usefixtures("quickly")
def test_every_run_that_is_timed_is_native():
    runs = {name: Run.of(values) for name, values in NETWORKS.items()}
    for comparison in step.comparisons(step.read(EVERYTHING)):
        runs |= {f"{comparison.title}: {name}": run for name, run in comparison.runs.items()}
    assert {name: reason for name, run in runs.items() if (reason := NativeEngine().unsupported(run))} == {}
    assert len(runs) == 10 + 13 + 10 + 3


@pytest.mark.usefixtures("quickly")
def test_the_tables_have_a_line_for_everything_that_is_asked_for():
    few = ["--rounds", "1", "--repetitions", "1", "--steps", "20", "--engines", "native", "reference"]
    arguments = step.read([*EVERYTHING, "--networks", "depth 2", *few])
    legend, head, network, more, *tables = step.report(arguments, digits())
    assert network.startswith("depth 2: floor ") and network.count("\n") == 2
    assert np.float32(1e-38) * np.float32(0.1) > 0, "what is timed next would count denormal numbers as 0"
    assert [table.split()[0] for table in tables] == ["methods", *PARTS, "batches"]
    for comparison, table in zip(step.comparisons(arguments), tables, strict=True):
        names, lines = list(comparison.runs), table.strip().split("\n")[1:]
        for name, line in zip(names, lines, strict=True):
            time, _, of_example, ratio, active, reference, faster = line.removeprefix(f"  {name} ").split()
            batch = comparison.runs[name].dataset.batch_size
            assert float(of_example) == pytest.approx(float(time) / batch, abs=0.01)
            assert (ratio == "1.00") or name != names[0]
            assert 0.1 < float(active.removesuffix("%")) / 100 < 0.9
            assert float(faster) == pytest.approx(float(reference) / float(time), rel=0.01, abs=0.06)


def test_without_a_group_the_networks_are_timed_and_methods_are_divided_by_cbp(capsys):
    assert step.read([]).networks == list(NETWORKS) and step.read(["--methods", "all"]).networks == []
    (methods,) = step.comparisons(step.read(["--methods", "redo", "cbp"]))
    assert list(methods.runs) == ["cbp", "redo"]
    with pytest.raises(SystemExit):
        step.read(["--rounds", "0"])
    assert "--rounds: '0' is not a whole number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["activation", "utility", "regulariser", "optimiser"])
def test_a_step_in_jax_is_that_of_the_reference_engine(part):
    jax = pytest.importorskip("jax", reason="the peer in JAX needs it")
    from benchmarks import jax_parts, jax_peer

    run = Run.of(list(PARTS[part].values())[-1] | {"model": {"width": 20, "depth": 2}})
    assert jax_parts.supports(run)
    network, task = initial_network(run), digits().task(0)
    learner = get("reference").learner(run, network)
    learner.learn(task, lambda steps: None)
    state, _ = jax.lax.scan(jax_peer.step(run), jax_peer.start(run, network), jax_peer.examples(task, 100))
    expected = learner.network()
    for layer, (weights, biases) in enumerate(zip(expected.weights, expected.biases, strict=True)):
        np.testing.assert_allclose(state["parameters"]["weights"][layer], weights, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(state["parameters"]["biases"][layer], biases, rtol=1e-3, atol=1e-3)
    for layer, utility in enumerate(expected.remembered("utility")):
        np.testing.assert_allclose(state["utility"][layer], utility, rtol=1e-2, atol=1e-3)
