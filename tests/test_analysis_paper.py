import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir

from analysis.paper import CELLS, COLUMNS, GRID, NETWORKS, names, published, run
from plasticity.composition.reading import read

ASKED = {
    **{(network, "layer_1"): [] for network in NETWORKS},
    **{(network, "none"): ["tuned.method=cbp"] for network in ("width_20", "tanh", "depth_2")},
    **{("selu", replacement): [] for replacement in ("all", "last", "except_first")},
    **{("depth_2", replacement): [] for replacement in (*COLUMNS, "except_first")},
    ("depth_2", "tuned_l2"): ["tuned.method=l2", "regulariser=l2"],
}


@pytest.mark.parametrize(("network", "cell"), ASKED)
def test_a_cell_asks_for_the_run_that_the_launcher_makes_of_it(network, cell):
    expected = run(network, cell, 2, 40, 500)
    if (network, cell) == ("depth_2", "layer_3"):
        assert expected is None
        return
    overrides = [f"tuned={network}", f"replacement={CELLS[cell][0]}", "seed=2", *ASKED[network, cell]]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose("config", [*overrides, "dataset.tasks=40", "dataset.examples_per_task=500"])
    assert read(composed)[0].identity == expected.identity


def test_names_of_networks():
    assert names("width_100") == "Width 100 = ReLU = Depth 5"
    assert names("depth_2") == "Depth 2"
    assert names("depth_8_equal_parameters") == "Depth 8 (same number of parameters)"
    assert len({names(network) for network in NETWORKS}) == 11
    assert sum(len(section.rows) for section in GRID.sections) == 14


def test_published_cells():
    cells = published().set_index(["section", "network", "replacement"])
    assert len(cells) == 70
    assert tuple(cells.loc[("width", "Width 50", "last")]) == (52.4, 2.3)
    assert tuple(cells.loc[("depth_equal_parameters", "Depth 8", "layer_3")]) == (65.7, 0.2)
    assert cells.loc[("depth", "Depth 2", "layer_3")].isna().all()
