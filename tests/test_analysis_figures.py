"""Figures: what they are drawn from, what they report as missing, and what they show."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, composed
from fabricate import fabricate

from analysis import curves, drawing, load_runs, summarise
from analysis.entry import command as entered
from analysis.experiments import Experiment, activation, method, replacement_set
from analysis.look import MARKERS, Look, curve_look
from analysis.paper import figures
from analysis.points import LINE, PANEL, bin_width, binned, divided, in_two_groups
from plasticity.composition.compose import compose

pytestmark = pytest.mark.usefixtures("composed_once")

SHORT = ["dataset.tasks=4", "seed=0,1"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The runs of figure 5, but for one seed of one set: task t of seed s scores 0.5 + t/10 + s/50."""
    directory = tmp_path_factory.mktemp("written")
    for run in composed("figure_5", *SHORT):
        if (replacement_set(run), run.seed) != ("layer 1", 1):
            fabricate(directory, run, [0.5 + task / 10 + run.seed / 50 for task in range(4)])
    return directory


@pytest.fixture
def runs(written, tmp_path):
    """A test's own copy of them."""
    return shutil.copytree(written, tmp_path / "runs")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Calls a command in this process; returns what it prints, or the sentence that it ends with."""

    def call(module, *arguments):
        monkeypatch.setattr("sys.argv", [module.__name__, *map(str, arguments)])
        try:
            entered(module.main)
        except SystemExit as end:
            return str(end)
        return capsys.readouterr().out

    return call


@pytest.fixture
def tidy(runs):
    """The frame that figure 5 is drawn from."""
    found = Experiment.of("figure_5", SHORT, summarise(runs))
    labels = {LINE: replacement_set, PANEL: lambda run: ""}
    return found.labelled(load_runs(runs, runs=found.finished), labels)


def test_curves_are_means_over_seeds_in_bands_of_their_population_standard_deviation(tidy):
    figure = figures.figure_5(tidy, look=Look(band="deviation"))
    (axes,) = figure.axes
    drawn = {line.get_color(): np.asarray(line.get_xydata()) for line in axes.lines}
    assert len(drawn) == 4
    for number, name in enumerate(["all layers", "layer 1", "layers 2 to 5", "no replacement"]):
        expected = [0.5, 0.6, 0.7, 0.8] if name == "layer 1" else [0.51, 0.61, 0.71, 0.81]
        points = drawn[curve_look(number)["color"]]
        np.testing.assert_allclose(points, np.column_stack([[1, 2, 3, 4], expected]))
    bands = [band.get_paths()[0].vertices[:, 1] for band in axes.collections if band.get_paths()]
    assert (min(bands[0]), max(bands[0])) == pytest.approx((0.5, 0.82))  # 0.51 ± 0.01, 0.81 ± 0.01
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("task", "online accuracy (%)")


def bands_of(figure):
    """The lowest and highest point of each band."""
    areas = [band.get_paths()[0].vertices[:, 1] for band in figure.axes[0].collections if band.get_paths()]
    return [(min(area), max(area)) for area in areas]


def test_by_default_bands_are_intervals_within_what_an_accuracy_can_be(tidy):
    # Two seeds, 0.02 apart: 12.706 · 0.02/2 on either side of 0.51 to 0.81.
    low, high = bands_of(figures.figure_5(tidy))[0]
    assert (low, high) == pytest.approx((0.51 - 0.12706, 0.81 + 0.12706), abs=1e-5)
    tidy["accuracy"] += 0.19 - 0.02 * tidy["seed"] * (tidy["task"] == 3)  # both at 0.99, then further apart
    tidy.loc[tidy["task"] == 3, "accuracy"] -= 0.1 * tidy["seed"]
    assert bands_of(figures.figure_5(tidy))[0][1] == 1.0


def test_the_band_of_an_error_does_not_reach_below_0():
    assert drawing.ends(pd.Series([1.0, 2.0]), "error", "interval")[0] == 0
    assert drawing.ends(pd.Series([1.0, 2.0]), "loss_difference", "interval")[0] < 0


def test_runs_that_end_in_two_groups_are_drawn_each(tidy):
    assert in_two_groups(np.array([0.1, 0.12, 0.9]), 0.8) and not in_two_groups(
        np.array([0.1, 0.5, 0.9]), 0.8
    )
    assert not in_two_groups(np.array([0.1, 0.9]), 0.8)  # nothing says which is usual
    assert not in_two_groups(np.array([0.40, 0.41, 0.45]), 0.8)  # apart, but not far
    more = pd.concat([tidy.assign(run=tidy["run"] + str(copy)) for copy in range(2)])
    apart = (more[LINE] == "layers 2 to 5") & (more["seed"] == 1)
    more["accuracy"] = more["accuracy"].where(~apart, 0.1)
    assert divided(more, "accuracy") == {("", "layers 2 to 5")}
    axes = figures.figure_5(more).axes[0]
    own = [line for line in axes.lines if line.get_color() == curve_look(2)["color"]]
    assert len(own) == 4 and len(axes.lines) == 7 and {line.get_ydata()[-1] for line in own} == {0.1, 0.8}


def test_a_figure_has_the_size_font_and_labels_asked_for_and_text_that_stays_text(call, runs, tmp_path):
    asked = [
        "--width",
        "5",
        "--height",
        "2.5",
        "--font",
        "10",
        "--labels",
        "no replacement=Nothing",
        "task=Task",
    ]
    call(figures, "5", *SHORT, "--runs", runs, "--output", tmp_path, *asked)
    data = (tmp_path / "figure_5.pdf").read_bytes()
    assert b"/MediaBox [ 0 0 360 180 ]" in data and b"/CIDFontType2" in data and b"/Type3" not in data
    assert b"Missing: 1 of 8 runs" in (tmp_path / "figure_5.png").read_bytes()
    for given, said in (
        (["--labels", "BP"], "--labels BP is refused: it must be TEXT=LABEL"),
        (["--labels", "BP=a"], "--labels BP=a is refused: the figure says "),
    ):
        assert call(figures, "5", *SHORT, "--runs", runs, "--output", tmp_path, *given).startswith(said)


def test_a_caption_stands_outside_a_figure_that_lacks_nothing_and_there_is_one_legend(tidy, runs):
    found = Experiment.of("figure_5", ["dataset.tasks=4", "seed=0"], summarise(runs))
    figure, (sentence,) = figures.drawn("figure_5", found, load_runs(runs))
    assert figure._supxlabel is None and sentence == "One run each; a point per task."
    figure = figures.figure_6(
        tidy.assign(**{"weight_magnitude.layer_10": 1.0, "weight_magnitude.layer_9": 1.0})
    )
    assert len(figure.legends) == 1 and not any(axes.get_legend() for axes in figure.axes)
    names = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert names == ["1", "2", "3", "4", "5", "9", "10", "output"]


def test_a_figure_that_would_mix_settings_is_refused(call, runs):
    mixed = [*SHORT, "optimiser.step_size=0.005,0.01"]
    said = call(figures, "figure_5", *mixed, "--runs", runs)
    assert said == (
        "figure_5 is refused: its curves would be means over runs that differ in optimiser.step_size."
    )


def test_figures_read_the_runs_and_configs_that_they_are_told_to(call, runs, tmp_path):
    (tmp_path / "tuned").mkdir()
    known = figures.__file__.replace("analysis/paper/figures.py", "conf/tuned/width_20.yaml")
    own = open(known).read().replace("width: 20", "width: 21")
    (tmp_path / "tuned" / "mine.yaml").write_text(own)
    asked = ["figure_5", *SHORT, "tuned=mine", "--runs", runs, "--config-dir", tmp_path]
    said = call(figures, *asked)
    assert said.startswith(
        f"No run of these figures is finished in {runs}. To compute them:\npython launch.py"
    )
    assert f"--config-dir {tmp_path} experiment=figure_5" in said
    elsewhere = call(figures, "figure_5", "runs_dir=other")
    assert elsewhere == "runs_dir=other is refused here: --runs other says where the runs are."
    gone = call(figures, "figure_5", "--runs", runs, "--config-dir", tmp_path / "gone")
    assert "--config-dir" in gone and "there is no such directory" in gone


@pytest.mark.parametrize(("tasks", "width"), [(1, 1), (60, 1), (61, 2), (300, 5), (400, 10), (1_100, 20)])
def test_bins_are_round_and_leave_at_most_sixty_points(tasks, width):
    assert bin_width(tasks) == width


def test_points_are_means_over_bins_and_rows_without_a_value_are_left_out():
    names = pd.Categorical(["a"] * 100)
    frame = pd.DataFrame({"run": "r", LINE: names, "task": range(100), "y": np.arange(100.0)})
    points = binned(frame, "y")
    assert list(points["task"][:2]) == [1.5, 3.5] and list(points["y"][:2]) == [0.5, 2.5]
    sparse = frame.assign(y=frame["y"].where(frame["task"] % 25 == 0))
    assert list(binned(sparse, "y")["y"]) == [0, 25, 50, 75]


def test_every_curve_can_be_told_from_the_others_without_colours():
    looks = [curve_look(number) for number in range(len(MARKERS))]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == len(looks)
    assert (
        len({str(look["linestyle"]) for look in looks})
        == len({look["marker"] for look in looks})
        == len(looks)
    )


def test_a_figure_says_what_is_missing_on_its_face_and_on_the_terminal(call, runs, tmp_path):
    said = call(figures, "5", "figure_3", *SHORT, "--runs", runs, "--output", tmp_path / "drawn")
    assert f"{tmp_path / 'drawn' / 'figure_5.pdf'} and " in said
    assert "Missing: 1 of 8 runs: layer 1 (seed 1)." in said
    assert "To compute what is missing: python launch.py experiment=figure_5 dataset.tasks=4 seed=0,1" in said
    lacking = (
        "layer 1 (seed 1); layer 2 (seed 0, 1); layer 3 (seed 0, 1); layer 4 (seed 0, 1); layer 5 (seed 0, 1)"
    )
    assert f"Missing: 9 of 14 runs: {lacking}." in said
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "figure_3.pdf", "figure_3.png", "figure_5.pdf", "figure_5.png",
    ]  # fmt: skip
    found = Experiment.of("figure_3", SHORT, summarise(runs))
    figure, sentences = figures.drawn("figure_3", found, load_runs(runs))
    assert figure._supxlabel.get_text().replace("\n", " ") == " ".join(sentences)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "layer 2 (missing)" in named and "layer 1" in named


def test_a_failed_run_is_missing_with_its_reason(call, runs, tmp_path):
    (run,) = [
        run for run in composed("figure_5", *SHORT) if (run.seed, replacement_set(run)) == (1, "layer 1")
    ]
    fabricate(runs, run, [0.5], status="failed", reason="diverged in task 1")
    said = call(figures, "5", *SHORT, "--runs", runs, "--output", tmp_path)
    assert f"layer 1 (seed 1: failed: diverged in task 1 ({run.identity}))." in said


def test_figures_without_any_run_are_not_drawn(call, runs, tmp_path):
    other = [*SHORT, "optimiser.step_size=0.01"]
    found = Experiment.of("figure_1", other, summarise(runs))
    figure, (sentence,) = figures.drawn("figure_1", found, load_runs(runs))
    assert figure is None and sentence.startswith(
        "figure_1 is not drawn: none of its 2 runs is finished. To compute them: python "
    )
    said = call(figures, "1", *other, "--runs", runs, "--output", tmp_path / "none")
    assert said.startswith("No run of these figures is finished") and not (tmp_path / "none").exists()
    said = call(figures, "2", "--runs", runs)
    assert said.startswith("2 is refused: it must be a figure, one of figure_1, figure_3")


def test_the_same_runs_give_the_same_bytes_whatever_the_user_has_set_for_matplotlib(
    call, command, runs, tmp_path
):
    """In processes that have not imported it yet."""
    drawing = ["5", *SHORT, "--runs", str(runs), "--output"]
    call(figures, *drawing, tmp_path / "usual")
    started = {}
    for name, backend, rc in (
        ("inline", "module://matplotlib_inline.backend_inline", ""),
        ("rc", "", "backend: qtagg\ntext.usetex: True\nfont.size: 30\nsavefig.dpi: 30\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "matplotlibrc").write_text(rc)
        command.folder = tmp_path / name
        environment = {"MPLBACKEND": backend, "PYTHONPATH": str(ROOT)}
        started[command.folder / "own"] = command.fork(
            *drawing, "own", module="analysis.figures", **environment
        )
    for own, process in started.items():
        assert (process.communicate()[1], process.returncode) == ("", 0)
        for ending in ("pdf", "png"):
            usual = (tmp_path / "usual" / f"figure_5.{ending}").read_bytes()
            assert (own / f"figure_5.{ending}").read_bytes() == usual


def test_figure_6_shows_weights_by_layer_as_means_of_the_last_tasks(tidy):
    tidy["weight_magnitude.layer_2"] = np.where(tidy["task"] == 3, 30.0 + tidy["seed"], 10.0)
    figure = figures.figure_6(tidy)
    heights = [
        bar.get_height() for bars in figure.axes[1].containers if hasattr(bars, "patches") for bar in bars
    ]
    assert heights[:6] == [100.0, 30.5, 100.0, 100.0, 100.0, 100.0]  # the first set: layers 1 to 5, output
    assert figure.axes[1].get_title() == "tasks 4 to 4"  # the last 15 % of 4
    assert figure.axes[0].get_ylabel() == "weight magnitude Σ|w|"


def test_figure_7_has_a_panel_per_measure_and_layer_and_says_which_are_not_measured(tidy):
    for layer in (1, 2):
        tidy[f"dead_units.layer_{layer}"] = np.where(tidy["task"] % 2 == 0, layer, np.nan)
    figure = figures.figure_7(tidy)
    assert len(figure.axes) == len(figures.INSIDE) * 2
    assert [len(axes.lines) for axes in figure.axes[:4]] == [4, 4, 0, 0]
    assert {text.get_text() for axes in figure.axes[2:] for text in axes.texts} == {"not measured"}
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xydata(), [[1, 2], [3, 2]])


def test_labels_of_runs():
    assert replacement_set(compose("replacement.layers=[1,3]")) == "layers 1, 3"
    assert replacement_set(compose("model.depth=1")) == "all layers"
    assert replacement_set(compose("replacement=except_first", "model.depth=2")) == "layer 2"
    methods = [["replacement=none"], ["replacement=layer_1"], ["replacement=none", "regulariser=l2"]]
    assert [method(compose(*each)) for each in methods] == ["BP", "CBP", "weight decay"]
    names = [activation(compose(f"activation={name}")) for name in ("relu", "tanh", "leaky_relu")]
    assert names == ["ReLU", "tanh", "leaky ReLU"]


def test_curves_of_any_column_by_any_key(call, runs, tmp_path):
    output = ["--runs", runs, "--output", tmp_path / "own"]
    said = call(
        curves,
        "--y",
        "weight_magnitude.layer_1",
        "--by",
        "replacement.layers",
        *output,
        "--band",
        "deviation",
    )
    assert "Means over 1 to 2 runs ± population standard deviation; a point per task." in said
    assert said.endswith(f"Written to {tmp_path / 'own.pdf'} and {tmp_path / 'own.png'}.\n")
    assert "differ in" not in said
    said = call(curves, "--y", "loss", "--by", "seed", "--panel", "activation", *output)
    assert "These are means over runs that differ in " in said and "replacement.layers" in said
    said = call(curves, "--y", "loss", "--by", "seed", "--where", "replacement.layers=1", *output)
    assert said.startswith("One run each")
    assert "--y los is refused: these runs have accuracy, loss" in call(
        curves, "--y", "los", "--by", "seed", *output
    )
    assert "--by sed is refused: it must be seed" in call(curves, "--y", "loss", "--by", "sed", *output)


def test_curves_leave_out_unfinished_runs_unless_they_are_asked_for(call, runs, tmp_path):
    fabricate(runs, compose("dataset.tasks=9", "seed=5"), [0.1, 0.2], status="running")
    output = ["--runs", runs, "--output", tmp_path / "own"]
    assert "Left out: 1 run that is not finished." in call(
        curves, "--y", "accuracy", "--by", "replacement.layers", *output
    )
    said = call(curves, "--y", "accuracy", "--by", "seed", "--where", "status=interrupted", *output)
    assert said.startswith("One run each")
