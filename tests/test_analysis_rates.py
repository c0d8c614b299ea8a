"""How often units were replaced, as a value of the command line."""

import pytest
from fabricate import fabricate

from plasticity.analysis.__main__ import main
from plasticity.composition.compose import compose

NETWORK = {"model": {"widths": [20, 10]}, "dataset": {"tasks": 2, "examples_per_task": 50}}
REDO = {"replacement": {"name": "redo", "interval": 100}}


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls the command in this process; returns what it prints, or the sentence that it ends with."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["analysis", "rates", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return str(end), ""
        return capsys.readouterr()

    return call


def put(runs, config, replaced, **options):
    """A run of two tasks that replaced as many units in each of them, by layer."""
    columns = {f"replaced.layer_{layer}": number for layer, number in enumerate(replaced, start=1)}
    return fabricate(runs, NETWORK | config, [0.5, 0.5], extra=[columns, columns], **options)


def test_the_rates_of_runs_are_a_value_of_the_control(call, tmp_path):
    put(tmp_path, REDO | {"seed": 0}, (5, 0))
    put(tmp_path, REDO | {"seed": 1}, (15, 1))
    put(tmp_path, REDO | {"seed": 2}, (500, 500), status="running")
    put(tmp_path, {"replacement": {"name": "cbp", "rate": 0.5}}, (9, 9))
    out, said = call("--runs", tmp_path, "--method", "redo")
    # 10 of 20 units in 50 steps; half a unit of 10.
    assert out == "replacement.rates=[0.01,0.001]\n"
    assert said == "Units replaced per unit and step, by hidden layer: the mean of 2 runs of redo.\n"
    control = compose("method=random", "model.widths=[20,10]", out.strip(), "dataset.examples_per_task=50")
    assert control.replacement.rates == (0.01, 0.001)
    put(tmp_path, {"replacement": control.replacement.values()}, (10, 0.5))
    put(tmp_path, {"replacement": {"name": "random", "rates": 0.02}}, (1, 1), status="failed")
    where = ("--runs", tmp_path, "--method", "random", "--where")
    assert call(*where, "replacement.rates=0.01,0.001").out == call(*where, "status=finished").out == out
    _, said = call("--runs", tmp_path)
    assert "of cbp, random, redo" in said and "They differ in replacement." in said


def test_single_runs_are_named_by_identity_or_folder(call, tmp_path):
    first, second = (put(tmp_path, REDO | {"seed": seed}, (20 * seed, 5)) for seed in (1, 2))
    assert call(first.path)[0] == "replacement.rates=[0.02,0.01]\n"
    assert call(second.identity, "--runs", tmp_path)[0] == "replacement.rates=[0.04,0.01]\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--method", "cpr"], "has no rates: cpr moves units in part."),
        (
            ["--method", "redo"],
            "The hidden layers of these runs differ ([20, 10], [20, 20]): choose runs of one",
        ),
        (["c0ffee"], "c0ffee is refused: there is no such run in "),
        (["--where", "status=interrupted"], "There are no finished runs in "),
    ],
)
def test_runs_without_common_rates_are_refused(call, tmp_path, given, said):
    put(tmp_path, REDO, (1, 1))
    put(tmp_path, REDO | {"model": {"width": 20, "depth": 2}}, (1, 1))
    put(tmp_path, {"replacement": {"name": "cpr"}}, (30, 15))
    put(tmp_path, {"seed": 5}, (1, 1), status="running")
    assert said in call(*given, "--runs", tmp_path)[0]


def test_a_run_whose_own_method_cannot_be_imported_is_named(call, tmp_path):
    config = put(tmp_path, REDO, (1, 1)).path / "config.yaml"
    config.write_text(config.read_text().replace("redo", "gone.Redo"))
    said = call("--runs", tmp_path)[0]
    assert str(config.parent) in said and "No module named 'gone'" in said
