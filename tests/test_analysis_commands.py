import io
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module

import pandas as pd
import pytest
from conftest import ROOT
from fabricate import fabricate

from analysis import summarise
from analysis.__main__ import COMMANDS, main
from analysis.entry import command
from analysis.paper import CELLS, COLUMNS, NETWORKS, run
from analysis.paper.claims import CLAIMS
from analysis.paper.grid import cells
from analysis.paper.notes import missing
from analysis.render import text
from analysis.runs import average_table, averages
from plasticity.composition.compose import compose, experiment
from plasticity.composition.labels import labels

pytestmark = pytest.mark.usefixtures("composed_once")

SHOWN = {"runs": "16 runs: 14 finished", "collect": "14 finished"}
AWKWARD = "100 % of $x_1 & {y}: #~^ \\ – “naïve”"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Runs in every possible state; those of the base network are complete but for one."""
    directory = tmp_path_factory.mktemp("written") / "runs"
    for column, score in zip(COLUMNS, (0.84, 0.83, 0.71, 0.68, 0.61), strict=True):
        for seed in range(3):
            if (column, seed) != ("last", 2):
                fabricate(directory, run("width_100", column, seed, 2, 10_000), [0.5, score + seed / 1000])
    fabricate(directory, run("selu", "all", 0, 2, 10_000), [0.5], status="failed", reason=AWKWARD)
    fabricate(directory, run("tanh", "all", 0, 2, 10_000), [0.5], status="running")
    return directory


@pytest.fixture
def runs(written, tmp_path):
    """A test's own copy of them."""
    return shutil.copytree(written, tmp_path / "runs")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Calls a command in this process; returns what it prints, or the sentence that it ends with."""

    def call(module, *arguments, runs="runs", stream="out"):
        where = ["--runs", str(tmp_path / runs)] if runs else []
        monkeypatch.setattr("sys.argv", [module, *where, *arguments])
        try:
            command(import_module(f"analysis.{module}").main)
        except SystemExit as end:
            return str(end)
        return getattr(capsys.readouterr(), stream)

    return call


@pytest.mark.parametrize("arguments, code, said", [
    (["plasticity.analysis", "runs"], 0, "14 finished"),
    (["plasticity.analysis", "run"], 1, "run is refused: there is no such command; did you mean runs?"),
    (["plasticity.publish", "--help"], 0, "python -m plasticity.track"),
    (["plasticity.publish.dashboard", "--help"], 1, "plasticity.publish is plasticity.track now"),
])  # fmt: skip
def test_one_command_has_them_all_and_the_earlier_spellings_still_say_something(
    command, arguments, code, said, runs
):
    where = ["--runs", runs] if code == 0 and "--help" not in arguments else []
    module, *given = [*arguments, *map(str, where)]
    answer = command(*given, module=module)
    assert answer.returncode == code and re.search(said, answer.stdout + answer.stderr)
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_says_how_it_is_called(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["analysis", name, "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith(f"usage: python -m plasticity.analysis {name} ")


def test_a_command_imports_only_what_it_needs():
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom plasticity.analysis.__main__ import COMMANDS, main\nmain()\n"
        "print('loaded', [name for name in ('pandas', 'torch', 'hydra', 'wandb') if name in sys.modules])\n"
        "from importlib import import_module\n"
        "print([import_module(module, 'plasticity.analysis').main.__name__ for module, _ in COMMANDS.values()])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.endswith(f"loaded []\n{['main'] * 15}\n")


@pytest.mark.parametrize("module", SHOWN)
def test_commands_as_processes(command, module, runs, tmp_path):
    output = ["--output", str(tmp_path / "results")] if module == "collect" else []
    answer = command("--runs", str(runs), *output, module=f"analysis.{module}")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert SHOWN[module] in answer.stdout


@pytest.mark.parametrize("module", ["runs", "table_1", "findings", "collect"])
def test_a_directory_that_is_not_there_is_named(call, module, tmp_path):
    output = ["--output", str(tmp_path / "results")] if module == "collect" else []
    said = call(module, *output, runs="nowhere")
    assert said == f"There are no runs in {tmp_path / 'nowhere'}: there is no such directory."


@pytest.mark.parametrize("module, redirection, code, said", [
    ("collect", ">/dev/full", 1, "Standard output cannot be read or written (No space left on device).\n"),
    ("collect", ">&-", 1, "There is no standard output to write to.\n"),
    ("runs", "| :; exit ${PIPESTATUS[0]}", 141, ""),
])  # fmt: skip
def test_output_that_cannot_be_written_ends_a_command_with_a_sentence(
    runs, tmp_path, module, redirection, code, said
):
    output = f"--output {tmp_path / 'results'}" if module == "collect" else ""
    waiting = "(sleep 0.1; exec 0<&-; :)"  # the reader has left
    line = (
        f"{sys.executable} -m analysis.{module} --runs {runs} {output} {redirection.replace(':', waiting, 1)}"
    )
    answer = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (code, said)


def test_what_killed_collectors_left_is_swept_by_the_next(call, runs, tmp_path):
    results = tmp_path / "results"
    for name in (".runs", ".tasks", "runs/.piece", "tasks/.piece"):
        path = results / f"{name}.parquet.x1y2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert "14 finished" in call("collect", "--output", str(results))
    assert {path.name for path in results.iterdir()} == {"runs", "tasks"}
    assert not [path for path in results.rglob("*") if path.is_file() and path.suffix != ".parquet"]


def test_runs_lists_every_run(call, runs):
    with fabricate(runs, {"dataset": {"tasks": 5}, "seed": 7}, [0.5], status="running").claim():
        said = call("runs")
    lines = said.splitlines()
    assert lines[0].split()[:4] == ["run", "status", "tasks", "score"]
    assert "optimiser.step_size" in lines[0] and "replacement.layers" in lines[0]
    assert "model.width" not in lines[0]  # the same for all
    identity = run("width_100", "all", 1, 2, 10_000).identity
    assert re.search(rf"^{identity} +finished +2/2 +84\.10% +0\.005 ", said, re.MULTILINE)
    assert re.search(rf"^\w+ +failed +1/2 +0\.0005 .*{re.escape(AWKWARD)}$", said, re.MULTILINE)
    assert re.search(r"^\w+ +interrupted +1/2 ", said, re.MULTILINE)
    assert re.search(r"^\w+ +running +1/5 ", said, re.MULTILINE)
    assert lines[-1] == "17 runs: 14 finished, 1 failed, 1 interrupted, 1 running."


def test_the_list_of_one_run_says_what_is_not_as_by_default(call, tmp_path):
    fabricate(tmp_path / "one", {"activation": "tanh", "replacement": {"layers": [1]}}, [0.5, 0.6])
    said = call("runs", runs="one").splitlines()
    assert said[0].split()[4:] == ["optimiser.step_size", "activation.name", "replacement.layers"]
    assert said[1].split()[-3:] == ["0.005", "tanh", "1"]


def test_the_list_of_runs_leaves_out_what_the_names_of_their_parts_tell(call, tmp_path):
    for layers in ("all", [1]):
        for method in ("cbp", "redo"):
            fabricate(tmp_path / "runs", {"replacement": {"name": method, "layers": layers}}, [0.5])
    said = call("runs").splitlines()
    assert said[0].split()[5:] == ["replacement.name", "replacement.layers"]
    fabricate(tmp_path / "runs", {"replacement": {"name": "redo", "interval": 7}}, [0.5])
    said = call("runs").splitlines()
    assert said[0].split()[5:] == ["replacement.name", "replacement.layers", "replacement.interval"]


def test_runs_filters(call, runs):
    said = call("runs", "--where", "activation=relu", "replacement.layers=[1]", "--where", "seed=0")
    assert said.splitlines()[-1] == "1 run: 1 finished."
    assert call("runs", "--where", "activation=relu", "replacement=layer_1", "seed=0") == said
    assert call("runs", "--where", "replacement=layer_7").startswith(
        "No run has replacement=layer_7. Values of "
    )
    assert call("runs", "--runs", "seed=0") == (
        "--runs seed=0 is refused: there is no such directory; put KEY=VALUE before --runs."
    )
    said = call("runs", "--where", "status=failed", "--format", "csv")
    frame = pd.read_csv(io.StringIO(said))
    assert list(frame["reason"]) == [AWKWARD]
    assert frame["activation.name"].item() == "selu"
    assert "--where sed is refused: it must be seed" in call("runs", "--where", "sed=1")
    said = call("runs", "--where", "activation=relo")
    assert said == "No run has activation=relo. Values of activation.name are: relu, selu, tanh."
    assert "must be KEY=VALUE" in call("runs", "--where", "seed")


def test_an_interrupt_ends_a_command_without_a_traceback():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        command(interrupted)
    assert end.value.code == 130


def test_runs_are_averaged_over_seeds(call, runs):
    said = call("runs", "--by", "replacement", "--where", "activation=relu")
    lines = [re.split("  +", line) for line in said.splitlines()]
    assert lines[0] == ["replacement.layers", "runs", "mean", "95 % interval"]
    # 83.0, 83.1 and 83.2: 83.1 ± 4.303 · 0.1/√3; 61.0 and 61.1: 61.05 ± 12.706 · 0.0707/√2.
    assert lines[1] == ["1", "3", "83.10%", "[82.85%, 83.35%]"]
    assert lines[5] == ["5", "2", "61.05%", "[60.41%, 61.69%]"]
    assert "differ in" not in said
    said = call("runs", "--by", "activation", "--format", "csv")
    frame = pd.read_csv(io.StringIO(said)).set_index("activation.name")
    assert list(frame.loc["tanh", ["runs", "unfinished"]]) == [0, 1]
    assert frame.loc["relu", "runs"] == 14 and frame.loc["relu", "mean"] == pytest.approx(
        (3 * (0.841 + 0.831 + 0.711 + 0.681) + 0.61 + 0.611) / 14
    )
    assert "Means are over runs that differ in " in call("runs", "--by", "activation")
    assert "--by actvation is refused: it must be activation.name" in call("runs", "--by", "actvation")


def test_an_interval_ends_where_an_accuracy_does(tmp_path, call):
    for seed, score in enumerate((0.9, 0.999)):
        fabricate(tmp_path / "runs", {"seed": seed, "replacement": {"layers": "none"}}, [score])
    assert "94.95%  [32.05%, 100.00%]" in call("runs", "--by", "activation")
    assert "95.0 [32.1, 100.0]" in call("tables.table", "--rows", "activation", "--columns", "replacement")
    assert ",157." in call(
        "tables.table", "--rows", "activation", "--columns", "replacement", "--format", "csv"
    )


def test_scores_of_two_kinds_have_no_common_mean():
    frame = averages(
        pd.DataFrame(
            {"seed": 0, "score": [0.5, 0.7, 2.0, 4.0], "score_name": ["accuracy"] * 2 + ["error"] * 2}
            | {"percent": [True, True, False, False], "higher_is_better": [True, True, False, False]}
        ),
        ["seed"],
    )
    assert list(frame["mean"]) == pytest.approx([0.6, 3.0])
    assert "3 " in text(average_table(frame, ["seed"])) and "60.00%" in text(average_table(frame, ["seed"]))


def test_runs_of_an_experiment_say_which_are_missing_and_what_computes_them(call, runs):
    asked = ["--experiment", "table_1", "dataset.tasks=2", "tuned=width_100,width_20"]
    said = call("runs", *asked)
    assert "14 runs: 14 finished." in said
    assert "Missing: 16 of 30 runs: width 100 layers 5 (seed 2); width 20 " in said
    command = "python launch.py experiment=table_1 dataset.tasks=2 tuned=width_100,width_20"
    assert said.splitlines()[-1] == f"To compute what is missing: {command}"
    said = call("runs", *asked[:-1], "tuned=width_200")
    command = "python launch.py experiment=table_1 dataset.tasks=2 tuned=width_200"
    assert said == f"Missing: 15 of 15 runs.\nTo compute what is missing: {command}"


def test_tables_and_findings_say_which_launch_computes_what_they_lack(call, runs):
    last = "To compute what is missing: python launch.py experiment="
    said = call("table_1")
    assert "Missing: 139 of 153 runs of experiment=table_1." in said
    assert f"{last}table_1 dataset.tasks=2\n" in said
    lacking = call("findings", "--seeds", "5")
    assert f"{last}paper 'hydra.sweeper.only=[cbp,bp,l2]' seed=0,1,2,3,4 dataset.tasks=2\n" in lacking


def test_the_launch_that_is_named_computes_exactly_what_is_missing(runs):
    found = cells(summarise(runs), CELLS)
    found = found[found["network"].isin(["selu", "depth_2"])]
    said = missing(found)[-1]
    arguments = shlex.split(said.partition("python launch.py experiment=")[2])
    computed = {each.identity for each in experiment(*arguments)}
    assert computed == set(found.loc[found["score"].isna(), "run"])


@pytest.mark.parametrize("module", ["runs", "table_1", "findings"])
def test_a_directory_without_runs_is_answered_with_a_sentence(call, tmp_path, module):
    (tmp_path / "runs").mkdir()
    assert call(module).startswith(f"There are no runs in {tmp_path / 'runs'}")


def test_table_as_text_underlines_the_best_layer_and_names_what_is_missing(call, runs):
    said = call("table_1")
    titles = ["Varying Network Widths", "Varying Network Activation Functions", "Varying Network Depths",
              "Varying Network Depths, Same Number of Parameters"]  # fmt: skip
    assert [line for line in said.splitlines() if line.startswith("Varying")] == titles
    columns = ["Width 100", "84.1 ± 0.1", "_83.1 ± 0.1_", "71.1 ± 0.1", "68.1 ± 0.1", "61.0 ± 0.1 (2)"]
    assert columns in [re.split("  +", line) for line in said.splitlines()]
    assert re.search(r"^Depth 2 +\(0\) +\(0\) +\(0\) +– +\(0\)$", said, re.MULTILINE)
    assert "the last of 2 tasks of 10,000 examples" in said
    assert "Missing: 139 of 153 runs of experiment=table_1." in said
    assert f"SELU, all layers, seed 0: failed: {AWKWARD} (" in said
    assert "Tanh, all layers, seed 0: interrupted, 1 of 2 tasks done (" in said
    assert "Width 100 = ReLU = Depth 5, last layer, seed 2: no such run." in said
    for network in ("Width 20", "Width 50", "Width 150", "Width 200", "SELU", "Tanh", "Depth 8"):
        assert f"\n{network}, " in said


def test_table_as_csv(call, runs):
    frame = pd.read_csv(io.StringIO(call("table_1", "--format", "csv")))
    assert list(frame) == ["section", "network", "replacement", "mean", "std", "seeds", "missing"]
    assert len(frame) == 70
    own = frame[(frame["network"] == "ReLU") & (frame["replacement"] == "all")].iloc[0]
    assert own["mean"] == pytest.approx(84.1)
    assert own["std"] == pytest.approx(0.0816496580928)  # √(0.02 / 3)
    assert (own["seeds"], own["missing"]) == (3, 0)
    assert "Missing: 139 of 153 runs of experiment=table_1." in call(
        "table_1", "--format", "csv", stream="err"
    )


def test_statistics(call, runs):
    assert "84.1 ± 0.1 " in call("table_1", "--statistic", "sem")
    # 84.0, 84.1 and 84.2: 84.1 ± 4.303 · 0.1/√3.
    assert "84.1 [83.9, 84.3]" in call("table_1", "--statistic", "ci")
    said = call("table_1", "--statistic", "ci", "--format", "csv")
    own = pd.read_csv(io.StringIO(said)).query("network == 'ReLU' and replacement == 'all'").iloc[0]
    assert (own["low"], own["high"]) == pytest.approx((83.8516, 84.3484), abs=1e-4)


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("markdown", "| Network | All"),
        ("latex", "% Needs \\usepackage{booktabs}.\n"),
        ("html", "<!doctype html>"),
    ],
)
def test_table_in_other_formats_goes_to_a_file(call, runs, tmp_path, form, start):
    path = tmp_path / "table"
    assert call("table_1", "--format", form, "--output", str(path)) == ""
    assert path.read_text().startswith(start)


@pytest.mark.parametrize("module", ["table_1", "findings"])
def test_latex_as_a_document(call, runs, module):
    said = call(module, "--format", "latex", "--standalone")
    assert said.startswith("\\documentclass") and "Missing: " in said
    said = call(module, "--standalone")
    assert said == "--standalone is refused: it goes with --format latex."


def test_comparison_with_the_published_table(call, runs):
    said = call("table_1", "--compare", "published")
    # v = (0.02 + 0.0025)/4, √(v · 2/3 + 0.0025/3) = 0.068. Both tests: 0.45/√(v · 2/3) = 7.35 on 4 degrees of
    # freedom leaves 0.0009: times two tails and five judged cells, or times four as the second smallest.
    cell = r"All Layers +84\.1 ± 0\.1 +84\.6 ± 0\.0 +-0\.5 +0\.07 +0\.009 +0\.004 +"
    row = r"^Width 100 +" + cell
    assert re.search(row + "equivalent$", said, re.MULTILINE)
    assert re.search(r"^Width 20 +All Layers +\(0\) +79\.2 ± 0\.1 +– +– +– +– +–$", said, re.MULTILINE)
    assert "Of 51 distinct cells, " in said and "cannot be judged" in said


def test_calibration_draws_two_pictures(call, runs, tmp_path):
    said = call("calibration", "--output", str(tmp_path / "figure"))
    assert said.startswith(f"Written to {tmp_path / 'figure.pdf'} and {tmp_path / 'figure.png'}.\n")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    said = call("calibration", "--output", str(tmp_path / "figure.pdf" / "figure"))
    assert said.endswith(" is refused: it cannot be written (File exists).")
    assert call("calibration", "--seeds", "1").startswith("No cell has the two seeds")


def test_lengths_that_differ_are_refused_and_can_be_chosen(call, runs):
    fabricate(runs, run("selu", "last", 0, 3, 10_000), [0.5] * 3)
    assert "1 with 3 tasks × 10,000 examples" in call("table_1")
    assert "the last of 3 tasks" in call("table_1", "--tasks", "3")
    fabricate(runs, run("width_20", "all", 0, 1_100, 10_000), [0.5] * 1_100)
    said = call("table_1")
    assert "the last 165 of 1,100 tasks" in said, "the paper's, where there are such"
    left_out = "16 with 2 tasks × 10,000 examples; 1 with 3 tasks × 10,000 examples"
    assert f"There are runs of other lengths, which --tasks shows: {left_out}." in said


def test_output_that_cannot_be_written_is_refused(call, runs, tmp_path):
    path = tmp_path / "nowhere" / "table.txt"
    said = call("table_1", "--output", str(path))
    assert said == f"--output {path} is refused: it cannot be written (No such file or directory)."


def test_collected_results_show_the_same_table(call, runs, tmp_path):
    results = tmp_path / "results"
    said = call("collect", "--output", str(results))
    assert said.startswith(f"14 finished and 1 failed runs are in {results}")
    table = call("table_1", "--format", "csv", runs="results")
    assert table == call("table_1", "--format", "csv")


def test_without_runs_the_committed_results_are_shown(call, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.command.DIRECTORY", tmp_path / "results")
    for module in ("table_1", "findings"):
        assert call(module, runs=None).startswith("There are no committed results: launch")
    call("collect", "--output", str(tmp_path / "results"))
    assert call("table_1", runs=None) == call("table_1", runs="results")


def test_findings_are_printed_claim_by_claim(call, runs):
    for seed in range(3):
        for replacement, score in (("none", 0.6), ("except_first", 0.75)):
            fabricate(runs, run("width_100", replacement, seed, 2, 10_000), [0.5, score - seed / 1000])
    said = call("findings")
    assert re.search(
        r"^Width 100 = ReLU = Depth 5 +holds +96% +\[96%, 96%\] +< 0\.001 +1\.000 +3 ", said, re.MULTILINE
    )
    assert re.search(r"^Width 20 +not computed +– +– +– +– +0 +missing: ", said, re.MULTILINE)
    titles = [line.split()[0] for line in said.splitlines() if re.match(r"\([a-e]\d?\) [^V]", line)]
    assert titles == [f"({claim})" for claim in CLAIMS]
    assert "Layer 1 alone closes most of the gap between backpropagation at its own step size" in said
    frame = pd.read_csv(io.StringIO(call("findings", "--format", "csv")))
    assert list(frame) == [
        "claim", "network", "value", "low", "high", "p_different", "p_equivalent", "verdict", "seeds",
        "needed", "detail",
    ]  # fmt: skip
    assert len(frame) == 6 * len(NETWORKS) + 9 + 2 * 2
    assert "| (a)" not in call("findings", "--format", "markdown")


@pytest.mark.parametrize("shown", [["findings"], ["table_1", "--format", "markdown"]], ids=" ".join)
def test_a_terminal_that_lacks_characters_gets_the_others(call, runs, monkeypatch, shown):
    usual = call(*shown)
    for encoding in ("ascii", "latin-1"):
        for stream in ("stdout", "stderr"):
            monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), encoding, errors="strict"))
        call(*shown)
        sys.stdout.seek(0)
        assert sys.stdout.read() == usual.encode(encoding, "replace").decode(encoding) != usual


def test_numbers_that_differ_look_different(call, tmp_path):
    for step_size in (0.009, 0.009000000000000001):
        fabricate(tmp_path / "runs", {"optimiser": {"step_size": step_size}}, [0.5])
    said = call("runs", "--by", "optimiser.step_size")
    assert "0.009  " in said and "0.009000000000000001  " in said
    labelled = labels([compose(f"optimiser.step_size={one}") for one in ("0.009", "0.009000000000000001")])
    assert labelled == ["step_size 0.009", "step_size 0.009000000000000001"]


@pytest.mark.parametrize("module", ["figures", "search"])
def test_options_may_stand_before_and_between_overrides(call, runs, tmp_path, module):
    (tmp_path / "mine").mkdir()
    configs, name = ["--config-dir", str(tmp_path / "mine")], ["5"] * (module == "figures")
    said = call(module, *configs, *name, "dataset.tasks=9", "--output" if name else "--experiment",
                str(tmp_path) if name else "search", "seed=0,1")  # fmt: skip
    assert "unrecognized" not in said and "dataset.tasks=9 seed=0,1" in said
