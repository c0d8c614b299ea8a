"""Parts of a user's own: a module and a directory of configs beside it, and no line of the package changed."""

import csv
import dataclasses
import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch
import user
import yaml
from conftest import kill_after_checkpoint

import plasticity
from plasticity.composition.compose import compose_settings
from plasticity.datasets import image_sets
from plasticity.engines import choose, get
from plasticity.engines.kernel import build
from plasticity.errors import UserError
from plasticity.networks.network import initial_network
from plasticity.store import RunFolder
from plasticity.streams import Purpose, sample

TINY = ["dataset.tasks=3", "dataset.examples_per_task=60", "model.width=6", "model.depth=2"]
CONF = ["--config-dir", "my_conf"]
ALL = [
    "activation=slope",
    "replacement/utility=size",
    "replacement.rate=0.05",
    "replacement.maturity_threshold=10",
    "regulariser=l2_init",
    "dataset=permuted_labels",
    "diagnostics=mean_weight",
]


@pytest.fixture
def here(mine, monkeypatch):
    """This process, where the user's parts are."""
    monkeypatch.chdir(mine.folder)
    monkeypatch.syspath_prepend(str(mine.folder))
    for module in ("my_parts", "broken"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def config(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def rows(folder):
    return [
        {key: float(value) for key, value in row.items()}
        for row in csv.DictReader((folder / "tasks.csv").open())
    ]


def test_a_sweep_over_own_parts_has_a_run_for_each_of_them(mine):
    sweep = ["activation=slope,my_parts.Normed", "regulariser=l2_init"]
    sweep += ["dataset=permuted_mnist,permuted_labels"]
    done = mine(*CONF, "-m", *sweep, "diagnostics=mean_weight", *TINY)
    assert done.returncode == 0, done.stderr
    assert "4 runs: 0 finished, 0 resumed, 4 new" in done.stdout and "4 of 4 runs finished" in done.stdout
    assert "Engines: 2 native; 2 reference." in done.stdout
    assert re.search(rf"2 reference, about \d+ s each: {user.without_a_form('activation')}\.", done.stdout)
    chosen = set()
    for folder in mine.folders():
        state, kept = json.loads((folder / "state.json").read_text()), config(folder)
        names = tuple(kept[key]["name"] for key in ("activation", "regulariser", "dataset"))
        chosen.add(names)
        traced = names[0] != "my_parts.Normed"
        assert state["provenance"]["engine"] == ("native" if traced else "reference")
        assert all(0.01 < row["mean_weight"] < 0.1 for row in rows(folder))
    assert len(mine.folders()) == len(chosen) == 4
    assert ("my_parts.Slope", "my_parts.L2Init", "my_parts.PermutedLabels") in chosen


TRACKER = """
import csv
from dataclasses import dataclass
from pathlib import Path

from plasticity import Tracker, text


@dataclass(frozen=True, kw_only=True)
class CsvTracker(Tracker):
    folder: str = text("tracked")

    def began(self, run, rows):
        Path(self.folder).mkdir(exist_ok=True)
        self.path(run).write_text(",".join(rows[0]) + "\\n" if rows else "")
        for row in rows:
            self.learnt(run, row)

    def learnt(self, run, row):
        columns = self.path(run).read_text().partition("\\n")[0] or ",".join(row)
        with self.path(run).open("a", newline="") as file:
            writer = csv.DictWriter(file, columns.split(","))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)

    def ended(self, run, state):
        with Path(self.folder, "ended").open("a") as file:
            print(run.seed, state.status, file=file)

    def path(self, run):
        return Path(self.folder, f"{run.identity}.csv")
"""


def tracked(folder):
    return [
        {key: float(value) for key, value in row.items() if value}
        for row in csv.DictReader(folder.open(newline=""))
    ]


def stored(folder):
    return [{key: float(value) for key, value in row.items()} for row in RunFolder(folder).rows()]


def test_a_tracker_of_ones_own_has_every_row_of_each_run_even_if_the_launch_was_killed(mine, tmp_path):
    (tmp_path / "my_trackers.py").write_text(TRACKER)
    (tmp_path / "my_conf" / "tracker").mkdir()
    (tmp_path / "my_conf" / "tracker" / "sheets.yaml").write_text("_target_: my_trackers.CsvTracker")
    own = ["dataset.tasks=250", *TINY[1:], "tracker=my_trackers.CsvTracker", "checkpoint_seconds=0.05"]
    killed = kill_after_checkpoint(mine, *own, pause=0.05)
    assert 0 < len(stored(killed)) < 250
    done = mine(*own)
    assert done.returncode == 0 and "not told" not in done.stdout, done.stderr
    assert (tmp_path / "tracked" / "ended").read_text() == "0 finished\n"
    assert len(stored(killed)) == 250
    assert tracked(tmp_path / "tracked" / f"{killed.name}.csv") == stored(killed)
    plain = mine(*TINY, "seed=1")
    assert plain.returncode == 0, plain.stderr
    (untracked,) = set(mine.folders()) - {killed}
    swept = mine(*CONF, "-m", "tracker=sheets", "tracker.folder=others", *TINY, "seed=1,2", "force=true")
    assert swept.returncode == 0, swept.stderr
    told = {path.stem: tracked(path) for path in (tmp_path / "others").glob("*.csv")}
    assert told == {name: stored(mine.runs / name) for name in told} and len(told) == 2
    assert untracked.name in told  # a tracker is no part of a run's identity
    assert sorted((tmp_path / "others" / "ended").read_text().splitlines()) == ["1 finished", "2 finished"]
    refused = mine(*CONF, "tracker=sheets", "tracker.folders=others", *TINY)
    assert "tracker.folders=others is refused: it must be tracker.folder (did you" in refused.stderr


@pytest.mark.parametrize("error", ["ValueError('no room')", "SystemExit('no room')"])
def test_an_error_in_a_tracker_costs_no_run_and_is_said_once(mine, tmp_path, error):
    ended = '        with Path(self.folder, "ended")'
    broken = TRACKER.replace(ended, f"        raise {error}\n{ended}")
    assert broken != TRACKER
    (tmp_path / "my_trackers.py").write_text(broken)
    done = mine("-m", "tracker=my_trackers.CsvTracker", *TINY, "seed=1,2")
    assert done.returncode == 0 and "2 of 2 runs finished" in done.stdout, done.stderr
    assert done.stdout.count("no room") == 1
    assert "tracker=my_trackers.CsvTracker was not told everything: " in done.stdout
    assert re.search(r"no room \(line \d+ of .*my_trackers\.py\)\.", done.stdout)


def test_the_native_engine_refuses_a_part_that_it_does_not_have_with_the_reason_of_auto(mine, here):
    dry = "launch.dry_run=true"
    for number, (key, (part, _)) in enumerate(user.NO_FORM.items()):
        choice, reason = f"{key.replace('.', '/')}={part}", user.without_a_form(key)
        run = plasticity.compose(choice, *TINY)
        said = f"engine=native cannot compute this run: {reason}"
        with pytest.raises(UserError, match=said):
            choose("native", run)
        assert re.fullmatch(reason, choose("auto", run).reason)
        if number:
            continue  # a launch says the same of each
        refused = mine(choice, *TINY, dry, "engine=native")
        assert refused.returncode != 0 and len(refused.stderr.splitlines()) == 1
        assert re.search(said, refused.stderr) and not mine.folders()
        planned = mine(choice, *TINY, dry, "engine=auto")
        assert re.search(rf"1 reference, about \d+ s each: {reason}\.", planned.stdout)


def test_the_rows_of_l2_init_are_those_of_a_plain_computation(mine):
    """Two hidden layers, their gradients and the update written out; the start is tested with the network."""
    run = ["regulariser=l2_init", "regulariser.strength=0.3", "dataset=permuted_labels", "replacement=none"]
    done = mine(*CONF, *run, "optimiser.step_size=0.02", "diagnostics=mean_weight", *TINY)
    assert done.returncode == 0, done.stderr
    (folder,) = mine.folders()

    images = image_sets.load("mnist")
    start = initial_network(plasticity.compose(*TINY, "replacement=none"))
    theta = [torch.from_numpy(array.copy()) for array in (*start.weights, *start.biases)]
    initial = [parameter.clone() for parameter in theta]
    for task, row in enumerate(rows(folder)):
        assert row["mean_weight"] == pytest.approx(theta[0].abs().mean().item(), rel=1e-6)
        new_label = np.random.default_rng((0, task)).permutation(10) if task else np.arange(10)
        order = sample(60_000, 60, 0, Purpose.EXAMPLE_ORDER, (task,))
        losses, hits = [], []
        for image in order:
            x = torch.from_numpy(images.images[image].astype(np.float32) / np.float32(255))
            y = torch.tensor(new_label[images.labels[image]])
            for parameter in theta:
                parameter.requires_grad_()
            first, second, last = theta[:3]
            h = torch.relu(second @ torch.relu(first @ x + theta[3]) + theta[4])
            logits = last @ h + theta[5]
            loss = torch.logsumexp(logits, 0) - logits[y]
            gradients = torch.autograd.grad(loss, theta)
            losses.append(loss.item())
            hits.append(logits.argmax().item() == y.item())
            theta = [
                (parameter - 0.02 * (gradient + 0.3 * (parameter - origin))).detach()
                for parameter, gradient, origin in zip(theta, gradients, initial, strict=True)
            ]
        assert row["accuracy"] == np.mean(hits)
        assert row["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_column_of_a_diagnostic_is_what_the_network_gives_in_python(mine, here):
    done = mine(*CONF, *ALL, *TINY)
    assert done.returncode == 0, done.stderr
    (folder,) = mine.folders()
    kept = rows(folder)
    assert sum(row["replaced.layer_1"] for row in kept) > 0

    run = plasticity.compose(*ALL, *TINY, config_dir="my_conf")
    assert run.identity == folder.name
    networks = [initial_network(run)]
    for learnt, row in zip(plasticity.learn(run), kept, strict=True):
        assert row["mean_weight"] == float(np.abs(networks[-1].weights[0]).mean())
        assert {name: value for name, value in row.items() if name != "mean_weight"} == learnt.row
        networks.append(learnt.network)
    assert dataclasses.asdict(run.activation) == {"slope": 0.1}


def test_every_engine_that_can_computes_own_parts_to_the_same_rows(mine):
    if reason := get("compiled").unsupported(plasticity.compose()):
        pytest.skip(reason)
    found = {}
    for engine in ("reference", "compiled", "native"):
        done = mine(*CONF, *ALL, *TINY, f"engine={engine}", "force=true")
        assert done.returncode == 0, done.stderr
        (folder,) = mine.folders()
        assert json.loads((folder / "state.json").read_text())["provenance"]["engine"] == engine
        found[engine] = rows(folder)
    for right, *others in zip(*found.values(), strict=True):
        for row in others:
            assert row == pytest.approx(right, rel=1e-4)
            for column in row:
                if column == "accuracy" or column.startswith("replaced"):
                    assert row[column] == right[column]
    assert sum(row["replaced.layer_2"] for row in found["compiled"]) > 0


def test_a_part_is_chosen_by_its_import_path_alone(mine):
    done = mine("activation=my_parts.Slope", "activation.slope=0.3", "diagnostics=my_parts.MeanWeight", *TINY)
    assert done.returncode == 0, done.stderr
    (folder,) = mine.folders()
    assert config(folder)["activation"] == {"name": "my_parts.Slope", "slope": 0.3}
    assert all(row["mean_weight"] > 0 for row in rows(folder))
    same = mine(*CONF, "activation=slope", "activation.slope=0.3", *TINY)
    assert "It was finished before" in same.stdout


def test_the_composed_config_shows_the_keys_of_an_own_part(mine):
    shown = mine("activation=my_parts.Slope", "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    assert yaml.safe_load(shown.stdout)["activation"] == {"_target_": "my_parts.Slope", "slope": 0.1}
    shown = mine(*CONF, "regulariser=l2_init", "--cfg", "job")
    assert yaml.safe_load(shown.stdout)["regulariser"]["_target_"] == "my_parts.L2Init"


def test_a_finished_run_of_parts_that_were_edited_is_named(mine, tmp_path):
    chosen = ["activation=my_parts.Slope", "replacement/utility=my_parts.Size", *TINY]
    assert "other code" not in mine(*chosen).stdout
    (state,) = mine.states().values()
    assert state["provenance"]["engine"] == "native", "from traced parts"
    user.edit(tmp_path, "self.slope * z)", "self.slope * z * 2)")
    user.edit(tmp_path, ".abs()\n", ".square()\n")
    again = mine(*chosen)
    for named in ("activation=my_parts.Slope", "replacement.utility=my_parts.Size"):
        note = f"1 finished run was computed with other code for {named}; force=true starts it over."
        assert again.returncode == 0 and note in again.stdout.splitlines()
    before = mine.tables()
    forced = mine(*chosen, "force=true")
    assert forced.returncode == 0 and "other code" not in forced.stdout
    assert "other code" not in mine(*chosen).stdout
    assert mine.tables() != before


def test_a_run_whose_part_was_edited_since_it_was_killed_starts_over(mine, tmp_path):
    run = [
        "engine=reference",
        "activation=my_parts.Slope",
        "model.width=6",
        "model.depth=2",
        "diagnostics=none",
    ]
    run += ["dataset.tasks=30", "dataset.examples_per_task=20", "checkpoint_seconds=1e-6"]
    folder = kill_after_checkpoint(mine, *run, pause=0)
    user.edit(tmp_path, "self.slope * z)", "self.slope * z * 2)")
    done = mine(*run)
    assert done.returncode == 0, done.stderr
    assert "1 run was begun with other code for activation=my_parts.Slope, and starts over." in done.stdout
    state, resumed = json.loads((folder / "state.json").read_text()), mine.tables()
    assert state["notes"] == [
        "Attempt 2 started over: it was begun with other code for activation=my_parts.Slope."
    ]
    codes = [attempt["code"]["activation=my_parts.Slope"] for attempt in state["attempts"]]
    assert len(set(codes)) == 2 and state["provenance"]["code"]["activation=my_parts.Slope"] == codes[1]
    assert [attempt["task"] for attempt in state["attempts"]] == [0, 0]
    assert mine(*run, "force=true").returncode == 0 and mine.tables() == resumed


REFUSED = {
    "activation=my_parts.Slope activation.slpoe=1": "activation.slpoe=1 is refused: it must be activation.slope",
    "activation=slope activation.slpoe=1": "activation.slpoe=1 is refused: it must be activation.slope",
    "activation=slope activation.slope=2": "activation.slope=2 is refused: it must be a number of at least 0",
    "diagnostics=mean_weight diagnostics.mean_weight.every=0": "diagnostics.mean_weight.every=0 is refused",
    "activation=missing.Slope": "activation=missing.Slope is refused: it must be a class that can be imported",
    "activation=absent": "activation._target_=absent.Slope is refused: it must be a class that can be imported",
    "activation=broken.Slope": "that can be imported (ZeroDivisionError: division by zero)",
    "activation=my_parts.Slop": "activation=my_parts.Slop is refused: it must be a class that can be imported",
    "activation=pathlib.Path": "activation=pathlib.Path is refused: it must be a subclass of plasticity.Act",
    "activation=my_parts.L2Init": "it must be a subclass of plasticity.Activation",
    "replacement/utility=my_parts.Slope": "it must be a subclass of plasticity.Utility",
    "diagnostics=my_parts.Slope": "it must be a subclass of plasticity.Diagnostic",
}


def test_a_mistake_about_an_own_part_is_refused_with_one_sentence(mine, here):
    (mine.folder / "broken.py").write_text("1 / 0")
    (mine.folder / "my_conf" / "activation" / "absent.yaml").write_text("_target_: absent.Slope\n")
    for number, (overrides, said) in enumerate(REFUSED.items()):
        with pytest.raises(UserError) as refused:
            compose_settings([*overrides.split(), *TINY], config_dir="my_conf")
        sentence = str(refused.value)
        assert len(sentence.splitlines()) == 1 and said in sentence
        if number % 4 == 0:  # as a command says it
            done = mine(*CONF, *overrides.split(), *TINY)
            assert done.returncode != 0 and done.stdout == "" and not mine.folders()
            assert done.stderr.strip() == sentence


RESUMED = [
    "engine=native", "activation=my_parts.Slope", "replacement/utility=my_parts.Size",
    "regulariser=my_parts.L2Init", "optimiser=my_parts.Sign", *ALL[2:4], "model.width=6", "model.depth=2",
    "diagnostics=none", "dataset.tasks=60", "dataset.examples_per_task=60", "checkpoint_seconds=1e-6",
]  # fmt: skip


def test_a_killed_run_of_traced_parts_resumes_to_the_same_numbers(mine):
    folder = kill_after_checkpoint(mine, *RESUMED, pause=0)
    done = mine(*RESUMED)
    assert done.returncode == 0, done.stderr
    state, resumed = json.loads((folder / "state.json").read_text()), mine.tables()
    assert state["provenance"]["engine"] == "native" and state["attempts"][1]["task"] > 0
    assert mine(*RESUMED, "force=true").returncode == 0 and mine.tables() == resumed


def test_launches_at_once_build_a_traced_part_once(mine, tmp_path):
    own = ["activation=my_parts.Slope", *TINY, "engine=native"]
    cache = {"PLASTICITY_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache" / "kernel").mkdir(parents=True)
    shutil.copy(build.library(), tmp_path / "cache" / "kernel")
    kernels = set((tmp_path / "cache" / "kernel").iterdir())
    started = [mine.fork(*own, f"seed={seed}", **cache) for seed in (1, 2)]
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    (built,) = set((tmp_path / "cache" / "kernel").iterdir()) - kernels
    whole = built.read_bytes()
    built.write_bytes(whole[: len(whole) // 2])
    assert mine(*own, "seed=3", **cache).returncode == 0 and built.read_bytes() == whole
    without = cache | {"CC": "/nonexistent"}
    assert mine(*own, "seed=4", **without).returncode == 0
    built.unlink()
    refused = mine(*own, "seed=5", **without)
    assert "The native engine needs a C compiler, but /nonexistent was not found" in refused.stderr
