import pickle
import re
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

import plasticity
from analysis import summarise
from plasticity.activations import Activation, Tanh
from plasticity.composition.reading import read
from plasticity.errors import ConfigError, UserError
from plasticity.optimisers import SGD
from plasticity.part import Part, number, part
from plasticity.run import LEFT_OUT, Run
from plasticity.training.provenance import code

ROOT = Path(__file__).resolve().parent.parent


def identity(**values: Any) -> str:
    return Run.of(values).identity


def replaced(layers: Any, depth: int = 5, **replacement: Any) -> Run:
    return Run.of({"model": {"depth": depth}, "replacement": {"layers": layers, **replacement}})


# --- What a config becomes -----------------------------------------------------------------------------


def test_defaults_are_the_base_network():
    config = Run.of({})
    assert config == Run() == Run.stored({})
    assert config.layer_sizes == [784, 100, 100, 100, 100, 100, 10]
    assert config.values() == {
        "model": {"name": "mlp", "width": 100, "depth": 5, "initial": "kaiming", "normalisation": "none"},
        "activation": {"name": "relu"},
        "replacement": {
            "name": "cbp", "layers": [1, 2, 3, 4, 5], "rate": 1e-4, "maturity_threshold": 100, "decay_rate": 0.99,
            "utility": "contribution", "bias_compensation": False, "observed": "hidden", "accrual": "debt",
        },
        "regulariser": {"name": "none", "strength": 0.0},
        "dataset": {
            "name": "permuted_mnist", "images": "mnist", "pixels": "unit", "tasks": 1_100,
            "examples_per_task": 10_000, "batch_size": 1,
        },
        "optimiser": {"name": "sgd", "step_size": 0.005},
        "intervention": {"name": "none"},
        "perturbation": {"name": "none"},
        "constraint": {"name": "none"},
        "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "depth", "numbers"),
    [
        ("all", 5, (1, 2, 3, 4, 5)),
        ("all", 2, (1, 2)),
        ("last", 5, (5,)),
        ("last", 1, (1,)),
        ("except_first", 3, (2, 3)),
        ("none", 5, ()),
        ("except_first", 1, ()),
        ([], 5, ()),
        ([3, 1, 3], 3, (1, 3)),
        ((2,), 2, (2,)),
    ],
)
def test_layers_are_resolved(layers, depth, numbers):
    assert replaced(layers, depth).replacement.layers == numbers


def test_layers_left_out_are_all():
    assert Run.of({"model": {"depth": 3}}).replacement.layers == (1, 2, 3)


def test_values_describe_the_same_run():
    config = Run.of(
        {
            "model": {"width": 20, "depth": 3},
            "activation": {"name": "selu"},
            "replacement": {"layers": "last", "rate": 1e-3, "utility": "random", "bias_compensation": True},
            "regulariser": {"name": "l2", "strength": 0.01},
            "dataset": {"tasks": 7},
            "seed": 2**63 - 1,
        }
    )
    assert Run.of(config.values()) == config
    assert Run.of(config.values()).identity == config.identity


def test_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Run.of({}).model.width = 3  # type: ignore[misc]


# --- Identity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ({}, "b27d989c3221"),
        (
            {
                "seed": 7,
                "activation": {"name": "tanh"},
                "replacement": {"layers": "last", "rate": 1e-6},
                "optimiser": {"step_size": 0.0005},
            },
            "b6f98c8823ec",
        ),
        (
            {"replacement": {"layers": "none"}, "regulariser": {"name": "l2", "strength": 0.001}},
            "e01171db9ab6",
        ),
        ({"optimiser": {"step_size": 0.001}}, "68c1efafa960"),
        (
            {
                "seed": 3,
                "model": {"depth": 2},
                "replacement": {
                    "layers": "last",
                    "utility": "random",
                    "bias_compensation": True,
                    "maturity_threshold": 7,
                    "decay_rate": 0.5,
                },
            },
            "0c9705105e79",
        ),
        (
            {
                "dataset": {"tasks": 20, "examples_per_task": 300},
                "regulariser": {"name": "l2", "strength": 0.01},
                "replacement": {"rate": 0},
            },
            "90eaf7401be8",
        ),
    ],
)
def test_identity_never_changes(values, digits):
    # Folders of finished runs carry these names: a change here means that every result is computed again.
    assert identity(**values) == digits


@dataclass(frozen=True, kw_only=True)
class Gentle(SGD):
    """Somebody else's part, with the defaults of the class that it inherits from."""


@dataclass(frozen=True, kw_only=True)
class Rise(Activation):
    slope: float = number(0.5, above=0)


def test_a_run_that_has_worked_out_its_identity_passes_it_on_to_no_other():
    run = Run.of({"activation": {"name": "tanh"}, "seed": 3})
    fresh = pickle.dumps(run)
    assert run.identity != replace(run, seed=4).identity
    assert pickle.dumps(run) == fresh
    assert pickle.loads(fresh) == run and pickle.loads(fresh).identity == run.identity


def test_a_users_own_part_counts_with_its_import_path_and_every_field():
    path = f"{__name__}.Rise"
    run = Run(activation=Rise())
    assert run.values()["activation"] == {"name": path, "slope": 0.5}
    assert Run.of({"activation": {"_target_": path}}) == run == Run.of({"activation": path})
    others = [Run(), Run(activation=Rise(slope=0.6)), Run(optimiser=Gentle()), Run(activation=Tanh())]
    assert len({other.identity for other in [run, *others]}) == 5


def test_what_identities_leave_out_never_changes():
    """Whatever the defaults become: these values are those of runs that are named without them."""
    assert LEFT_OUT == {
        "model": {"name": "mlp", "width": 100, "depth": 5, "initial": "kaiming", "normalisation": "none"},
        "activation": {"name": "relu"},
        "replacement": {
            "name": "cbp", "rate": 1e-4, "maturity_threshold": 100, "decay_rate": 0.99,
            "utility": "contribution", "bias_compensation": False, "observed": "hidden", "accrual": "debt",
        },
        "regulariser": {"name": "none", "strength": 0.0},
        "dataset": {
            "name": "permuted_mnist", "images": "mnist", "pixels": "unit", "tasks": 1_100,
            "examples_per_task": 10_000, "batch_size": 1,
        },
        "optimiser": {"name": "sgd", "step_size": 0.005},
        "intervention": {"name": "none"},
        "perturbation": {"name": "none"},
        "constraint": {"name": "none"},
        "seed": 0,
    }  # fmt: skip


def test_a_stored_run_that_lacks_later_keys_is_the_run_that_it_was():
    stored = Run(seed=3).values()
    for group, key in [("model", "name"), ("replacement", "name"), ("dataset", "batch_size")]:
        del stored[group][key]
    assert Run.stored(stored) == Run(seed=3)


def _whole(value: Any) -> Any:
    """A column of whole numbers in which some runs have none holds them as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Constraint(Part):
    """A kind of part that runs did not have before."""


class NoConstraint(Constraint, name="none"):
    pass


@dataclass(frozen=True, kw_only=True)
class Clipping(Constraint):
    bound: float = number(1.0, above=0)


@dataclass(frozen=True, kw_only=True)
class LaterRun(Run):
    later: Constraint = part(Constraint, NoConstraint())
    also: Constraint = part(Constraint, Clipping())


def test_a_field_that_runs_get_later_changes_no_identity_until_it_is_chosen():
    before, later = Run(seed=3), LaterRun(seed=3)
    assert later.identity == before.identity
    others = [
        LaterRun(seed=3, later=Clipping()),
        LaterRun(seed=3, also=Clipping(bound=2.0)),
        LaterRun(also=NoConstraint()),
    ]
    assert len({run.identity for run in [before, *others]}) == 4


def test_every_committed_run_keeps_its_identity():
    runs = summarise(ROOT / "results", ROOT / "results" / "methods").set_index("run")
    assert len(runs) >= 967
    keys = [key for key in runs if key.partition(".")[0] in LEFT_OUT and key != "seed"]
    for identity, run in runs.iterrows():
        values: dict[str, Any] = {"seed": int(run["seed"])}
        for key in keys:
            if run[key] is None or run[key] != run[key]:
                continue  # a key of other parts
            part, _, field = key.partition(".")
            values.setdefault(part, {})[field] = _whole(run[key])
        shapes = ("widths", "channels", "kernel", "stride", "padding", "pool", "hidden")
        for part, field in [("replacement", "layers"), *(("model", key) for key in shapes)]:
            if (listed := values[part].get(field)) is not None:
                numbers = [] if listed == "none" else [int(number) for number in str(listed).split(",")]
                values[part][field] = numbers
        assert Run.stored(values).identity == identity


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the syntax trees are those of another Python")
def test_the_code_of_usual_parts_is_that_of_runs_begun_before():
    """An unfinished run starts over if it is not. Messages are code, docstrings and comments are not."""
    assert code(Run()) == {
        "model=mlp": "212f67de8e87",
        "activation=relu": "acfa440bbdaf",
        "replacement=cbp": "a1781cb6542d",
        "replacement.utility=contribution": "96d35f300ada",
        "regulariser=none": "0cfdc0298513",
        "dataset=permuted_mnist": "a10155b05634",
        "dataset.objective=cross_entropy": "f78d1e9eaaa3",
        "optimiser=sgd": "198a2a364809",
        "intervention=none": "973314fee8ce",
        "perturbation=none": "d751568e517c",
        "constraint=none": "bbe0f1b9ad92",
    }


SAME = [
    ({}, {"seed": 0, "model": {"width": 100}, "replacement": {"rate": 1e-4, "layers": "all"}}),
    ({}, Run.of({}).values()),
    ({"replacement": {"layers": [3, 1, 2]}}, {"replacement": {"layers": (1, 2, 3)}}),
    ({"replacement": {"layers": [2, 2]}}, {"replacement": {"layers": [2]}}),
    ({"replacement": {"layers": "all"}}, {"replacement": {"layers": [5, 4, 3, 2, 1]}}),
    ({"replacement": {"layers": "last"}}, {"replacement": {"layers": [5]}}),
    ({"replacement": {"layers": "except_first"}}, {"replacement": {"layers": [2, 3, 4, 5]}}),
    (
        {"model": {"depth": 2}, "replacement": {"layers": "all"}},
        {"model": {"depth": 2}, "replacement": {"layers": [1, 2]}},
    ),
    (
        {"model": {"depth": 8}, "replacement": {"layers": "last"}},
        {"model": {"depth": 8}, "replacement": {"layers": [8]}},
    ),
    ({"replacement": {"rate": 1e-3}}, {"replacement": {"rate": 0.001}}),
    ({"optimiser": {"step_size": 1}}, {"optimiser": {"step_size": 1.0}}),
    ({"replacement": {"decay_rate": 0}}, {"replacement": {"decay_rate": 0.0}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"layers": []}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"rate": 0}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"layers": "last", "rate": 0.0}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"layers": "none", "rate": 1e-3}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"layers": "none", "maturity_threshold": 7}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"rate": 0, "bias_compensation": True}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"rate": 0, "accrual": "chance"}}),
    ({"replacement": {"layers": "none"}}, {"replacement": {"layers": "none", "observed": "misaligned"}}),
    (
        {"model": {"depth": 1}, "replacement": {"layers": "except_first"}},
        {"model": {"depth": 1}, "replacement": {"layers": "none"}},
    ),
    ({}, {"regulariser": {"name": "l2", "strength": 0}}),
    ({}, {"regulariser": {"name": "none", "strength": 0.0}}),
    ({"replacement": {"decay_rate": 0.0}}, {"replacement": {"decay_rate": -0.0}}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_configs_of_the_same_numbers_are_equal_and_share_an_identity(one, other):
    assert Run.of(one) == Run.of(other)
    assert identity(**one) == identity(**other)


DIFFERENT = [
    {},
    {"model": {"width": 99}},
    {"model": {"depth": 4}},
    {"model": {"initial": "uniform"}},
    {"model": {"widths": [20, 30]}, "replacement": {"layers": [1]}},
    {"model": {"widths": [20, 30], "initial": "uniform"}, "replacement": {"layers": [1]}},
    {"dataset": {"images": "kmnist"}},
    {"dataset": {"pixels": "signed"}},
    {"dataset": {"name": "label_permuted_mnist"}},
    {"dataset": {"name": "label_permuted_mnist", "tasks": 1_100, "examples_per_task": 10_000}},
    {"dataset": {"name": "random_label_mnist"}},
    {"dataset": {"name": "random_label_mnist", "batch_size": 1}},
    {"dataset": {"name": "bit_flipping"}},
    {"dataset": {"name": "bit_flipping", "flip": "one"}},
    {"model": {"depth": 6}},
    {"model": {"depth": 6}, "replacement": {"layers": [1, 2, 3, 4, 5]}},
    {"model": {"depth": 6}, "replacement": {"layers": [6]}},
    {"activation": {"name": "tanh"}},
    {"replacement": {"layers": [1]}},
    {"replacement": {"layers": [2]}},
    {"replacement": {"layers": [1, 2]}},
    {"replacement": {"layers": "last"}},
    {"replacement": {"layers": "except_first"}},
    {"replacement": {"layers": "none"}},
    {"replacement": {"rate": 1e-3}},
    {"replacement": {"rate": 1e-5}},
    {"replacement": {"maturity_threshold": 99}},
    {"replacement": {"decay_rate": 0.9}},
    {"replacement": {"utility": "random"}},
    {"replacement": {"bias_compensation": True}},
    {"replacement": {"observed": "misaligned"}},
    {"replacement": {"accrual": "chance"}},
    {"regulariser": {"name": "l2", "strength": 0.01}},
    {"regulariser": {"name": "l2", "strength": 0.001}},
    {"dataset": {"tasks": 1_099}},
    {"dataset": {"examples_per_task": 9_999}},
    {"optimiser": {"step_size": 0.0005}},
    {"seed": 1},
    {"seed": 2},
]


def test_configs_of_different_numbers_have_different_identities():
    found = [identity(**values) for values in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)
    assert all(len(digits) == 12 and int(digits, 16) >= 0 for digits in found)


def composed(*overrides: str) -> str:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return read(compose("config", list(overrides)))[0].identity


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["engine=reference"],
        ["tracker=wandb", "tracker.project=other", "tracker.mode=online"],
        ["runs_dir=/elsewhere", "dataset.root=/data", "force=true", "checkpoint_seconds=1"],
        ["launch.workers=7"],
        ["replacement.rate=1e-4"],
        ["replacement.rate=0.0001", "optimiser.step_size=5e-3"],
        ["replacement.layers=[5,4,3,2,1]"],
    ],
)
def test_how_a_run_is_computed_shown_and_stored_is_not_in_its_identity(overrides):
    assert composed(*overrides) == Run.of({}).identity


def test_files_of_the_config_mean_what_their_names_say():
    assert composed("replacement=last") == identity(replacement={"layers": [5]})
    assert composed("replacement=layer_2", "model.depth=2") == identity(
        model={"depth": 2}, replacement={"layers": "last"}
    )
    assert composed("activation=selu", "seed=3") == identity(activation={"name": "selu"}, seed=3)
    assert composed("replacement=none") == identity(replacement={"layers": "none"})


# --- What is refused -----------------------------------------------------------------------------------

NAN, INFINITY = float("nan"), float("inf")
UTILITIES = (
    "contribution, zero_contribution, adaptable_contribution, adaptation, weight, feature_by_input, random"
)
WRONG_NUMBERS = [True, False, NAN, INFINITY, -INFINITY, "0.1", "one", "", None, [0.1], {"value": 0.1}]
WRONG_WHOLE_NUMBERS = [*WRONG_NUMBERS, 1.0, 2.5, "3", [3], -1]

IMPORT = ", or an import path such as my_module.MyClass"

REFUSED: list[tuple[str, list[Any], str]] = [
    ("model.width", [*WRONG_WHOLE_NUMBERS, 0, 100_001], "a whole number of at least 1 and at most 100000"),
    ("model.depth", [*WRONG_WHOLE_NUMBERS, 0, 1_001], "a whole number of at least 1 and at most 1000"),
    (
        "activation.name",
        ["rellu", "ReLU", "", 1, True, ["relu"], {}],
        "one of relu, selu, tanh, sigmoid, leaky_relu, elu, swish, gelu, crelu, smooth_leaky" + IMPORT,
    ),
    (
        "replacement.layers",
        [
            "first",
            "All",
            "1",
            "",
            None,
            True,
            1,
            1.0,
            [0],
            [-1],
            [1.0],
            [True],
            ["1"],
            [[1]],
            {},
            "layer_0",
            "layer_",
        ],
        "one of all, none, last, except_first, layer_1, layer_2, …, or a list of layers, such as [1,3]",
    ),
    ("replacement.layers", [[6], [1, 6], "layer_6"], "a set of layers from 1 to 5 (model.depth=5)"),
    (
        "model.widths",
        [[], 3, [0], [1.5], ["a"], [100_001]],
        "null, or a list of the units of each hidden layer such as [300,150]",
    ),
    ("replacement.rate", [*WRONG_NUMBERS, -1e-9, 1.5], "a number of at least 0 and at most 1"),
    ("replacement.maturity_threshold", WRONG_WHOLE_NUMBERS, "a whole number of at least 0"),
    ("replacement.maturity_threshold", [2**63, 2**64], "a whole number of at least 0 and below 2^63"),
    ("replacement.decay_rate", [*WRONG_NUMBERS, -0.5, 1, 1.0, 1.5], "a number of at least 0 and below 1"),
    ("replacement.utility", ["", "contributions"], f"one of {UTILITIES}" + IMPORT),
    ("replacement.utility", [None, 0, ["weight"]], f"one of {UTILITIES}, or a group of keys"),
    ("replacement.observed", ["", "visible", None, 0], "one of hidden, misaligned"),
    ("replacement.accrual", ["", "debts", None, 0], "one of debt, chance"),
    ("replacement.bias_compensation", [0, 1, 1.0, "true", "yes", None, [True]], "true or false"),
    (
        "regulariser.name",
        ["l1", "L2", "", 2, ["l2"]],
        "one of none, l2, l2_init, spectral, parseval" + IMPORT,
    ),
    ("regulariser.strength", [*WRONG_NUMBERS, -1e-9], "a number of at least 0"),
    ("optimiser.name", ["momentum", "SGD", "", 0, ["sgd"]], "one of sgd, adam, upgd" + IMPORT),
    ("optimiser.step_size", [*WRONG_NUMBERS, 0, 0.0, -1e-9], "a number above 0"),
    (
        "dataset.name",
        ["mnist", "", 0],
        "one of bit_flipping, class_pairs, label_permuted_mnist, permuted_mnist, random_label_mnist" + IMPORT,
    ),
    (
        "dataset.tasks",
        [*WRONG_WHOLE_NUMBERS, 0, 10**30],
        "a whole number of at least 1 and at most 1000000000",
    ),
    ("dataset.batch_size", [*WRONG_WHOLE_NUMBERS, 0], "a whole number of at least 1"),
    ("dataset.batch_size", [3, 10_001], "a divisor of dataset.examples_per_task=10000"),
    (
        "dataset.examples_per_task",
        [*WRONG_WHOLE_NUMBERS, 0, 112_801],
        "a whole number of at least 1 and at most 112800",
    ),
    ("dataset.examples_per_task", [60_001], "a whole number of at least 1 and at most 60000"),
    (
        "dataset.images",
        ["", "cifar", None],
        "one of mnist, fashion_mnist, kmnist, emnist_balanced, cifar10, cifar100",
    ),
    ("dataset.pixels", ["", "z", None, 1], "one of unit, signed"),
    ("model.initial", ["", "xavier", None], "one of kaiming, uniform"),
]

CASES = [(key, value, valid) for key, values, valid in REFUSED for value in values]


def refused(values: Any) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        Run.of(values)
    return raised.value


@pytest.mark.parametrize(("key", "value", "valid"), CASES)
def test_wrong_value_is_refused_by_key_and_value_with_what_is_valid(key, value, valid):
    section, name = key.split(".")
    error = refused({section: {name: value}})
    shown = str(value).replace(" ", "") if key == "replacement.layers" else str(value)
    assert str(error) == f"{key}={shown} is refused: it must be {valid}."
    assert (error.key, error.valid) == (key, valid)


@pytest.mark.parametrize("seed", [*WRONG_WHOLE_NUMBERS, 2**63])
def test_wrong_seed_is_refused(seed):
    assert str(refused({"seed": seed})) == (
        f"seed={seed} is refused: it must be a whole number of at least 0 and at most {2**63 - 1}."
    )


NAMES = {
    "model": "one of mlp, cnn",
    "activation": "one of relu, selu, tanh, sigmoid, leaky_relu, elu, swish, gelu, crelu, smooth_leaky",
    "replacement": "one of cbp, cpr, redo, regrama, random, snr",
    "regulariser": "one of none, l2, l2_init, spectral, parseval",
    "dataset": "one of bit_flipping, class_pairs, label_permuted_mnist, permuted_mnist, random_label_mnist",
    "optimiser": "one of sgd, adam, upgd",
    "intervention": "one of none, reset, fire",
    "perturbation": "one of none, shrink_and_perturb, weight_reinitialisation",
    "constraint": "one of none, weight_clipping",
}


@pytest.mark.parametrize("part", NAMES)
@pytest.mark.parametrize("value", [None, 3, True, [1]])
def test_a_part_that_is_neither_a_name_nor_a_group_is_refused(part, value):
    expected = f"{part}={value} is refused: it must be {NAMES[part]}, or a group of keys."
    assert str(refused({part: value})) == expected


@pytest.mark.parametrize("part", NAMES)
def test_an_unknown_name_is_refused(part):
    expected = f"{part}=gelatine is refused: it must be {NAMES[part]}{IMPORT}."
    assert str(refused({part: "gelatine"})) == expected


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"dataset": {"name": ["permuted_mnist"]}}, "dataset.name"),
        ({"dataset": {"name": {}}}, "dataset.name"),
        ({"dataset": ["permuted_mnist"]}, "dataset"),
        ({"optimiser": {"step_size": 10**400}}, "optimiser.step_size"),
        ({"replacement": {"rate": 10**400}}, "replacement.rate"),
    ],
)
def test_value_of_an_unexpected_kind_or_size_is_refused(values, key):
    assert refused(values).key.startswith(key)


def test_strength_without_a_regulariser_is_refused():
    error = refused({"regulariser": {"name": "none", "strength": 0.01}})
    assert str(error) == "regulariser.strength=0.01 is refused: it must be 0 with regulariser=none."


def test_misaligned_layers_of_different_widths_are_refused():
    error = refused({"model": {"widths": [5, 6]}, "replacement": {"observed": "misaligned"}})
    assert str(error).startswith("replacement.observed=misaligned is refused: it must be hidden where layers")


def test_layer_is_refused_by_the_depth_of_its_own_network():
    error = refused({"model": {"depth": 2}, "replacement": {"layers": [2, 3]}})
    assert "replacement.layers=[2,3] is refused" in str(error)
    assert "layers from 1 to 2 (model.depth=2)" in str(error)


@pytest.mark.parametrize(
    ("values", "key", "meant"),
    [
        ({"modle": {}}, "modle", "model"),
        ({"optimizer": {"step_size": 0.1}}, "optimizer", "optimiser"),
        ({"regularizer": {}}, "regularizer", "regulariser"),
        ({"seeds": 3}, "seeds", "seed"),
        ({"model": {"widht": 3}}, "model.widht", "model.width"),
        ({"model": {"dept": 3}}, "model.dept", "model.depth"),
        ({"optimiser": {"stepsize": 0.1}}, "optimiser.stepsize", "optimiser.step_size"),
        ({"replacement": {"utilty": "weight"}}, "replacement.utilty", "replacement.utility"),
        ({"replacement": {"decay": 0.9}}, "replacement.decay", "replacement.decay_rate"),
        ({"regulariser": {"strenght": 0.9}}, "regulariser.strenght", "regulariser.strength"),
        ({"dataset": {"task": 3}}, "dataset.task", "dataset.tasks"),
        ({"replacement": {"maturity": 9}}, "replacement.maturity", "replacement.maturity_threshold"),
    ],
)
def test_unknown_key_is_refused_with_the_one_that_was_meant(values, key, meant):
    error = refused(values)
    assert error.key == key
    assert f"it must be {meant} (did you mean that?)" in str(error)


@pytest.mark.parametrize("values", [{"engine": {"name": "native"}}, {"tracker": {}}, {"runs_dir": "runs"}])
def test_what_changes_no_number_is_not_part_of_a_run(values):
    (key,) = values
    error = refused(values)
    assert error.key == key
    for known in ("model", "activation", "replacement", "regulariser", "dataset", "optimiser", "seed"):
        assert known in error.valid


def test_unknown_key_that_is_like_no_other_lists_them_all():
    error = refused({"q": 3})
    assert str(error) == (
        "q=3 is refused: it must be a known key, one of "
        "model, activation, replacement, regulariser, dataset, optimiser, intervention, perturbation, "
        "constraint, seed."
    )


@pytest.mark.parametrize("override, said", [
    ("optimizer=sgd", "optimizer=sgd is refused: it must be optimiser (did you mean that?)"),
    ("optimizer.step_size=0.1", "optimizer.step_size=0.1 is refused: it must be optimiser.step_size (did you mean"),
    ("tune=width_20", "tune=width_20 is refused: it must be tuned (did you mean that?)"),
    ("nothing.like.it=1", "nothing is refused: it must be a known key, one of model, "),
    ("replacement=layer_0", "all, except_first, last, none, layer_1, layer_2, … up to the network's last hidden "
     "layer (layer_5 of 5 by default), or a list of layers, such as [1,3]."),
])  # fmt: skip
def test_a_misspelt_group_is_named_with_its_value_and_the_right_one(override, said):
    with pytest.raises(UserError, match=re.escape(said)):
        plasticity.compose(override)
