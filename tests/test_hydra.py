"""Hydra as its users know it: its own launchers and sweepers, its flags, its messages, logging and directories."""

import pickle
import re
import shlex
from pathlib import Path

import pytest
import user
import yaml
from conftest import Command
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import plasticity
from plasticity.composition.cluster import Cluster
from plasticity.composition.combinations import combinations
from plasticity.composition.compose import compose_settings, experiment
from plasticity.composition.reading import logging_of
from plasticity.errors import ConfigError, UserError

TINY = ["dataset.tasks=3", "dataset.examples_per_task=100", "model.width=8", "model.depth=2"]


@pytest.fixture
def elsewhere(command, tmp_path):
    """The command, started in an empty folder, where Hydra may leave its files."""
    command.folder = tmp_path
    return command


def composed(command, *overrides):
    shown = command(*overrides, "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    return yaml.safe_load(shown.stdout)


def test_every_launcher_and_sweeper_gives_the_same_runs_and_learns_that_one_failed(elsewhere, fresh):
    ours, size = fresh(), "optimiser.step_size"
    assert ours("-m", *TINY, f"{size}=0.001,0.002").returncode == 0
    for stock, sizes in {
        ("hydra/launcher=basic",): "0.001,0.002,1e20",
        ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"): "0.001,1e20",
        ("hydra/sweeper=basic",): "0.001,0.002",
        ("hydra/sweeper=basic", "hydra/launcher=basic"): "0.001,0.002",
    }.items():
        failing, finished = "1e20" in sizes, sizes.count("0.00")
        command = fresh()
        command.folder = elsewhere.folder
        done = command("-m", *TINY, *stock, f"{size}={sizes}")
        assert done.returncode == failing and "Traceback" not in done.stderr, done.stderr
        assert "BrokenProcessPool" not in done.stderr
        assert done.stdout.count("Failed: diverged in task 0") == failing
        assert done.stdout.count("Score ") == finished or "2 of 2 runs finished" in done.stdout
        failed = {name for name, state in command.states().items() if state["status"] == "failed"}
        tables = {name: table for name, table in command.tables().items() if name not in failed}
        assert len(failed) == failing and tables.items() <= ours.tables().items() and len(tables) == finished


def test_a_mistake_is_reported_from_a_launcher_of_hydras_own_and_from_its_processes(elsewhere):
    done = elsewhere("-m", *TINY, "hydra/launcher=basic", "replacement.rate=-1,-2")
    assert done.returncode == 1 and "replacement.rate=-1 is refused: it must be a number" in done.stderr
    assert not elsewhere.folders()
    with pytest.raises(ConfigError) as raised:
        plasticity.compose("replacement.rate=-1")
    passed_on = pickle.loads(pickle.dumps(raised.value))  # as joblib does
    assert str(passed_on) == str(raised.value) and type(passed_on) is ConfigError


def test_hydras_own_launchers_put_their_files_where_they_are_told_to(elsewhere, tmp_path):
    directories = [f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=${hydra.job.num}"]
    done = elsewhere("-m", *TINY, "hydra/launcher=basic", "hydra/sweeper=basic", *directories, "seed=3")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep" / "multirun.yaml").exists() and (tmp_path / "sweep" / "0").is_dir()


def test_optuna_optimises_by_the_scores_that_it_gets_and_a_run_that_diverges_does_not_end_it(
    elsewhere, tmp_path
):
    optuna = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"]
    optuna += ["hydra.sweeper.sampler.seed=1", "hydra.sweeper.direction=maximize"]
    done = elsewhere("-m", *TINY, *optuna, "optimiser.step_size=tag(log, interval(0.001, 1e20))")
    assert done.returncode == 0, done.stderr
    assert "diverged in task 0" in done.stdout and "Failed experiment" not in done.stdout + done.stderr
    states = elsewhere.states()
    assert len(states) == 4
    scores = {name: state["score"] for name, state in states.items() if state["status"] == "finished"}
    assert 1 < len(scores) < 4 and [*scores.values()].count(max(scores.values())) == 1
    best = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert best["best_value"] == max(scores.values())
    config = yaml.safe_load((elsewhere.runs / max(scores, key=scores.get) / "config.yaml").read_text())
    assert best["best_params"] == {"optimiser.step_size": config["optimiser"]["step_size"]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The config of no arguments."""
    return composed(Command(tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("chosen", ["experiment=table_1", "tuned=width_20"])
def test_an_optional_group_is_chosen_with_a_plus_or_without(command, plain, chosen):
    config = composed(command, chosen)
    assert config == composed(command, f"+{chosen}") != plain


@pytest.mark.parametrize("chosen", ["experiment", "tuned", "replacement/utility"])
def test_an_optional_group_may_be_left_out_as_the_config_leaves_it_out(command, plain, chosen):
    assert composed(command, f"{chosen}=null") == plain


def test_a_sweep_may_leave_out_an_optional_group_in_some_runs(command):
    planned = command("-m", "tuned=null,width_20", "replacement/utility=null,weight", "launch.dry_run=true")
    assert planned.stdout.startswith("4 runs: "), planned.stderr
    assert plasticity.compose("tuned=null").identity == plasticity.compose().identity


def test_a_range_is_decimal(command):
    ranges = ["range(0.001,0.011,0.001)", "range(1,0.8,-0.1)", "range(3)", "shuffle(range(0,0.3,0.1))"]
    parsed = OverridesParser.create()
    found = [
        [float(one.partition("=")[2]) for (one,) in combinations(parsed, [f"seed={text}"])] for text in ranges
    ]
    assert found[:3] == [[number / 1000 for number in range(1, 11)], [1.0, 0.9], [0, 1, 2]]
    assert sorted(found[3]) == [0.0, 0.1, 0.2]
    assert len(combinations(parsed, ["seed=range(0.001,0.101,0.001)"])) == 100
    planned = command("-m", "optimiser.step_size=range(0.001,0.011,0.001)", "launch.dry_run=true")
    assert planned.stdout.startswith("10 runs: "), planned.stderr


def test_several_values_without_multirun_get_the_whole_of_hydras_hint(command):
    done = command("seed=0,1")
    assert done.returncode != 0 and "Traceback" not in done.stderr and not command.folders()
    for hint in (
        "Ambiguous value for argument 'seed=0,1'",
        "1. To use it as a list, use key=[value1,value2]",
        "2. To use it as string, quote the value: key=\\'value1,value2\\'",
        "3. To sweep over it, add --multirun to your command line",
    ):
        assert hint in done.stderr


@pytest.mark.parametrize("torn", ["replacement=all,", "replacement.layers=[1,", "seed=choice(1,"])
def test_a_list_that_a_space_has_torn_is_refused_with_the_reason(torn):
    with pytest.raises(UserError, match=rf"^{re.escape(torn)} is refused: .* A space ends an argument"):
        plasticity.compose(torn)


def test_hydra_full_error_shows_the_traceback_and_its_opposite_does_not(command):
    shown = command("replacement.rate=x", HYDRA_FULL_ERROR="1")
    assert shown.returncode != 0 and "Traceback (most recent call last)" in shown.stderr
    for override in ("activation=reluu", "replacement.rate=x"):
        hidden = command(override, HYDRA_FULL_ERROR="0")
        assert hidden.returncode != 0 and len(hidden.stderr.splitlines()) == 1
        assert f"{override} is refused: it must be" in hidden.stderr


@pytest.mark.parametrize(
    "override", ["hydra.sweep.dir=there", "hydra.sweep.subdir=there", "hydra.run.dir=there"]
)
def test_a_directory_that_our_launchers_would_not_use_is_refused(elsewhere, override):
    done = elsewhere("-m", *TINY, "seed=0,1", override)
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1 and done.stdout == ""
    assert f"{override} is refused: it must be left as it is: runs are stored in runs_dir" in done.stderr
    assert not list(elsewhere.folder.iterdir())


def test_a_run_directory_is_refused_for_a_run_alone(elsewhere):
    done = elsewhere(*TINY, "hydra.run.dir=there")
    assert done.returncode != 0 and "hydra.run.dir=there is refused" in done.stderr
    assert not list(elsewhere.folder.iterdir()), "nor did Hydra make that folder"


def test_a_run_directory_is_hydras_where_its_own_launcher_computes(elsewhere, tmp_path):
    done = elsewhere(*TINY, "hydra/launcher=basic", "hydra.run.dir=there")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").is_dir() and len(elsewhere.folders()) == 1


def test_what_a_users_own_part_logs_is_seen(elsewhere, tmp_path):
    user.write(tmp_path)
    own = ["--config-dir", "my_conf", "dataset=permuted_labels", *TINY]
    plain = elsewhere(*own, "seed=0")
    assert "opening the stream of seed 0" in plain.stdout and "with 3 tasks" not in plain.stdout
    done = elsewhere(*own, "seed=1", "hydra.verbose=[my_parts]")
    assert done.returncode == 0, done.stderr
    assert "opening the stream of seed 1" in done.stdout and "\nwith 3 tasks" in done.stdout


@pytest.mark.parametrize(
    ("verbose", "root", "own"),
    [(False, "INFO", 0), (True, "DEBUG", 0), ("my_parts", "INFO", 1), (["my_parts"], "INFO", 1)],
)
def test_more_is_logged_of_what_is_named(verbose, root, own):
    job_logging = {"version": 1, "root": {"level": "INFO"}}
    logging = logging_of(OmegaConf.create({"hydra": {"job_logging": job_logging, "verbose": verbose}}))
    assert logging["root"]["level"] == root
    assert logging.get("loggers", {}) == {"my_parts": {"level": "DEBUG"}} if own else "loggers" not in logging


def test_info_and_completion_know_the_groups(command):
    defaults = command("--info", "defaults", "replacement=layer_12")
    assert defaults.returncode == 0 and "replacement/layer_12" in defaults.stdout
    typed = "python launch.py activation=l"
    completed = command("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
    assert completed.returncode == 0 and completed.stdout.split() == ["activation=leaky_relu"]
    typed = "python launch.py replac"
    completed = command("-sc", "query=bash", COMP_LINE=typed, COMP_POINT=str(len(typed)))
    assert "replacement" in completed.stdout.split()[0]


def test_a_layer_of_a_deep_network_and_widths_of_their_own_compose(command):
    deep = composed(command, "replacement=layer_12", "model.depth=12")
    assert (deep["replacement"]["layers"], deep["model"]["depth"]) == ("layer_12", 12)
    done = command("replacement=layer_12", "model.depth=12", "model.width=5", *TINY[:2])
    assert done.returncode == 0, done.stderr
    (folder,) = command.folders()
    assert yaml.safe_load((folder / "config.yaml").read_text())["replacement"]["layers"] == [12]
    done = command("model.widths=[30,15]", "dataset.tasks=1", "dataset.examples_per_task=20")
    assert done.returncode == 0, done.stderr
    (wide,) = [path for path in command.folders() if path != folder]
    model = yaml.safe_load((wide / "config.yaml").read_text())["model"]
    assert model == {"name": "mlp", "widths": [30, 15], "initial": "kaiming", "normalisation": "none"}
    both = command("model.widths=[30,15]", "model.width=5")
    assert both.returncode == 1 and both.stderr.startswith("model.width=5 is refused: it must be left out")


def test_each_combination_of_a_sweep_has_one_of_its_alternatives():
    short = [
        "dataset.examples=200",
        "dataset.record_every=100",
        "dataset.flip_after=50",
        "dataset.target_units=9",
    ]
    found = set()
    runs = experiment("bit_flipping_comparison", "seed=3", *short)
    assert len(runs) == 12
    for run in runs:
        run = run.values()
        replacement = run["replacement"]
        found.add(
            (
                run["activation"]["name"],
                run["optimiser"]["step_size"],
                run["regulariser"]["strength"],
                *(replacement[key] for key in ("rate", "maturity_threshold", "observed", "accrual")),
                len(replacement["layers"]),
                replacement["bias_compensation"],
            )
        )
        assert run["model"]["width"] == 5 and run["model"]["depth"] == 6 and run["seed"] == 3
    described, published = (100, "hidden", "debt", 6, True), (10, "misaligned", "chance", 6, False)
    none = (0.0, 100, "hidden", "debt", 0, False)
    assert found == {
        ("relu", 0.005, 0.0, *none), ("sigmoid", 0.005, 0.0, *none), ("tanh", 0.0001, 0.0, *none),
        ("relu", 0.0001, 0.01, *none), ("sigmoid", 0.005, 0.01, *none), ("tanh", 0.001, 0.01, *none),
        ("relu", 0.001, 0.0, 1e-3, *described), ("relu", 0.001, 0.0, 1e-3, *published),
        ("sigmoid", 0.005, 0.0, 1e-4, *described), ("sigmoid", 0.005, 0.0, 1e-4, *published),
        ("tanh", 0.0001, 0.0, 1e-4, *described), ("tanh", 0.0001, 0.0, 1e-4, *published),
    }  # fmt: skip


def test_the_command_line_goes_before_an_alternative(command):
    planned = command("experiment=bit_flipping_comparison", "seed=0", "tuned=bit_flipping_relu", "replacement=none",
                      "tuned.method=bp", "launch.dry_run=true")  # fmt: skip
    assert "2 runs: 0 finished" in planned.stdout  # with weight decay and without


def test_alternatives_may_have_several_values_each(tmp_path, command):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "my_search.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {seed: '0,1'}\n    alternatives:\n"
        "      - {replacement: none, optimiser.step_size: '0.1,0.01'}\n"
        "      - {replacement: all, replacement.rate: '1e-3,1e-4,1e-5'}\n"
    )
    planned = command("--config-dir", str(tmp_path / "mine"), "experiment=my_search", "launch.dry_run=true")
    assert planned.stdout.startswith("10 runs: "), planned.stderr


@pytest.mark.parametrize(
    "typed",
    [
        {"partition": "a,b", "account": "1234", "additional_parameters.exclude": "node[1-3,7]"},
        {"partition": "[a,b]", "account": "1_000", "constraint": "rack1&rack2"},
        {"partition": "'a,b'", "account": "1e5", "constraint": "[x|y]&z"},
        {"partition": r"a\,b", "account": "0123", "additional_parameters.mail_type": "[END,FAIL]"},
    ],
)
def test_options_of_a_cluster_are_read_as_sbatch_takes_them(command, typed):
    options = [f"hydra.launcher.{key}={value}" for key, value in typed.items()]
    shown = command("hydra/launcher=slurm", *options, "--cfg", "hydra", "-p", "hydra.launcher")
    assert shown.returncode == 0, shown.stderr
    config = yaml.safe_load(shown.stdout)
    config.pop("_target_")
    parameters = Cluster.of(config).executor_parameters(1, [])
    further = parameters["slurm_additional_parameters"]
    assert parameters["slurm_partition"] == "a,b" and parameters["slurm_account"] == typed["account"]
    assert parameters.get("slurm_constraint") == typed.get("constraint")
    assert further.get("exclude") == typed.get("additional_parameters.exclude")
    assert further.get("mail_type", "END,FAIL") == "END,FAIL"


@pytest.mark.parametrize(
    ("override", "said"),
    {
        "hydra.launcher.minutes=10,20": "is refused: a launch has a single value of hydra.launcher.minutes.\n",
        "hydra.verbose=a,b": "A list goes in brackets: 'hydra.verbose=[a,b]'; a text with commas in quotes: "
        "'hydra.verbose=\"a,b\"'\n",
        "hydra.launcher.setup=[source ~/x && y]": "in quotes: 'hydra.launcher.setup=[\"source ~/x && y\"]'\n",
        "hydra.launcher.account=[1.5]": "must be a string, a whole number, a list of them, or null.\n",
        "tracker.notes=a & b": "in quotes: 'tracker.notes=\"a & b\"'\n",
        "dataset.root=~nobody-there/x": "is refused: it must be a path, without ~ unless a user has that name",
    }.items(),
)  # fmt: skip
def test_what_hydra_reads_as_something_else_is_refused_with_the_right_spelling(command, override, said):
    done = command(*(["-m"] if "," in override else []), "hydra/launcher=slurm", override)
    assert done.returncode == 1 and done.stderr.startswith(override.partition("=")[0]) and said in done.stderr
    if "in quotes: '" in said:  # the spelling that it gives is one that the shell and Hydra read
        (respelt,) = shlex.split(said.partition("quotes: ")[2])
        shown = command("hydra/launcher=slurm", respelt, "--cfg", "all")
        assert shown.returncode == 0, shown.stderr


NAMES = ["a~b#&;!<>^`|*?b", "it's", 'say "so"', "2024", "run (1)/a$b/x=ä y", "[x]/{y},z", "é=ü/Läufe"]


def test_a_directory_of_runs_may_have_any_characters(command):
    for name in NAMES:
        command.runs = command.directory / name
        assert compose_settings([f"runs_dir={command.runs}"]).runs_dir == str(command.runs)
    command.runs = command.directory.joinpath(*NAMES)
    done = command("dataset.tasks=1", "dataset.examples_per_task=20")
    assert done.returncode == 0, done.stderr
    assert len(command.folders()) == 1 and f"--runs {shlex.quote(str(command.runs))}\n" in done.stdout


def test_a_home_directory_is_written_as_in_the_shell():
    settings = compose_settings(["runs_dir=~/mine", "dataset.root=~/data"])
    home = Path.home()
    assert (settings.runs_dir, settings.data_root) == (f"{home}/mine", f"{home}/data")
