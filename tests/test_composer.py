"""Composing a sweep's runs in groups gives what Hydra composes one by one."""

import re
from contextlib import nullcontext
from itertools import combinations, product

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from plasticity.composition.composer import Composer
from plasticity.composition.mistakes import HYDRA_ERRORS, explain
from plasticity.composition.quicker import quicker
from plasticity.composition.reading import Reader, read
from plasticity.errors import UserError
from plasticity.machine import copies

CHOICES = [
    [
        "replacement=all",
        "replacement=layer_1",
        "replacement=layer_4",
        "replacement.layers=[1,3]",
        "replacement.layers=[]",
    ],
    ["activation=tanh", "tuned=selu", "tuned=depth_8 tuned.method=cbp"],
    ["regulariser=none", "regulariser=l2", "regulariser=l2 regulariser.strength=0.5"],
    ["seed=3", "optimiser.step_size=1e-3 seed=2", "tracker.project='a b' dataset.root=null"],
]
COMBINATIONS = [
    " ".join(choices[place] for choices, place in zip(CHOICES, places, strict=True))
    for one, other in product(range(5), range(3))
    for places in [(one, (one + other) % 3, (one + 2 * other) % 3, other)]
]
"""The fewest that have all pairs of choices among them."""


@pytest.fixture(scope="module")
def loader():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def master(loader):
    return loader.load_configuration("config", overrides=["dataset.tasks=7"], run_mode=RunMode.MULTIRUN)


def overrides(combination):
    return combination.replace("'a b'", "'a_b'").split()


def test_every_combination_is_what_hydra_composes(loader, master):
    composer = Composer.of_sweep(loader, master)
    for combination in COMBINATIONS:
        whole = loader.load_sweep_config(master, overrides(combination))
        with open_dict(whole):
            whole.pop("hydra")
        with quicker():
            ours = composer(overrides(combination))
        assert OmegaConf.to_container(ours, resolve=True) == OmegaConf.to_container(whole, resolve=True)
        assert read(ours) == read(whole)
    chosen = [
        re.findall(r"(?:activation|tuned|regulariser)=\S+|replacement(?==)", each) for each in COMBINATIONS
    ]
    assert composer.compose.cache_info().misses == len(set(map(tuple, chosen))) < len(COMBINATIONS)
    for one, other in combinations(CHOICES, 2):
        for pair in product(one, other):
            assert any(all(choice in combination for choice in pair) for combination in COMBINATIONS), pair


def test_choices_are_listed_where_defaults_refer_to_one(tmp_path, monkeypatch):
    for group, name in product(("left", "right", "both"), ("one", "two")):
        file = tmp_path / group / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{group}: {name}\n")
    (tmp_path / "config.yaml").write_text(
        "defaults: [_self_, left: one, right: '${left}', both@here: '${right}']"
    )
    loader = ConfigLoaderImpl(create_config_search_path(str(tmp_path)))
    composed = []
    for within in (nullcontext(), quicker()):
        with within:
            config = loader.load_configuration("config", ["left=two", "right=one"], RunMode.RUN)
        composed.append(OmegaConf.to_container(config.here, resolve=True))
    assert composed == [{"both": "one"}] * 2
    with quicker(), monkeypatch.context() as patch:  # and only there
        patch.setattr(OmegaConf, "create", lambda *content: pytest.fail("lists choices"))
        assert defaults_list._create_interpolation_map(None, [], False) is None


def test_every_combination_is_read_as_hydra_composes_it(loader, master, monkeypatch):
    """Also where the seed or the set decides other values, through tuned.method, an interpolation or no rate; and
    where all are read ahead, in copies of this process."""
    composer = Composer.of_sweep(loader, master)
    reader, ahead = Reader(composer), Reader(Composer.of_sweep(loader, master))
    shared = [
        "optimiser.step_size=1e-3", "tuned=width_20 activation=tanh", "tuned=selu tuned.method=cbp",
        "replacement.rate=0",
        "checkpoint_seconds=${seed}", "model.depth=2 launch.impossible=absent", "replacement.utility=random",
    ]  # fmt: skip
    sets = ["all", "none", "except_first", "layer_3"]
    wanted = [
        [*common.split(), f"replacement={chosen}", seed]
        for common, chosen, seed in product(shared, sets, ["seed=4", "seed=5"])
    ]
    for combination in wanted:
        assert reader(combination) == read(composer(combination)), combination
    assert len(reader.known) == len(shared) * len(sets)  # those that differ in the seed alone are read once
    assert list(reader.known.values()).count(None) == len(sets)
    impossible = ["model.depth=2", "replacement=layer_3", "seed=1"]
    with pytest.raises(UserError, match="layers from 1 to 2"):
        reader(impossible)
    monkeypatch.setattr(copies, "cores", lambda: 2)
    ahead.prepare([*wanted, impossible, ["activation=unknown", "seed=1"]])
    assert ahead.known == reader.known and ahead.composer.compose.cache_info().misses == 0
    assert [ahead(combination) for combination in wanted] == [reader(combination) for combination in wanted]
    assert list(ahead.notes) == list(reader.notes) and reader.notes


def test_values_of_a_file_go_where_hydra_puts_them(tmp_path):
    """Also where a later file sets the same key, by chance to the same value, and through interpolations."""
    files = {
        "tuned/narrow.yaml": "# @package _global_\nmodel: {width: 7}\noptimiser: {step_size: 0.01}\n",
        "tuned/wide.yaml": "# @package _global_\nmodel: {width: 9}\noptimiser: {step_size: 0.02}\n",
        "tuned/other.yaml": "# @package _global_\nmodel: {width: 9, depth: 2}\nreplacement: {rate: 1e-3}\n",
        "tuned/listed.yaml": "# @package _global_\ntuned: {sizes: [1, {a: 2}], 'dotted.key': 1}\n",
        "tuned/linked.yaml": "# @package _global_\nmodel: {width: '${model.depth}'}\nseed: '${model.depth}'\n",
        "experiment/fixed.yaml": "# @package _global_\nmodel: {width: 7}\n",
        "experiment/tuned.yaml": "# @package _global_\ndefaults: [override /tuned: wide]\nseed: 3\n",
        "experiment/sets.yaml": "# @package _global_\nreplacement: {layers: layer_3}\nseed: 6\n",
        "replacement/wide.yaml": "layers: [2, 3]\nrate: 0.5\n",
        "replacement/pair.yaml": "layers: [2, 3]\n",
        "experiment/hydras.yaml": "# @package _global_\nhydra: {sweeper: {params: {seed: 5}}}\nseed: 4\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    tuned = ["narrow", "wide", "other", "listed", "linked", "width_20", None]
    experiments = ["fixed", "tuned", "hydras", "first_layer", "sets", None]
    sets = ["all", "layer_3", "wide", "pair"]
    search = create_config_search_path(str(ROOT / "conf"))
    search.prepend("command-line", f"file://{tmp_path}", "main")
    loader = ConfigLoaderImpl(search)
    master = loader.load_configuration("config", overrides=[], run_mode=RunMode.MULTIRUN)
    composer = Composer.of_sweep(loader, master)
    for number, (network, experiment) in enumerate(list(product(tuned, experiments))[::3]):
        extra = ["model.width=8"] * (number % 3 == 1) + [f"replacement={sets[number % 4]}"] * (number % 5 > 0)
        chosen = [f"tuned={network}"] * bool(network) + [f"experiment={experiment}"] * bool(experiment)
        whole = loader.load_sweep_config(master, [*chosen, *extra])
        with open_dict(whole):
            whole.pop("hydra")
        ours = composer([*chosen, *extra])
        assert OmegaConf.to_container(ours) == OmegaConf.to_container(whole), [*chosen, *extra]


@pytest.mark.parametrize("override", ["modell.width=3", "model.widht=3"])
def test_a_misspelt_key_is_refused_here_too(loader, master, override):
    with pytest.raises((UserError, *HYDRA_ERRORS)) as raised:
        read(Composer.of_sweep(loader, master)([override]))
    assert re.match(rf"{override.partition('.')[0]}.*.* is refused", str(explain(raised.value)))
