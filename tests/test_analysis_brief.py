"""Commands without what is so by default."""

import shlex

import pytest

from analysis.brief import brief
from analysis.folders import command
from plasticity import compose

BRIEF = {
    "activation=tanh replacement=layer_1 seed=2": "activation=tanh 'replacement.layers=[1]' seed=2",
    "dataset=label_permuted_mnist": "dataset=label_permuted_mnist seed=0",
    "model=cnn dataset=class_pairs": "model=cnn dataset=class_pairs seed=0",
    "method=redo optimiser.step_size=0.02": "replacement/method=redo optimiser.step_size=0.02 seed=0",
    "tuned=width_20 method=l2": "model.width=20 'replacement.layers=[]' replacement.rate=0.0 regulariser=l2 "
    "regulariser.strength=0.01 optimiser.step_size=0.001 seed=0",
}


@pytest.mark.parametrize("given", BRIEF)
def test_what_is_so_by_default_is_left_out_and_the_run_is_the_same(given):
    run = compose(*given.split())
    said = brief(command(run.values()), run.identity)
    assert said == f"python launch.py {BRIEF[given]}"
    assert compose(*shlex.split(said)[2:]).identity == run.identity


def test_a_command_that_would_compute_another_run_or_none_stays_whole():
    run = compose()
    whole = command(run.values())
    assert brief(whole, run.identity) == "python launch.py seed=0"
    assert brief(whole, "of another version") == whole
    absent = whole.replace("activation=relu", "activation=nowhere.Mine")
    assert brief(absent, "of a part that is elsewhere") == absent
