"""The docs: what they show is run as printed, and what they list is complete."""

import csv
import re
import shlex
import sys

import pytest
import user
from conftest import ROOT

import plasticity
from plasticity.part import nested

PARTS = ROOT / "docs" / "parts"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page):
    """The launches that a page prints, as arguments."""
    printed = re.findall(r"^    python launch\.py (.*)$", page.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in printed]


NAMES = {
    "activations": ("activation", "SlopedReLU"),
    "utilities": ("replacement.utility", "Power"),
    "regularisers": ("regulariser", "L1"),
    "optimisers": ("optimiser", "Momentum"),
    "interventions": ("intervention", "ClearBiases"),
    "perturbations": ("perturbation", "PerturbOutputs"),
    "datasets": ("dataset", "Blobs"),
}
"""Parts on pages whose launch is composed and trained in this process: its key, and its class."""


def written(page, folder):
    """The page's module, in a folder, and the arguments of its launch."""
    path = PARTS / f"{page}.md"
    (code,), (arguments,) = blocks(path, "python"), commands(path)
    (folder / f"my_{page}.py").write_text(code)
    return arguments


@pytest.mark.parametrize("page", NAMES)
def test_the_part_of_ones_own_on_each_page_changes_the_run_that_it_prints(page, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    arguments, (key, name) = written(page, tmp_path), NAMES[page]
    run = plasticity.compose(*arguments)
    assert nested(run.parts())[key].name == f"my_{page}.{name}"
    result = plasticity.train(run)
    assert 0 < result.score < 1 and len(result.rows) == run.dataset.tasks
    if page not in ("datasets", "utilities"):  # of little use within 400 steps: no unit is replaced
        usual = plasticity.train(plasticity.compose(*arguments[-2:]))
        assert result.rows["loss"].iloc[-1] != usual.rows["loss"].iloc[-1]


def test_the_diagnostic_of_ones_own_adds_its_columns(command, tmp_path):
    arguments = written("diagnostics", tmp_path)
    command.folder = tmp_path
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    (folder,) = command.folders()
    rows = list(csv.DictReader((folder / "tasks.csv").open()))
    assert len(rows) == 2 and all(0 < float(row["active_units.layer_5"]) < 1 for row in rows)


def test_the_tracker_of_ones_own_is_told_of_each_task(command, tmp_path):
    arguments = written("trackers", tmp_path)
    command.folder = tmp_path
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    (folder,) = command.folders()
    told = (tmp_path / "progress.txt").read_text().splitlines()
    assert len(told) == 3 and f"{folder.name} finished: 0." in told[-1]


def test_every_page_of_a_kind_of_part_is_run():
    elsewhere = {"index", "models", "replacement", "methods"}  # in test_layers, test_methods and below
    assert {path.stem for path in PARTS.glob("*.md")} == elsewhere | set(NAMES) | {"diagnostics", "trackers"}


def test_the_recipe_in_the_docs_is_a_method(command, tmp_path):
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (recipe,) = blocks(PARTS / "methods.md", "yaml")
    (tmp_path / "my_conf" / "method" / "silent.yaml").write_text(recipe)
    (tmp_path / "my_parts.py").write_text(blocks(PARTS / "replacement.md", "python")[0])
    command.folder = tmp_path
    search, _ = commands(PARTS / "methods.md")
    done = command(*search, "launch.dry_run=true")
    assert "12 runs: 0 finished" in done.stdout, done.stdout + done.stderr


def test_every_key_of_every_part_and_setting_is_explained(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference

    said = reference.keys()  # raises Unexplained
    keys = set(re.findall(r"^\| `([\w.]+)` \|", said, re.MULTILINE))
    assert {
        "seed", "runs_dir", "launch.dry_run", "snapshots.every", "model.width", "activation.slope", "replacement.rate",
        "regulariser.strength", "diagnostics.curvature_rank.every", "tracker.mode", "hydra.launcher.minutes",
        "dataset.flip_after", "optimiser.step_size", "intervention.part",
    } <= keys  # fmt: skip
    (rate,) = re.findall(r"^\| `replacement.rate` \|.*", said, re.MULTILINE)
    assert "`0.0001`" in rate and "at least 0 and of at most 1" in rate
    with pytest.raises(reference.Unexplained, match=r"my_parts\.Sign\.step_size"):
        module = type(sys)("my_parts")
        exec(user.PARTS, vars(module))
        reference.meaning(module.Sign, "step_size")
