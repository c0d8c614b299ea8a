"""The docs: what they show is run as printed, and what they list is complete."""

import csv
import re
import shlex
import sys

import pytest
import user
from conftest import ROOT

import plasticity
from analysis.__main__ import main as analysis
from plasticity.part import nested

PARTS = ROOT / "docs" / "parts"
README = ROOT / "README.md"


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
    "constraints": ("constraint", "MaxNorm"),
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


def test_the_launcher_of_ones_own_computes_the_runs(command, tmp_path):
    page = ROOT / "docs" / "guide" / "cluster.md"
    files = {"hydra_plugins/my_launchers.py": "python", "my_conf/hydra/launcher/announced.yaml": "yaml"}
    for name, language in files.items():
        assert f"`{name}`" in page.read_text()
        (text,) = blocks(page, language)
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    command.folder = tmp_path
    process = command.start(*commands(page)[-1])  # since Hydra looks for plugins once in a process
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and f"Runs in {command.runs}: 2\n" in out, out + err
    assert [state["status"] for state in command.states().values()] == ["finished"] * 2
    for elsewhere in ("my_parts.Launcher", "hydra_plugins.my_own.Launcher"):
        (tmp_path / "my_conf/hydra/launcher/elsewhere.yaml").write_text(f"_target_: {elsewhere}")
        refused = command("-m", "--config-dir", "my_conf", "hydra/launcher=elsewhere", "seed=0,1")
        valid = "a class in a folder called hydra_plugins, in this directory or on PYTHONPATH"
        assert refused.returncode == 1 and refused.stderr == f"{elsewhere} is refused: it must be {valid}.\n"


def test_the_recipes_of_the_readme_work_as_pasted(command, tmp_path, monkeypatch, capsys):
    """Each launch is composed and planned; the comparison finds what a short form of the sweep has computed."""
    command.folder = tmp_path
    recipes = blocks(README, "sh")
    shell = "".join(recipes).replace("\\\n", " ")
    heredoc = re.search(r"cat > my_parts.py <<'END'\n(.*?)END\n", shell, re.DOTALL)
    (tmp_path / "my_parts.py").write_text(heredoc[1])
    printed = [
        shlex.split(line) for line in shell.replace(heredoc[0], "").splitlines() if line.startswith("python")
    ]
    launches = [line[2:] for line in printed if line[1] == "launch.py"]
    runs, table = (line[3:] for line in printed if line[:3] == ["python", "-m", "plasticity.analysis"])
    assert len(recipes) == 6 and len(launches) == 5 and runs == ["runs"]
    sweep = launches[1]
    for arguments in launches:
        if "hydra/launcher=slurm" not in arguments:  # tests of SLURM submit such a sweep
            done = command(*arguments, "launch.dry_run=true")
            assert done.returncode == 0 and "run" in done.stdout, done.stderr
    done = command(*sweep[:-1], "dataset.tasks=1", "dataset.examples_per_task=50")
    assert done.returncode == 0, done.stderr
    assert len(command.folders()) == 9
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["plasticity.analysis", *table, "--runs", str(command.runs)])
    analysis()
    found = capsys.readouterr().out
    row, differences = (line for line in found.splitlines() if line.startswith("relu"))
    assert row.count("[") == 3 and differences.count("[") == 2 and "Missing" not in found


def test_the_readme_is_short_and_its_cells_are_those_of_table_1():
    lines = README.read_text().splitlines()
    whole = (ROOT / "results" / "table_1.md").read_text().replace("<u>", "").replace("</u>", "")
    cells = {
        line.split("|")[1].strip(): line.split("|")[2:7]
        for line in reversed(whole.splitlines())
        if "|" in line
    }
    shown = {
        line.split("|")[1].strip(): line.split("|")[2:7] for line in lines if " ± " in line and line[0] == "|"
    }
    assert len(lines) <= 180 and len(shown) == 4
    for row, name in {
        "base": "Width 100",
        "width 20": "Width 20",
        "depth 2": "Depth 2",
        "tanh": "Tanh",
    }.items():
        assert shown[row] == cells[name]


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
        "seed", "runs_dir", "launch.dry_run", "snapshots.every", "model.width", "activation.slope",
        "replacement.rate", "regulariser.strength", "diagnostics.curvature_rank.every", "tracker.mode",
        "hydra.launcher.minutes", "dataset.flip_after", "optimiser.step_size", "intervention.part",
    } <= keys  # fmt: skip
    (rate,) = re.findall(r"^\| `replacement.rate` \|.*", said, re.MULTILINE)
    assert "`0.0001`" in rate and "at least 0 and at most 1" in rate
    with pytest.raises(reference.Unexplained, match=r"my_parts\.Sign\.step_size"):
        module = type(sys)("my_parts")
        exec(user.PARTS, vars(module))
        reference.meaning(module.Sign, "step_size")


@pytest.mark.parametrize("group", ["tuned", "experiment"])
def test_every_choice_in_the_docs_says_what_it_is(group, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference

    head, _, *rows = reference.choices(group).splitlines()
    assert head == "| choice | what it is |" and len(rows) == len(
        list((ROOT / "conf" / group).glob("*.yaml"))
    )
    assert [row for row in rows if not re.fullmatch(rf"\| `{group}=\w+` \| .*\w.* \|", row)] == []


def test_commands_within_a_choice_stand_on_lines_of_their_own(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference

    said = reference.choices("experiment")
    assert "<br>`python launch.py experiment=search_space hydra/sweeper=optuna dataset.tasks=100`<br>" in said


def test_the_notebook_goes_from_a_run_to_a_figure(tmp_path, monkeypatch):
    code = (ROOT / "examples" / "first_hour.py").read_text()
    sizes = "TASKS, EXAMPLES, SEEDS = 20, 10_000, (0, 1)"
    assert code.count(sizes) == 1
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(compile(code.replace(sizes, "TASKS, EXAMPLES, SEEDS = 2, 50, (0,)"), "first_hour.py", "exec"), {})
    assert (tmp_path / "first_hour.png").stat().st_size > 10_000
    assert len(list((tmp_path / "runs" / "first_hour").glob("*/tasks.csv"))) == 3
