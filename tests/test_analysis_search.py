"""Searches over runs with known winners: rankings, warnings, and the file that is written."""

from functools import cache, partial

import pytest
import yaml
from fabricate import fabricate

from analysis import search, summarise
from analysis.entry import command
from analysis.experiments import Experiment, method
from plasticity.composition.compose import compose, experiment
from plasticity.errors import UserError

OF = ["model.width=7", "activation=tanh", "dataset.tasks=1"]
"""The network and stream of the searches."""

BEST = {"BP": (0.005, 0), "CBP": (0.001, 1e-4), "weight decay": (0.005, 1e-3)}
"""The winners, away from every edge: step size, and rate or strength."""


def setting(run):
    return run.optimiser.step_size, {
        "BP": 0,
        "CBP": run.replacement.rate,
        "weight decay": run.regulariser.values().get("strength", 0),
    }[method(run)]


def spread(run):
    """Seeds that differ much, settings that differ little: only paired differences tell them apart."""
    return 0.1 * run.seed


searched = cache(partial(experiment, "search"))


@pytest.fixture(autouse=True)
def compose_once(monkeypatch):
    monkeypatch.setattr(
        "analysis.experiments.experiment", lambda name, *overrides, config_dir: searched(*overrides)
    )


def fill(directory, score, overrides=OF):
    """The runs of a search, with scores from a function; None: no such run, a text: the reason why it failed."""
    runs = searched(*overrides)
    for run in runs:
        own = score(run)
        if isinstance(own, str):
            fabricate(directory, run, [0.5], status="failed", reason=own)
        elif own is not None:
            fabricate(directory, run, [own])
    return runs


def only(methods, score):
    """Scores of the runs of some methods; there are no others."""
    return lambda run: score(run) if method(run) in methods else None


def known(run):
    return (0.6 if setting(run) == BEST[method(run)] else 0.5 + 0.001 * run.seed) + spread(run)


def ranked(directory, overrides=OF):
    found = search.rank(Experiment.of("search", overrides, summarise(directory)))
    return {ranking.method: ranking for ranking in found}


@pytest.fixture
def call(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["search", *map(str, arguments)])
        try:
            command(search.main)
        except SystemExit as end:
            return str(end)
        return capsys.readouterr().out

    return call


def test_a_search_is_every_method_over_its_grid():
    runs = searched()
    counts = {name: sum(method(run) == name for run in runs) for name in BEST}
    assert counts == {"BP": 4 * 3, "CBP": 4 * 3 * 3, "weight decay": 4 * 3 * 3}
    finer = searched("replacement.rate=1e-6", "optimiser.step_size=0.1", "seed=0")
    assert {setting(run) for run in finer if method(run) == "CBP"} == {(0.1, 1e-6)} and len(
        finer
    ) == 1 + 1 + 3


def test_known_winners_come_first_without_a_warning(tmp_path):
    fill(tmp_path, known)
    for name, ranking in ranked(tmp_path).items():
        label = {"bp": "BP", "cbp": "CBP", "l2": "weight decay"}[name]
        step_size, other = BEST[label]
        assert ranking.best["step_size"] == step_size
        assert name == "bp" or ranking.best[{"cbp": "rate", "l2": "strength"}[name]] == other
        assert ranking.best["mean"] == pytest.approx(0.7) and ranking.warnings() == []
        assert (ranking.best["low"], ranking.best["high"]) == pytest.approx(
            (0.4516, 0.9484), abs=1e-4
        )  # t₂ · 0.1/√3


def test_a_winner_on_the_edge_of_the_grid_gives_a_warning(tmp_path):
    fill(tmp_path, only(["BP", "CBP"], lambda run: 0.5 + run.optimiser.step_size + spread(run)))
    found = ranked(tmp_path)
    assert found["bp"].warnings() == ["step_size=0.01 is the largest of the grid: the best may lie beyond"]
    assert found["cbp"].warnings()[0].startswith("step_size=0.01 is the largest")
    fill(tmp_path, only(["CBP"], lambda run: 0.5 + 10 * known(run) + (setting(run) == (0.005, 1e-5)) * 100))
    said = ranked(tmp_path)["cbp"].warnings()
    assert said == ["rate=1e-05 is the smallest of the grid: the best may lie beyond"]


def test_a_tie_and_a_lead_within_seeds_give_warnings(tmp_path):
    equal = {(0.005, 0), (0.001, 0)}
    fill(tmp_path, only(["BP"], lambda run: 0.6 if setting(run) in equal else 0.4))
    assert ranked(tmp_path)["bp"].warnings() == ["these seeds cannot tell it from step_size=0.001"]

    noisy = {0: 0.05, 1: -0.02, 2: 0.0}  # differences to the next: mean 0.01, t = 0.48

    def score(run):
        return (0.6 + noisy[run.seed] if setting(run) == (0.005, 0) else 0.6) - (setting(run) not in equal)

    fill(tmp_path / "noisy", only(["BP"], score))
    assert ranked(tmp_path / "noisy")["bp"].warnings() == ["these seeds cannot tell it from step_size=0.001"]


def test_one_seed_tells_nothing_from_the_next(tmp_path):
    fill(tmp_path, known, [*OF, "seed=0"])
    (said,) = ranked(tmp_path, [*OF, "seed=0"])["bp"].warnings()
    assert said == "with fewer than two seeds in common, nothing tells it from the next"


def test_a_setting_with_a_failed_run_is_never_chosen(tmp_path):
    def score(run):
        if setting(run) == (0.01, 0):
            return "diverged in task 0" if run.seed == 1 else 0.99
        return known(run)

    fill(tmp_path, only(["BP"], score))
    ranking = ranked(tmp_path)["bp"]
    assert ranking.best["step_size"] == 0.005 and ranking.settings.iloc[-1]["step_size"] == 0.01
    assert ranking.settings.iloc[-1]["failed"] == 1


def test_the_smallest_error_wins(tmp_path):
    bits = ["dataset=bit_flipping", "dataset.examples=40000", "model.depth=1", "model.width=3", "seed=0,1"]
    winner = {"BP": (0.001, 0), "CBP": (0.005, 1e-4), "weight decay": (0.001, 1e-3)}
    fill(tmp_path, lambda run: 1.0 if setting(run) == winner[method(run)] else 3.0 + run.seed, bits)
    found = ranked(tmp_path, bits)
    assert [found[name].best["step_size"] for name in ("bp", "cbp", "l2")] == [0.001, 0.005, 0.001]
    assert not found["bp"].higher_is_better and found["bp"].best["mean"] == 1.0


def test_the_choice_is_written_as_a_tuned_network_that_says_where_it_comes_from(call, tmp_path):
    fill(tmp_path / "runs", known)
    said = call(*OF, "--runs", tmp_path / "runs", "--write", "mine", "--config-dir", tmp_path / "conf")
    assert "cbp: step_size=0.001 rate=0.0001.\n" in said and "step_size=0.005 strength=0.001" in said
    path = tmp_path / "conf" / "tuned" / "mine.yaml"
    assert said.endswith(
        f"Written to {path}. Use it with: python launch.py --config-dir {path.parent.parent} tuned=mine\n"
    )
    contents = path.read_text()
    assert f"Chosen by python launch.py experiment=search {' '.join(OF)}\n" in contents
    assert "84 of 84 runs of 1 tasks, 3 seeds." in contents
    chosen = {"optimiser.step_size": 0.005, "regulariser.strength": 0.001}
    assert yaml.safe_load(contents)["tuned"]["methods"]["l2"] == chosen
    for arguments in (["replacement=layer_1"], ["replacement=none"], ["replacement=none", "regulariser=l2"]):
        run = compose("tuned=mine", *arguments, config_dir=tmp_path / "conf")
        assert setting(run) == BEST[method(run)] and run.activation.name == "tanh" and run.model.width == 7


@pytest.mark.parametrize(
    "network",
    [
        ["tuned=bit_flipping_relu", "dataset.examples=40000", "dataset.flip=one"],
        ["tuned=ipmnist", "dataset.tasks=1"],  # signed pixels, widths 300 and 150, uniform start
    ],
)
def test_all_of_the_network_and_the_data_set_is_written(tmp_path, network):
    of = [
        *network,
        "seed=0",
        "optimiser.step_size=0.001",
        "replacement.rate=1e-4",
        "regulariser.strength=1e-3",
    ]
    fill(tmp_path / "runs", known, of)
    found = Experiment.of("search", of, summarise(tmp_path / "runs"))
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "mine.yaml").write_text(search.tuned("mine", search.rank(found), found, []))
    written, asked = compose("tuned=mine", config_dir=tmp_path), compose(*network)
    assert written.model == asked.model and type(written.dataset) is type(asked.dataset)
    differing = {
        key for key, value in asked.dataset.values().items() if value != written.dataset.values()[key]
    }
    assert differing <= {"tasks", "examples", "examples_per_task"}


def test_a_search_of_two_networks_is_refused(tmp_path):
    depths = ["model.depth=1,2", "hydra.sweeper.only=cbp", *OF, "seed=0"]
    fill(tmp_path, known, depths)
    with pytest.raises(UserError, match=r"these runs also differ in model\.depth, replacement\.layers:"):
        ranked(tmp_path, depths)
    layers = ["replacement=layer_1,layer_2", "hydra.sweeper.only=cbp", *OF, "seed=0"]
    fill(tmp_path, known, layers)
    with pytest.raises(UserError, match=r"these runs also differ in replacement\.layers:"):
        ranked(tmp_path, layers)


def test_without_a_choice_nothing_is_written(call, tmp_path):
    fill(tmp_path / "runs", lambda run: known(run) if method(run) != "weight decay" else "diverged")
    arguments = [*OF, "--runs", tmp_path / "runs", "--write", "mine", "--config-dir", tmp_path / "conf"]
    assert call(*arguments) == "mine is not written: every setting of l2 lacks scores or failed."
    assert not (tmp_path / "conf").exists()
    only = call(*arguments[:3], "hydra.sweeper.only=[bp,cbp]", *arguments[3:])
    assert only.endswith("tuned=mine\n")
    written = yaml.safe_load((tmp_path / "conf" / "tuned" / "mine.yaml").read_text())
    assert list(written["tuned"]["methods"]) == ["bp", "cbp"]


def test_optuna_searches_the_documented_space(command, tmp_path):
    command.folder = tmp_path
    tiny = ["dataset.tasks=2", "dataset.examples_per_task=50", "model.width=5", "model.depth=1"]
    done = command("experiment=search_space", "hydra/sweeper=optuna", *tiny, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    refused = command("experiment=search_space", *tiny)
    assert (
        refused.returncode == 1 and "also needs that sweeper, such as hydra/sweeper=optuna" in refused.stderr
    )
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(state["score"] for state in command.states().values())
    assert 0.0005 <= best["best_params"]["optimiser.step_size"] <= 0.01
    assert 1e-6 <= best["best_params"]["replacement.rate"] <= 1e-3
