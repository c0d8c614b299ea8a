"""What experiments declare, and the runs that they are."""

from dataclasses import replace

import pytest
from conftest import composed
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.paper import CELLS, NETWORKS, run
from plasticity.composition.combinations import combinations
from plasticity.composition.compose import compose, experiment
from plasticity.errors import ConfigError, UserError

PARSER = OverridesParser.create()
SEARCH = {
    "bp": {"replacement": "none"},
    "cbp": {"replacement": "all", "replacement.rate": "1e-3,1e-4"},
    "l2": {"regulariser": "l2", "optimiser.step_size": "0.5"},
}
PARAMS = {"optimiser.step_size": "0.1,0.2", "seed": "0,1"}


def combined(*arguments, only=None):
    return [tuple(each) for each in combinations(PARSER, arguments, PARAMS, SEARCH, only)]


def test_the_runs_of_a_sweep_of_alternatives_are_those_of_each_in_turn():
    assert combined("seed=3") == [
        ("optimiser.step_size=0.1", "seed=3", "replacement=none"),
        ("optimiser.step_size=0.2", "seed=3", "replacement=none"),
        ("optimiser.step_size=0.1", "seed=3", "replacement=all", "replacement.rate=0.001"),
        ("optimiser.step_size=0.1", "seed=3", "replacement=all", "replacement.rate=0.0001"),
        ("optimiser.step_size=0.2", "seed=3", "replacement=all", "replacement.rate=0.001"),
        ("optimiser.step_size=0.2", "seed=3", "replacement=all", "replacement.rate=0.0001"),
        ("optimiser.step_size=0.5", "seed=3", "regulariser=l2"),
    ]


def test_the_command_line_replaces_values_where_they_stand():
    given = "seed=0", "optimiser.step_size=0.3", "replacement.rate=1e-2", "model.width=7"
    assert combined(*given) == [
        ("optimiser.step_size=0.3", "seed=0", "model.width=7", "replacement=none"),
        ("optimiser.step_size=0.3", "seed=0", "model.width=7", "replacement=all", "replacement.rate=1e-2"),
        ("optimiser.step_size=0.5", "seed=0", "model.width=7", "regulariser=l2"),
    ]


def test_some_alternatives_can_be_chosen():
    assert len(combined(only=["l2"])) == len(combined(only="l2")) == 2
    assert len(combined(only=["l2", "cbp"])) == 10
    with pytest.raises(
        ConfigError, match=r"hydra.sweeper.only=sgd is refused: it must be one of bp, cbp, l2"
    ):
        combined(only=["sgd"])


def identities(*arguments):
    return {each.identity for each in composed(*arguments)}


def test_the_paper_is_every_cell_of_every_network_and_what_its_figures_need_each_run_once():
    runs = composed("paper")
    cells = [run(network, cell, 0, 1_100, 10_000) for network in NETWORKS for cell in CELLS]
    needed = {replace(each, seed=seed).identity for each in cells if each is not None for seed in range(3)}
    needed |= set().union(*(identities(f"figure_{number}") for number in (1, 3, 4, 5, 6)))
    assert {each.identity for each in runs} == needed and len(runs) == len(needed) == 324
    assert identities("table_1") < needed


@pytest.mark.parametrize(("figure", "number"), [(1, 9), (3, 21), (4, 27), (5, 12), (6, 12)])
def test_the_runs_of_a_figure(figure, number):
    assert len(composed(f"figure_{figure}")) == number


def test_an_experiment_takes_the_arguments_of_its_command(command):
    arguments = ["seed=0", "dataset.tasks=1", "dataset.examples_per_task=20", "hydra.sweeper.only=[l2,cbp]"]
    done = command("experiment=figure_4", *arguments)
    assert done.returncode == 0 and "6 of 6 runs finished" in done.stdout, done.stderr
    assert {folder.name for folder in command.folders()} == identities("figure_4", *arguments)
    assert compose("tuned=tanh", "regulariser=l2", "replacement=none", *arguments[:3]).identity in identities(
        "figure_4", *arguments
    )


def test_an_unknown_experiment_and_values_that_are_no_list_are_refused():
    with pytest.raises(UserError, match=r"experiment=figure_2 is refused: it must be one of .*figure_1, "):
        experiment("figure_2")
    with pytest.raises(UserError, match="combinations takes lists of values"):
        experiment("figure_1", "optimiser.step_size=interval(0.1,1)")
