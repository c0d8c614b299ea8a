"""Methods: which one a run has, which tuned values it gets, and a method of a user's own from search to table."""

import csv

import pytest
import yaml
from conftest import ROOT

from plasticity.composition import methods
from plasticity.composition.compose import compose
from plasticity.composition.methods import method_name
from plasticity.errors import UserError

TINY = ["dataset.tasks=2", "dataset.examples_per_task=40", "model.width=6", "model.depth=2"]
CONF = ["--config-dir", "my_conf"]


def configs(command):
    return [yaml.safe_load((folder / "config.yaml").read_text()) for folder in command.folders()]


def analysis(command, module, *arguments):
    """What a command of the analysis prints, started in the user's folder."""
    done = command(*map(str, arguments), "--runs", str(command.runs), *CONF, module=module)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_method_of_ones_own_is_searched_tuned_swept_and_shown(mine):
    searched = mine(*CONF, "experiment=search", "method=mine", "seed=0", *TINY)
    assert searched.returncode == 0 and "4 of 4 runs finished" in searched.stdout, searched.stderr
    tried = {(one["optimiser"]["step_size"], one["replacement"]["threshold"]) for one in configs(mine)}
    assert tried == {(size, threshold) for size in (0.002, 0.0005) for threshold in (0.05, 0.2)}
    assert {one["optimiser"]["name"] for one in configs(mine)} == {"my_parts.Sign"}
    assert {one["regulariser"]["name"] for one in configs(mine)} == {"my_parts.L2Init"}

    said = analysis(mine, "analysis.search", "method=mine", "seed=0", *TINY, "--write", "narrow")
    written = yaml.safe_load((mine.folder / "my_conf" / "tuned" / "narrow.yaml").read_text())
    chosen = written["tuned"]["methods"]["mine"]
    assert f"mine: step_size={chosen['optimiser.step_size']:g} threshold=" in said
    assert tuple(chosen.values()) in tried and "of the grid: the best may lie beyond" in said

    short = [text for text in TINY if text.startswith("dataset")]
    swept = mine(*CONF, "-m", "tuned=narrow", "method=mine", "replacement=all,layer_1,none", "seed=1", *short,
                 "tracker=wandb", WANDB_ERROR_REPORTING="false")  # fmt: skip
    assert swept.returncode == 0 and "3 of 3 runs finished" in swept.stdout, swept.stderr
    assert (
        "3 runs published offline" in swept.stdout and len(list(mine.runs.glob("wandb/offline-run-*"))) == 3
    )
    new = [one for one in configs(mine) if one["seed"] == 1]
    assert {tuple(one["replacement"]["layers"]) for one in new} == {(1, 2), (1,), ()}
    for one in new:
        assert one["optimiser"]["step_size"] == chosen["optimiser.step_size"]
        assert one["replacement"]["threshold"] == chosen["replacement.threshold"]

    lines = analysis(mine, "analysis.runs", "--by", "method", "--format", "csv").splitlines()
    found = {row["method"]: row for row in csv.DictReader(lines)}
    assert set(found) == {"mine", "my_parts.L2Init + my_parts.Sign"} and found["mine"]["runs"] == "6"
    drawn = mine.folder / "curve"
    analysis(mine, "analysis.curves", "--y", "accuracy", "--by", "method", "--output", drawn)
    assert list(mine.folder.glob("curve*"))


def test_the_method_of_ones_own_in_the_docs_replaces_silent_units_in_each_set(command, tmp_path):
    page = (ROOT / "docs" / "parts" / "replacement.md").read_text()
    (tmp_path / "my_parts.py").write_text(page.split("```python\n")[1].split("```")[0])
    (launch,) = (
        line for line in page.splitlines() if line.startswith("    python launch.py -m replacement/method")
    )
    command.folder = tmp_path
    done = command(*launch.split()[2:], "model.width=40", "optimiser.step_size=0.1")
    assert done.returncode == 0 and "3 of 3 runs finished" in done.stdout, done.stderr
    replaced = {}
    for folder, config in zip(command.folders(), configs(command), strict=True):
        assert config["replacement"]["interval"] == 200
        rows = list(csv.DictReader((folder / "tasks.csv").read_text().splitlines()))
        layers = [sum(int(row[f"replaced.layer_{layer}"]) for row in rows) for layer in range(1, 6)]
        replaced[tuple(config["replacement"]["layers"])] = layers
    assert min(replaced[1, 2, 3, 4, 5][1:]) > 0 and replaced[()] == [0] * 5
    assert replaced[(1,)][1:] == [0] * 4


def test_a_replacement_method_of_ones_own_is_chosen_by_path_or_file(mine):
    """Without the keys of continual backpropagation, also by one line without a header, and with tuned networks."""
    (mine.folder / "my_conf" / "replacement" / "method" / "headed.yaml").write_text(
        "# @package replacement\n_target_: my_parts.ReDo\n"
    )
    spelt = [
        ["replacement=my_parts.ReDo"], ["replacement/method=my_parts.ReDo"],
        ["replacement/method=redo"], ["replacement/method=headed"],
    ]  # fmt: skip
    names = {mine(*CONF, *each, "replacement.threshold=0.3", *TINY).returncode for each in spelt}
    assert names == {0} and len(mine.folders()) == 1  # one run, however it is spelt
    layers = "replacement=all,layer_1,none"
    swept = mine(*CONF, "-m", "replacement/method=my_parts.ReDo,redo", layers, "launch.dry_run=true", *TINY)
    assert "3 runs: 0 finished" in swept.stdout, swept.stderr
    alone = mine(*CONF, "tuned=width_20", "replacement/method=redo", "launch.dry_run=true")
    assert "tuned=width_20 has no values for my_parts.ReDo: the defaults apply." in alone.stdout, alone.stderr
    figure = mine(*CONF, "experiment=figure_5", "replacement/method=redo", "launch.dry_run=true")
    said = "tuned=width_100: replacement.rate of cbp is not used by my_parts.ReDo."
    assert figure.stdout.count(said) == 1 and "12 runs: " in figure.stdout, figure.stderr


@pytest.mark.parametrize(
    ("overrides", "name", "label"),
    [
        (["method=cbp"], "cbp", "CBP"),
        (["method=cbp", "replacement=layer_1", "optimiser.step_size=1"], "cbp", "CBP"),
        (["method=bp"], "bp", "BP"),
        (["method=cbp", "replacement.rate=0"], "bp", "BP"),
        (["replacement=none", "regulariser=l2", "regulariser.strength=0.5"], "l2", "weight decay"),
        (["method=l2", "regulariser.strength=0"], "bp", "BP"),
        (["replacement=all", "regulariser=l2"], "cbp + l2", "cbp + l2"),
    ],
)
def test_the_method_of_a_run_is_the_recipe_that_its_parts_fit(overrides, name, label):
    run = compose(*overrides)
    assert (method_name(run), method_name(run, label=True)) == (name, label)


@pytest.mark.parametrize(
    ("overrides", "same"),
    [
        (["method=cbp"], ["replacement=all"]),
        (["method=bp"], ["replacement=none"]),
        (["method=l2"], ["replacement=none", "regulariser=l2"]),
        (["method=l2", "regulariser.strength=0.3"], ["method=l2", "tuned.method=l2", "regulariser.strength=0.3"]),
        (["method=cbp", "replacement=none"], ["replacement=none", "tuned.method=cbp"]),
        (["replacement=none", "tuned.method=cbp"], ["replacement=none", "optimiser.step_size=0.001"]),
        (["method=cbp", "regulariser=l2"], ["regulariser=l2", "regulariser.strength=1e-2"]),
    ],
)  # fmt: skip
def test_a_tuned_network_gives_a_run_the_values_of_its_method(overrides, same):
    assert compose("tuned=width_20", *overrides) == compose("tuned=width_20", *same)


def test_a_launch_says_that_values_were_tuned_for_another_activation(command):
    said = command("tuned=width_20", "activation=tanh", "launch.dry_run=true").stdout
    assert said.startswith("tuned=width_20: its values were tuned for activation=relu, and not for tanh.\n")
    refused = command("tuned=width_20", "method=l2", "regulariser=none", "launch.dry_run=true")
    assert refused.stderr == "method=l2 is refused: it must be one of cbp, bp without regulariser=l2.\n"


@pytest.mark.parametrize("key", ["method", "tuned.method"])
def test_a_method_that_a_run_contradicts_is_refused_under_the_key_that_was_given(key):
    with pytest.raises(UserError) as refused:
        compose("tuned=width_20", f"{key}=bp", "replacement=all")
    assert str(refused.value) == f"{key}=bp is refused: it must be cbp where units are replaced."


EARLIER = """# @package _global_
defaults:
  - /tuned_method
  - override /activation: relu
model: {width: 20}
tuned:
  network: narrow
  cbp: {step_size: 0.001, rate: 1e-3}
  bp: {step_size: 0.0005}
"""


def test_a_tuned_file_in_the_earlier_format_is_refused_with_what_to_write(tmp_path):
    (tmp_path / "tuned").mkdir()
    for text in (EARLIER, EARLIER.replace("  - /tuned_method\n", "")):
        (tmp_path / "tuned" / "narrow.yaml").write_text(text)
        with pytest.raises(UserError) as refused:
            compose("tuned=narrow", config_dir=tmp_path)
        said = str(refused.value)
        assert "tuned" in said.partition(" is refused: it must be ")[0] and "\n" not in said
        assert "tuned: {methods: {cbp: {optimiser.step_size: 0.001, replacement.rate: 0.001}}}" in said
        assert "optimiser: {step_size: '${tuned:optimiser.step_size}'}" in said


@pytest.mark.parametrize("inherited", ["cbp", "/method/cbp", "{/method: cbp}"])
def test_a_method_that_inherits_another_is_refused(tmp_path, inherited, monkeypatch):
    monkeypatch.setattr(methods, "_further", [tmp_path])
    methods.recipes.cache_clear()
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "both.yaml").write_text(
        f"# @package _global_\ndefaults: [{inherited}, override /regulariser: l2]\nmethod: {{name: both}}\n"
    )
    with pytest.raises(
        UserError, match=r"both.yaml is refused: a method states all of its parts itself.*cbp"
    ):
        methods.recipes()["both"]
    monkeypatch.undo()
    methods.recipes.cache_clear()
