"""Tables of any runs: a sweep in every format, statistics against SciPy, what is missing, and mistakes."""

import io
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Command
from fabricate import fabricate
from scipy import stats

from analysis.entry import command as entered
from analysis.robust import improvement, interquartile_interval, interquartile_mean
from analysis.selection import matching
from analysis.tables import table
from analysis.tables.baseline import verdict
from analysis.tables.layout import explanation
from plasticity.composition.compose import compose, experiment
from plasticity.errors import Diverged

SHORT = ["dataset.tasks=3", "dataset.examples_per_task=300", "model.width=12", "model.depth=2"]
GRID = ["--rows", "method", "--columns", "replacement=all,layer_1,none"]
BASELINE = ["--baseline", "method=bp", "replacement=none", "--margin", "5"]

DECLARED = """
rows: {method: {bp: Backpropagation, cbp: CBP, cbp + l2: CBP & weight decay, l2: Weight decay}}
head: Method
columns: {replacement: {all: All layers, layer_1: Layer 1, none: None at all}}
baseline: [method=bp, replacement=none]
margin: 5
statistic: std
best: column
"""

EXPERIMENT = """
# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params: {method: "bp,cbp,l2", replacement: "all,layer_1,none", seed: "0,1,2"}
model: {depth: 2}
dataset: {tasks: 3, examples_per_task: 300}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A folder with runs of three methods and three sets of layers, and a declaration of their table."""
    whole = Command(tmp_path_factory.mktemp("sweep"))
    done = whole("-m", "method=bp,cbp,l2", "replacement=all,layer_1,none", "seed=0,1,2", *SHORT)
    assert "18 of 18 runs finished" in done.stdout, done.stderr  # methods that replace units are one another
    for name, text in (("table", DECLARED), ("experiment", EXPERIMENT)):
        path = whole.directory / "my_conf" / name / "layers.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return whole


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Calls the command in this process; returns what it prints, or the sentence that it ends with."""

    def call(*arguments, runs=tmp_path, main=table.main):
        monkeypatch.setattr(
            "sys.argv", ["table", *map(str, arguments), *(["--runs", str(runs)] if runs else [])]
        )
        try:
            entered(main)
        except SystemExit as end:
            return str(end)
        return capsys.readouterr().out

    return call


def cells_of(text):
    """The cells of a table as text, by the first of each line."""
    lines = [re.split("  +", line) for line in text.partition("\n\nMean")[0].splitlines() if line]
    return [lines[0], *([cell.strip("_") for cell in line] for line in lines[1:])]


class Rows(HTMLParser):
    """The cells of a table in HTML, line by line."""

    def __init__(self):
        super().__init__()
        self.rows, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th", "u") or (self.inside and tag not in ("table", "p"))
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def test_a_sweep_as_text_and_as_columns_says_the_same(sweep, call):
    said = call(*GRID, *BASELINE, runs=sweep.runs)
    head, *lines = cells_of(said)
    assert head == ["method", "all", "layer_1", "none"]
    assert [line[0] for line in lines] == [
        "bp",
        "cbp",
        "cbp + l2",
        "l2",
        "Minus bp, none",
        "cbp",
        "cbp + l2",
        "l2",
    ]
    frame = pd.read_csv(io.StringIO(call(*GRID, *BASELINE, "--format", "csv", runs=sweep.runs)))
    frame = frame.set_index(["row", "column"])
    scores = pd.read_csv(io.StringIO(run_list(sweep, call)))
    base = scores[(scores["replacement.layers"] == "none") & (scores["regulariser.name"] == "none")]
    base = 100 * base.set_index("seed")["score"].sort_index()
    for row, column, layers, regulariser in (
        ("cbp", "all", "1,2", "none"), ("cbp", "layer_1", "1", "none"), ("l2", "none", "none", "l2"),
        ("cbp + l2", "layer_1", "1", "l2"),
    ):  # fmt: skip
        own = scores[(scores["replacement.layers"] == layers) & (scores["regulariser.name"] == regulariser)]
        own = 100 * own.set_index("seed")["score"].sort_index()
        cell = frame.loc[(row, column)]
        assert cell["seeds"] == 3 and cell["mean"] == pytest.approx(own.mean(), rel=1e-12)
        half = stats.t.ppf(0.975, 2) * stats.sem(own)
        assert cell["high"] - cell["mean"] == pytest.approx(half, rel=1e-6)
        assert (cell["pairs"], cell["base"]) == (3, pytest.approx(base.mean()))
        assert cell["difference"] == pytest.approx((own - base).mean(), abs=1e-9)
        place = ["all", "layer_1", "none"].index(column) + 1
        shown = [line[place] for line in lines if line[0] == row]
        assert shown[0] == f"{cell['mean']:.1f} [{cell['low']:.1f}, {cell['high']:.1f}]"
        assert shown[1].startswith(f"{cell['difference']:+.1f} [") and shown[1].endswith(cell["verdict"])
    assert np.isnan(frame.loc[("bp", "none"), "difference"]) and frame.loc[("bp", "all"), "seeds"] == 0
    assert "Missing" not in said and "paired by seed (3 pairs)" in said and "over the 5 differences" in said


def run_list(sweep, call):
    from analysis.runs import main

    return call("--format", "csv", runs=sweep.runs, main=main)


def test_a_declared_table_in_every_format(sweep, call):
    def shown(form, *arguments):
        declared = ["--table", "layers", "--config-dir", sweep.directory / "my_conf", "--digits", "2"]
        return call(*declared, "--format", form, *arguments, runs=sweep.runs)

    said = shown("text", "--experiment", "layers", "model.width=12")  # the same runs
    assert "Underlined: the best of each column." in said and "Missing" not in said
    head, *lines = cells_of(said)
    wanted = {line[0]: line for line in lines[:4]}["CBP & weight decay"]
    assert wanted[3] == "–" and re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d", wanted[1])

    said = shown("markdown")
    assert f"| {' | '.join(head)} |" in said and "| **Minus Backpropagation, None at all** |  |  |  |" in said
    assert f"| {' | '.join(wanted)} |" in re.sub("</?u>", "", said)
    assert said.count("<u>") == 3  # one for each column: none ties here

    said = shown("latex")
    assert said.startswith("% Needs \\usepackage{booktabs}.\n") and r"\begin{tabular}{lccc}" in said
    row = " & ".join(wanted).replace("±", r"$\pm$").replace("CBP &", r"CBP \&").replace("–", "--")
    assert row in re.sub(r"\\underline\{(.*?)\}(?= )", r"\1", said)

    reader = Rows()
    reader.feed(shown("html"))
    assert (
        reader.rows[0] == head
        and wanted in reader.rows
        and ["Minus Backpropagation, None at all"] in reader.rows
    )

    frame = pd.read_csv(io.StringIO(shown("csv"))).set_index(["row", "column"])
    assert len(frame) == 12 and list(frame.columns[:5]) == ["section", "mean", "std", "seeds", "missing"]
    cell = frame.loc[("CBP & weight decay", "all")]
    assert f"{cell['mean']:.2f} ± {cell['std']:.2f}" == wanted[1]


def scored(directory, scores, **keys):
    """Runs of one task with these scores, by seed; None for one that diverged. Returns their names."""
    names = []
    for seed, score in enumerate(scores):
        config = {"model": {"width": 6, "depth": 2}, "seed": seed, "dataset": {"tasks": 1}} | keys
        diverged = {"status": "failed", "reason": str(Diverged(1, 3))}
        folder = fabricate(
            directory, config, [0.1 if score is None else score], **(diverged if score is None else {})
        )
        names.append(folder.identity)
    return names


NONE, ALL = {"replacement": {"layers": "none"}}, {"replacement": {"layers": "all"}}
DECAY = NONE | {"regulariser": {"name": "l2", "strength": 0.001}}


def test_differences_equivalence_and_holm_by_hand(tmp_path, call):
    scores = [0.70, 0.72, 0.71, 0.74], [0.731, 0.749, 0.742, 0.77], [0.701, 0.721, 0.709, 0.742]
    for own, parts in zip(scores, (NONE, ALL, DECAY), strict=True):
        scored(tmp_path, own, **parts)
    base, cbp, l2 = map(np.array, scores)
    arguments = ["--rows", "method", "--columns", "dataset", "--baseline", "method=bp", "--margin", "1"]
    frame = pd.read_csv(io.StringIO(call(*arguments, "--format", "csv"))).set_index("row")
    different = {"cbp": stats.ttest_rel(cbp, base).pvalue, "l2": stats.ttest_rel(l2, base).pvalue}
    smaller, larger = sorted(different, key=different.get)
    assert frame.loc[smaller, "p_different"] == pytest.approx(2 * different[smaller])
    assert frame.loc[larger, "p_different"] == pytest.approx(max(different[larger], 2 * different[smaller]))
    sides = [stats.ttest_1samp(100 * (l2 - base), edge, alternative=side).pvalue
             for edge, side in ((-1, "greater"), (1, "less"))]  # fmt: skip
    assert frame.loc["l2", "p_equivalent"] == pytest.approx(2 * max(sides))
    ends = stats.ttest_rel(100 * l2, 100 * base).confidence_interval()
    assert list(frame.loc["l2", ["difference_low", "difference_high"]]) == pytest.approx([*ends])
    u = stats.mannwhitneyu(l2, base).statistic
    assert frame.loc["l2", "better"] == pytest.approx(u / 16)
    assert dict(frame["verdict"].dropna()) == {"cbp": "differs", "l2": "equivalent"}
    said = call(*arguments, "--lines")
    [line] = [line for line in said.splitlines() if line.startswith("l2")]
    assert re.split("  +", line)[-2:] == ["4", "equivalent"] and "Agarwal" in said


def test_one_pair_is_too_few_for_a_verdict():
    compared = pd.DataFrame({"pairs": [0, 1], "p_different": [np.nan, np.nan]})
    said = (
        "Differences: a cell minus none, paired by seed (0 to 1 pair): too few for an interval or a verdict."
    )
    assert explanation(compared, "none", 1, " points") == [said]
    assert "(1 to 3 pairs), with" in explanation(compared.assign(pairs=[1, 3]), "none", 1, " points")[0]


def test_verdicts_need_p_values():
    assert [verdict(*p) for p in ((0.01, 0.5), (0.2, 0.5), (0.01, 0.04), (np.nan, np.nan))] == [
        "differs", "undecided", "equivalent", None
    ]  # fmt: skip


@pytest.mark.parametrize("number", [1, 3, 4, 10, 13])
def test_an_interquartile_mean_is_that_of_scipy(number):
    values = np.random.default_rng(number).normal(size=number)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_a_bootstrap_interval_is_that_of_scipy_and_draws_within_strata():
    values = np.random.default_rng(5).normal(80, 2, 12)
    ours = interquartile_interval([values])
    theirs = stats.bootstrap(
        [values], interquartile_mean, method="percentile", n_resamples=20_000, random_state=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.1)
    # Within strata nothing varies here; drawn from all scores, the interval would span them.
    apart = interquartile_interval([np.full(4, 10.0), np.full(4, 90.0)])
    assert (apart.estimate, apart.low, apart.high) == (50, 50, 50)


def test_a_probability_of_improvement_counts_ties_as_half_and_knows_which_is_better():
    own, others = np.array([1.0, 2.0, 2.0]), np.array([2.0, 0.0])
    assert improvement(own, others) == pytest.approx((0 + 1 + 0.5 + 1 + 0.5 + 1) / 6)
    assert improvement(own, others, higher_is_better=False) == pytest.approx(1 - 4 / 6)


def test_what_is_missing_or_diverged_is_counted_and_said_with_its_command(tmp_path, call):
    scored(tmp_path, [0.5, 0.7, 0.6], **NONE)
    _, diverged = scored(tmp_path, [0.6, None], **ALL)
    said = call(*GRID)
    assert re.search(r"^cbp +60\.0 \(1\) +– +–$", said, re.MULTILINE)
    assert "over 3 seeds. (n): a cell with n of the 3 seeds." in said
    assert "Missing: 2 of 6 runs." in said and "\n1 of them diverged: " in said
    assert re.search(
        r"^cbp, all, seed 1: failed: diverged in task 1 at step 3.*\(\w{12}\)\.$", said, re.MULTILINE
    )
    assert "\ncbp, all, seed 2: no such run.\n" in said
    [launch] = re.findall(
        r"^To compute what is missing: python launch.py -m (.*) seed=1,2$", said, re.MULTILINE
    )
    assert compose(*shlex.split(launch), "seed=1").identity == diverged
    assert launch == "model.width=6 model.depth=2 'replacement.layers=[1,2]' dataset.tasks=1"
    # A baseline outside the table lacks what it lacks, too.
    said = call("--rows", "dataset", "--columns", "replacement=none", "--baseline", "replacement=all")
    assert (
        "\nbaseline, replacement=all, seed 2: no such run.\n" in said and "\npermuted_mnist, none" not in said
    )


def test_an_experiment_says_which_runs_it_lacks_and_the_command_that_computes_exactly_those(call, tmp_path):
    runs = experiment("table_1", "tuned=width_20", "dataset.tasks=1")
    for run in runs:
        if run.replacement.layers == (1, 2, 3, 4, 5) and run.seed < 2:
            fabricate(tmp_path, run, [0.79 + run.seed / 100])
        elif run.replacement.layers == (2,):
            fabricate(tmp_path, run, [0.60 + run.seed / 100])
    given = ["--experiment", "table_1", "tuned=width_20", "dataset.tasks=1"]
    said = call("--rows", "tuned", "--columns", "replacement", *given, "--statistic", "iqm")
    assert re.search(
        r"^width_20 .* 79\.5 \[79\.0, 80\.0\] \(2\) +61\.0 \[60\.0, 62\.0\] ", said, re.MULTILINE
    )
    assert "Missing: 10 of 15 runs of experiment=table_1." in said
    assert "Bootstrap intervals over fewer than 10 seeds, here 2, are too narrow." in said
    assert said.splitlines()[-1] == (
        "To compute what is missing: python launch.py experiment=table_1 tuned=width_20 dataset.tasks=1"
    )
    assert len(runs) == 15


def test_an_experiment_none_of_whose_runs_is_there_is_a_table_of_what_is_missing(call, tmp_path):
    fabricate(tmp_path, compose("dataset.tasks=1"), [0.5])
    given = ["--experiment", "table_1", "tuned=bit_flipping_relu", "tuned.method=cbp"]
    said = call("--rows", "tuned", "--columns", "replacement", *given)
    assert "Missing: 15 of 15 runs of experiment=table_1." in said
    assert "\nMean squared error over the last " in said and "percent" not in said


@pytest.mark.parametrize("arguments, file", [
    (["--format", "markdown"], "table_1.md"),
    (["--compare", "published"], "table_1_and_published.txt"),
])  # fmt: skip
def test_table_1_is_one_such_table(call, arguments, file):
    own = call("--table", "table_1", *arguments, runs=ROOT / "results")
    committed = (ROOT / "results" / file).read_text()
    assert len(own) > 1500 and committed.startswith(own)
    assert "further seeds" in committed[len(own) :]  # which only that command knows of


def test_the_table_of_methods_is_what_its_command_prints(call):
    (command,) = re.findall(
        "analysis table (--runs .*) --output", (ROOT / "results" / "README.md").read_text()
    )
    _, directory, *arguments = shlex.split(command)
    assert call(*arguments, runs=ROOT / directory) == (ROOT / "results" / "methods" / "table.md").read_text()


def test_numbers_of_ones_own_are_compared_as_those_of_the_paper_are(tmp_path, call):
    scored(tmp_path, [0.70, 0.72, 0.71], **NONE)
    file = tmp_path / "mine.yaml"
    file.write_text(
        "rows: {method: {bp: Plain}}\ncolumns: {replacement: {none: Nothing, all: All}}\nmargin: 2\n"
        "published: {seeds: 5, rows: {bp: [71.50 ± 0.40, –]}}\n"
    )
    said = call("--table", file, "--compare", "published")
    assert re.search(r"^Plain +Nothing +71\.00 ± 0\.82 +71\.50 ± 0\.40 +-0\.50 ", said, re.MULTILINE)
    assert "published: 5 seeds" in said and "± 2 points" in said


def test_sections_other_numbers_and_keys(tmp_path, call):
    for width in (6, 8):
        scored(tmp_path, [0.5, 0.6], **NONE, model={"width": width, "depth": 2})
        scored(tmp_path, [0.7, 0.8], **ALL, model={"width": width, "depth": 2})
    keys = ["--sections", "model.width", "--rows", "replacement", "--columns", "engine"]
    lines = call(*keys).splitlines()
    assert lines[0].split() == ["replacement.layers", "native"]
    assert [line for line in lines if line.startswith("width")] == ["width 6", "width 8"]
    said = call(*keys, "--score", "seconds", "--digits", "0")
    assert "Mean seconds, with Student's" in said and re.search(r"^1,2 +60 \[60, 60\]$", said, re.MULTILINE)
    said = call(*keys, "--score", "weight_magnitude.layer_1")
    assert "over the last 15 % of the rows" in said and "100.00 [100.00, 100.00]" in said
    # Both widths in a cell: within each seed first, and said.
    said = call("--rows", "replacement", "--columns", "method", "--digits", "2")
    assert "Cells are means over runs that also differ in model.width:" in said
    assert re.search(r"^1,2 +– +75\.00 \[11\.47, 100\.00\]$", said, re.MULTILINE)


@pytest.mark.parametrize("arguments, said", [
    (["--rows", "method"], "The table has no columns: name their keys, such as --columns replacement"),
    (["--rows", "methd", "--columns", "seed"], "--rows methd is refused: it must be"),
    (["--rows", "method=", "--columns", "seed"], "--rows=method= is refused: it must be a key, KEY=VALUE,VALUE"),
    ([*GRID, "--baseline", "method=none"], "--baseline method=none is refused: no run has it; values of method "
     "are: bp, cbp."),
    ([*GRID, "--baseline", "seed=1"], "--baseline seed=1 is refused: it must be KEY=VALUE, of a key of the table: "
     "method, replacement.layers."),
    ([*GRID, "--baseline", "method=bp"], "--baseline method=bp is refused: no cell has another"),
    ([*GRID, "--margin", "-1"], "--margin=-1.0 is refused: it must be a number of at least 0."),
    ([*GRID, "--lines"], "--lines is refused: it lists what --baseline compares."),
    ([*GRID, "--score", "accurcy"], "--score accurcy is refused: it must be one of score, seconds, accuracy, "),
    ([*GRID, "--score", "loss", "--best", "row"], "--best row is refused: it is not known whether a higher loss"),
    ([*GRID, "--compare", "published"], "--compare published is refused: the table declares no published"),
    ([*GRID, "--where", "seed=9"], "No run has seed=9. Values of seed are: 0, 1."),
    (["--rows", "method=l2", "--columns", "seed"], "None of the runs belongs to a cell of the table."),
    (["--table", "table_2"], "--table table_2 is refused: it must be "),
])  # fmt: skip
def test_mistakes_are_sentences_that_name_what_is_valid(tmp_path, call, arguments, said):
    scored(tmp_path, [0.5, 0.6], **NONE)
    scored(tmp_path, [0.5, 0.6], **ALL)
    assert call(*arguments).startswith(said)


@pytest.mark.parametrize("line, said", [
    ("margn: 1", "margn=1 is refused: it must be margin (did you mean that?)"),
    ("statistic: median", "statistic=median is refused: it must be one of ci, std, sem, iqm."),
    ("sections: {a: {titel: A, rows: method}}", "sections.a.titel=A is refused: it must be sections.a.title "),
    ("columns: {seed: 3}", "columns.seed=3 is refused: it must be a list of values, labels by value, or null"),
    ("published: {seeds: 3, rows: {bp: [70]}}", 'published.rows.bp=70 is refused: it must be such as "79.2 ± 0.1"'),
    ("published: {seeds: 3, rows: {bp: [7.0 ± 0.1, 70 ± 1]}}", "published.rows=numbers of different lengths is"),
    ("digits: [", "--table"),
])  # fmt: skip
def test_mistakes_in_a_file_name_it(tmp_path, call, line, said):
    file = tmp_path / "mine.yaml"
    file.write_text(f"rows: method\n{'' if line.startswith('columns') else 'columns: seed'}\n{line}\n")
    scored(tmp_path, [0.5, 0.6], **NONE)
    answer = call("--table", file)
    assert answer.startswith(said if said.startswith("--") else f"{file}: {said}") and str(file) in answer


def test_a_set_of_layers_goes_by_the_hidden_layers_that_each_model_has():
    runs = pd.DataFrame(
        [
            {"model.name": "mlp", "model.depth": 2.0, "replacement.layers": "1,2"},
            {"model.name": "mlp", "model.widths": "30,20,10", "replacement.layers": "1,2"},
            {
                "model.name": "cnn",
                "model.channels": "8,16",
                "model.hidden": "64",
                "replacement.layers": "1,2,3",
            },
            {
                "model.name": "cnn",
                "model.channels": "8,16",
                "model.hidden": "64",
                "replacement.layers": "2,3",
            },
            {"model.name": "mine.Residual", "replacement.layers": "1,2,3,4"},
            {"model.name": "mine.Residual", "replacement.layers": "4"},
        ]
    )
    names = ("all", "except_first", "last", "layer_4", "none")
    found = {name: np.flatnonzero(matching(runs, "replacement.layers", name)).tolist() for name in names}
    assert found == {"all": [0, 2, 4], "except_first": [3], "last": [5], "layer_4": [5], "none": []}
