"""Layers beside a Linear with an elementwise activation: convolutions, layer normalisation, CReLU, one's own."""

import sys
from math import sqrt
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, Command

from plasticity import ConfigError, Run, load_network
from plasticity.engines.reference import ReferenceLearner
from plasticity.networks.cnn import Cnn
from plasticity.networks.network import Network, initial_network
from plasticity.streams import Purpose, uniform
from tests.convolution_oracle import ConvolutionOracle
from tests.dense_oracle import DenseOracle, assert_close, examples, take
from tests.oracle import Examples, Pictures

STEP_SIZE, RATE, THRESHOLD, DECAY = 0.05, 0.04, 20, 0.9
CBP = {"name": "cbp", "rate": RATE, "maturity_threshold": THRESHOLD, "decay_rate": DECAY}


def made(batch_size: int = 1, **parts) -> Run:
    return Run(**{
        "dataset": Pictures(outputs=3, batch_size=batch_size, examples_per_task=2 * batch_size),
        "optimiser": {"name": "sgd", "step_size": STEP_SIZE},
        "replacement": CBP,
    } | parts)  # fmt: skip


# --- Convolutions ----------------------------------------------------------------------------------------

CNN = {
    "name": "cnn", "channels": [3, 4], "kernel": [3, 2], "stride": [1, 2], "padding": [1, 0], "pool": [2, 1],
    "hidden": [6],
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 16])
def test_convolutional_network_steps_as_an_oracle_with_loops_over_positions(size):
    run = made(size, model=CNN, seed=3)
    learner, replaced = ReferenceLearner(run, initial_network(run)), np.zeros(3, int)

    def fresh(layer: int, unit: int, number: int) -> np.ndarray:
        return uniform(sqrt(6 / number), 3, Purpose.REPLACEMENT, (layer, unit, step), number)

    rows, classes = examples(run, 200)
    for step in range(200):
        before = learner.network()
        oracle = ConvolutionOracle(
            (2, 6, 5), [(3, 1, 1, 2), (2, 2, 0, 1)], before.parameters, before.memory, STEP_SIZE, RATE,
            THRESHOLD, DECAY, fresh,
        )  # fmt: skip
        loss, _, units = take(learner, rows[step], classes[step], step)
        chosen, expected = oracle.step(rows[step], classes[step])
        assert loss == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert units == [len(layer) for layer in chosen]
        assert_close(learner.network(), oracle.p, oracle.m)
        replaced += units
    assert replaced.min() > 10


def test_default_convolutional_network_is_that_of_continual_imagenet():
    layers = Cnn().layers((3, 32, 32), 2, made().activation)
    assert [layer.units for layer in layers] == [32, 64, 128, 128, 128, 2]
    assert [layer.positions for layer in layers[:3]] == [14 * 14, 6 * 6, 2 * 2]
    assert layers[3].parameters["weights"].shape == (128, 512)
    # U(−b, b) with b = √2 · √(3 / fan_in)
    assert layers[1].parameters["weights"].bound == pytest.approx(sqrt(6 / (32 * 9)))


def test_a_single_number_is_that_of_all_convolutions():
    assert made(model=CNN | {"stride": [1]}).identity == made(model=CNN | {"stride": [1, 1]}).identity


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"kernel": [3, 9]}, "model.kernel=9 is refused: it must be at most 2 in convolution 2, which "),
        ({"pool": [7]}, "model.pool=7 is refused: it must be at most 5 after convolution 1, which "),
        ({"kernel": [1, 2, 3]}, "a list of one number, or of 2, as many as model.channels"),
        ({"channels": [0]}, "model.channels=[0] is refused: it must be a list of the channels of each convolution"),
    ],
)  # fmt: skip
def test_impossible_convolutions_are_refused(model, said):
    with pytest.raises(ConfigError, match="is refused") as refused:
        made(model=CNN | model)
    assert said in str(refused.value)


def test_data_without_images_is_refused():
    with pytest.raises(ConfigError, match="mlp for a data set whose inputs are not images"):
        made(model="cnn", dataset=Examples())
    with pytest.raises(ConfigError, match="hidden where a unit has several columns or positions"):
        made(
            model={"name": "cnn", "channels": [4], "kernel": [1], "hidden": [4]},
            replacement={"observed": "misaligned"},
        )


# --- Layer normalisation and CReLU -----------------------------------------------------------------------


NORMALISED = {"name": "mlp", "width": 7, "depth": 2, "normalisation": "layer_norm"}
OTHERS = {
    "layer_norm": {"model": NORMALISED, "regulariser": {"name": "l2", "strength": 0.01}},
    "crelu": {"model": {"width": 7, "depth": 2}, "activation": "crelu"},
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("size", [1, 16])
def test_layer_norm_and_crelu_step_as_a_numpy_form(kind, size):
    run = made(size, **OTHERS[kind])
    learner, replaced = ReferenceLearner(run, initial_network(run)), np.zeros(2, int)
    rows, classes = examples(run, 100)
    for step in range(100):
        oracle = DenseOracle(run, learner.network())
        _, _, units = take(learner, rows[step], classes[step], step)
        assert units == oracle.step(rows[step], classes[step], step)
        assert_close(learner.network(), oracle.p, oracle.m)
        replaced += units
    assert replaced.min() > 5


def test_smooth_leaky_is_its_formula():
    run = made(activation={"name": "smooth_leaky", "sharpness": 4.0})
    z = np.linspace(-9, 9, 101)
    expected = 0.1 * z + 0.9 * z / (1 + np.exp(-4 * z / 3))
    np.testing.assert_allclose(run.activation(torch.from_numpy(z)), expected, rtol=1e-12)


# --- A model of one's own --------------------------------------------------------------------------------


RECIPE = (ROOT / "docs" / "parts" / "models.md").read_text().split("```python\n")[1].split("```")[0]
my_models = ModuleType("my_models")
sys.modules["my_models"] = my_models
exec(RECIPE, vars(my_models))
Residual = my_models.Residual


def test_a_unit_of_an_own_layer_starts_over_and_nothing_else_does():
    run = made(model=Residual(units=6, size=8), replacement=CBP | {"rate": 1.0, "maturity_threshold": 0})
    learner = ReferenceLearner(run, initial_network(run))
    rows, classes = examples(run, 1)
    assert take(learner, rows[0], classes[0], 5)[2] == [6, 6]
    network, start = learner.network(), initial_network(run)
    for layer, fan_in in enumerate((60, 8)):
        for unit in range(6):
            draws = uniform(sqrt(6 / fan_in), 0, Purpose.REPLACEMENT, (layer, unit, 5), fan_in)
            assert np.array_equal(network.parameters[f"weights.{layer}"][unit], draws)
        assert not network.parameters[f"outward.{layer}"].any() and not network.biases[layer].any()
    moved = network.parameters["shortcut.0"] - start.parameters["shortcut.0"]
    assert moved.any() and np.abs(moved).max() < 0.1 and network.weights[2].any()


def test_parameters_of_an_own_layer_are_told_from_what_is_remembered():
    run = made(model=Residual())
    network = initial_network(run)
    again = Network.from_arrays(dict(sorted(network.arrays().items())))
    assert again.parameters.keys() == network.parameters.keys()
    assert again.memory.keys() == network.memory.keys()


# --- On the command line ---------------------------------------------------------------------------------

TINY = (
    "dataset.tasks=2",
    "dataset.examples_per_task=60",
    "replacement.maturity_threshold=5",
    "engine=reference",
)
CNN_KEYS = (
    "model.channels=[3]", "model.kernel=[5]", "model.stride=[2]", "model.pool=[3]", "model.hidden=[6]",
)  # fmt: skip
MEASURES = ("dead_units", "dormant_units", "effective_rank", "utility_mean", "probing_accuracy_before")


def first_row(command: Command) -> dict:
    return pd.read_csv(command.folders()[0] / "tasks.csv").to_dict("records")[0]


def test_what_is_not_defined_for_a_convolution_is_left_out_and_said_once(command: Command):
    ended = command(*TINY, "model=cnn", *CNN_KEYS, "diagnostics=full", "activation=crelu")
    assert ended.returncode == 0, ended.stderr
    said, row = ended.stdout + ended.stderr, first_row(command)
    assert (
        said.count("diagnostics=curvature_rank is not defined for layer 1 of model=cnn, and left out there.")
        == 1
    )
    assert (
        "model=cnn with dataset=permuted_mnist: pixels that are neighbours to a convolution are not" in said
    )
    assert {f"{measure}.layer_{layer}" for measure in MEASURES for layer in (1, 2)} <= row.keys()
    assert "curvature_rank.layer_2" in row and not {"curvature_rank.layer_1", "curvature_rank"} & row.keys()


def test_an_own_model_works_with_methods_and_diagnostics(command: Command, tmp_path):
    (tmp_path / "my_models.py").write_text(RECIPE)
    command.folder = tmp_path
    ended = command(
        *TINY, "model=my_models.Residual", "model.units=5", "model.size=7", "diagnostics=full",
        "replacement.rate=0.01", "regulariser=l2",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    row = first_row(command)
    assert {f"{measure}.layer_{layer}" for measure in MEASURES for layer in (1, 2)} <= row.keys()
    assert row["replaced.layer_2"] > 0 and row["weight_magnitude.layer_1"] > 0
    network = load_network(command.folders()[0])
    assert network(torch.zeros(3, 784)).shape == (3, 10)
    assert [h.shape for h in network.hidden(torch.zeros(3, 784))] == [(3, 5), (3, 5)]
    assert network.layers[1].outward.shape == (7, 5)
