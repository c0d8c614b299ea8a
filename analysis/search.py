"""The command that ranks the runs of a search: python -m plasticity.analysis search --help."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import method_name, recipes
from plasticity.errors import UserError
from plasticity.machine.files import atomic_write
from plasticity.objectives import score_text
from plasticity.part import Part, one_of
from plasticity.run import Run, flatten, number_text, short_key

from .command import config_argument, parsed, source_arguments, sources, table_runs, write
from .entry import command
from .experiments import Experiment, launch_command, varying
from .render import Cell, Section, Table, text
from .statistics import describe, paired


def searched(name: str) -> dict[str, str]:
    """The keys that are tuned for a method, by what tables call them: the last part, if that tells them apart."""
    keys = list(recipes()[name].grid)
    short = [short_key(key) for key in keys]
    return {one if short.count(one) == 1 else key: key for one, key in zip(short, keys, strict=True)}


@dataclass(frozen=True)
class Ranking:
    """The settings of a method, the best first.

    Attributes:
        method: its name.
        settings: a row per setting: its hyperparameters; `mean`, `std`, `sem`, `low`, `high` as from
            `analysis.statistics.describe`; `seeds`, `failed` and `missing`, numbers of runs; `scores`, by seed.
            Settings with a failed run come last, and among both kinds those without a score.
        higher_is_better: which is the better of two scores.
    """

    method: str
    settings: pd.DataFrame
    higher_is_better: bool

    @property
    def best(self) -> pd.Series | None:
        """The first setting; None if every setting lacks a score or has a run that failed."""
        first = self.settings.iloc[0]
        return None if first["failed"] or not first["seeds"] else first

    def warnings(self) -> list[str]:
        """Why the best may not be the best: runs are missing, it is on the grid's edge, or the next is as good."""
        said = []
        lacking = int(self.settings["missing"].sum())
        if lacking:
            said.append(f"{lacking} of its runs are missing")
        if self.best is None:
            return [*said, "every setting lacks scores or has a run that failed"]
        for name in searched(self.method):
            values = sorted(
                set(self.settings[name]), key=str if self.settings[name].dtype == object else None
            )
            if (
                self.settings[name].dtype != object
                and len(values) > 1
                and self.best[name] in (values[0], values[-1])
            ):
                side = "smallest" if self.best[name] == values[0] else "largest"
                value = number_text(self.best[name])
                said.append(f"{name}={value} is the {side} of the grid: the best may lie beyond")
        return [*said, *self._ties()]

    def _ties(self) -> list[str]:
        """The settings that seeds cannot tell from the best: a paired 95 % interval of the difference holds 0."""
        assert self.best is not None
        alike = []
        for _, other in self.settings.iloc[1:].iterrows():
            if other["failed"] or not other["seeds"]:
                continue
            seeds = sorted(set(self.best["scores"]) & set(other["scores"]))
            if len(seeds) < 2:
                return ["with fewer than two seeds in common, nothing tells it from the next"]
            difference = np.array([self.best["scores"][seed] - other["scores"][seed] for seed in seeds])
            interval = paired(difference).interval()
            if interval.low <= 0 <= interval.high:
                alike.append(_setting(self.method, other))
        more = f" and {len(alike) - 3} more" if len(alike) > 3 else ""
        return [f"these seeds cannot tell it from {', '.join(alike[:3])}{more}"] if alike else []


def rank(experiment: Experiment) -> list[Ranking]:
    """A ranking for each method of a search.

    Args:
        experiment: a search, and what is known of its runs.

    Raises:
        UserError: for a run whose parts fit no method, or when the runs of a method differ in
            more than its hyperparameters and their seeds.
    """
    groups: dict[str, dict[tuple[Any, ...], list[pd.Series]]] = {}
    others: dict[str, list[dict[str, Any]]] = {}
    for _, row in experiment.found.iterrows():
        run = experiment.runs[row["run"]]
        name = method_name(run)
        if name not in recipes():
            raise UserError(
                f"A search compares methods, {one_of(list(recipes()))}; {name} is none of them ({row['run']})."
            )
        flat = flatten(run.values())
        values = tuple(_number(flat.pop(key)) for key in searched(name).values())
        others.setdefault(name, []).append({key: value for key, value in flat.items() if key != "seed"})
        groups.setdefault(name, {}).setdefault(values, []).append(row)
    if keys := varying(others.values()):
        raise UserError(
            f"A search covers one network on one data set, but these runs also differ in {', '.join(keys)}: choose "
            "one value for each."
        )
    objective = next(iter(experiment.runs.values())).dataset.objective
    return [
        Ranking(name, _ordered(name, settings, objective.higher_is_better), objective.higher_is_better)
        for name, settings in groups.items()
    ]


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _ordered(
    name: str, settings: dict[tuple[Any, ...], list[pd.Series]], higher_is_better: bool
) -> pd.DataFrame:
    rows = []
    for values, runs in settings.items():
        scores = {int(run["seed"]): float(run["score"]) for run in runs if pd.notna(run["score"])}
        failed = sum(run["status"] == "failed" for run in runs)
        rows.append(
            dict(zip(searched(name), values, strict=True))
            | describe(np.array(list(scores.values())))
            | {"seeds": len(scores), "failed": failed, "missing": len(runs) - len(scores) - failed}
            | {"scores": scores}
        )
    frame = pd.DataFrame(rows)
    order = frame.assign(bad=frame["failed"] > 0, score=-frame["mean"] if higher_is_better else frame["mean"])
    return frame.loc[order.sort_values(["bad", "score"], kind="stable").index].reset_index(drop=True)


def _setting(name: str, row: pd.Series) -> str:
    """A setting as on the command line, without the groups: "step_size=0.005 rate=0.0001"."""
    return " ".join(f"{key}={_shown(row[key])}" for key in searched(name))


def _shown(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(value)


def table(rankings: Sequence[Ranking], score_name: str, percent: bool) -> Table:
    """The rankings, for people."""
    score = partial(score_text, percent=percent, digits=2)
    sections = []
    for ranking in rankings:
        rows = []
        for _, row in ranking.settings.iterrows():
            mean = score(row["mean"]) if row["seeds"] else "–"
            ends = [score(row[end]) for end in ("low", "high")] if row["seeds"] > 1 else []
            state = ", ".join(f"{row[what]} {what}" for what in ("failed", "missing") if row[what])
            shown = [_setting(ranking.method, row), mean, f"[{', '.join(ends)}]" if ends else "–"]
            rows.append([Cell(value) for value in (*shown, str(row["seeds"]), state)])
        sections.append(Section(ranking.method, rows))
    notes = [f"Mean {score_name} over seeds, with Student's 95 % interval; the best first."]
    for ranking in rankings:
        chosen = "none" if ranking.best is None else _setting(ranking.method, ranking.best)
        notes.append(f"{ranking.method}: {chosen}{''.join(f'; {each}' for each in ranking.warnings())}.")
    return Table(["setting", "mean", "95 % interval", "seeds", ""], sections, notes)


def tuned(name: str, rankings: Sequence[Ranking], experiment: Experiment, of: Sequence[str]) -> str:
    """What was chosen, as a file for `conf/tuned/`.

    Args:
        name: of the file, without extension.
        rankings: of the search.
        experiment: the search.
        of: sentences that say where the choice comes from.

    Raises:
        UserError: when a method has no best setting.
    """
    network = next(iter(experiment.runs.values()))
    choices = {}
    for ranking in rankings:
        if ranking.best is None:
            raise UserError(
                f"{name} is not written: every setting of {ranking.method} lacks scores or failed."
            )
        keys = searched(ranking.method)
        choices[ranking.method] = {key: _number(ranking.best[short]) for short, key in keys.items()}
    groups, values = _network(network, experiment.overrides)
    lines = ["# @package _global_", *(f"# {sentence}" for sentence in of), "defaults:"]
    lines += [f"  - override /{group}: {choice}" for group, choice in groups.items()]
    for key in dict.fromkeys(key for choice in choices.values() for key in choice):
        group, _, own = key.partition(".")
        values.setdefault(group, {})[own] = f"${{tuned:{key}}}"
    for group, keys in values.items():
        lines += [f"{group}:", *(f"  {key}: {_yaml(value)}" for key, value in keys.items())]
    lines += ["tuned:", f"  network: {name}", f"  activation: {network.activation.name}", "  methods:"]
    for key, choice in choices.items():
        lines.append(f"    {key}: {{{', '.join(f'{one}: {value!r}' for one, value in choice.items())}}}")
    return "\n".join(lines) + "\n"


LENGTH = ("tasks", "examples", "examples_per_task", "record_every", "root")
"""Keys of a dataset that say how long a run is or where files are, and are not part of a network."""


def _network(run: Run, overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The groups and values that define the network and data set of a search."""
    given = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    groups = {part: given.get(part, getattr(run, part).name) for part in ("activation", "dataset")}
    values = {part: _chosen(getattr(run, part)) for part in groups}
    model = {key: value for key, value in run.model.values().items() if key != "name" and value is not None}
    return groups, {"model": model} | {part: own for part, own in values.items() if own}


def _chosen(part: Part) -> dict[str, Any]:
    """The values of a part that are not its defaults, and not the length of a run."""
    own = part.values()
    return {
        entry.name: own[entry.name]
        for entry in fields(part)
        if entry.name not in LENGTH and own[entry.name] is not None
        if entry.default is MISSING or getattr(part, entry.name) != entry.default
    }


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Reads the arguments, finds the runs, ranks them."""
    parser = argparse.ArgumentParser(
        prog="python -m plasticity.analysis search",
        description="Ranks the settings of experiment=search for each method, and says how certain the best is.",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="as given to launch.py, such as model.width=50"
    )
    source_arguments(parser, "runs")
    parser.add_argument("--experiment", default="search", metavar="NAME", help="the search (default: search)")
    parser.add_argument("--write", metavar="NAME", help="write the choice as conf/tuned/NAME.yaml")
    config_argument(parser, "; with --write: where the file goes, in place of conf/")
    arguments = parsed(parser)
    summaries = table_runs(sources(arguments) or ["runs"])
    configs = arguments.config_dir
    to_be_made = arguments.write and configs and not configs.exists()
    experiment = Experiment.of(
        arguments.experiment, arguments.overrides, summaries, None if to_be_made else configs
    )
    rankings = rank(experiment)
    objective = next(iter(experiment.runs.values())).dataset.objective
    shown = table(rankings, objective.score_name, objective.percent)
    shown.notes.extend(experiment.missing())
    write(text(shown), None)
    if arguments.write:
        path = (arguments.config_dir or conf_directory()) / "tuned" / f"{arguments.write}.yaml"
        run = next(iter(experiment.runs.values()))
        seeds = len({each.seed for each in experiment.runs.values()})
        named = ["--experiment", arguments.experiment] if arguments.experiment != "search" else []
        again = shlex.join(["python", "-m", "analysis.search", *arguments.overrides, *named])
        length = f"{run.dataset.tasks:,} tasks, {seeds} seed{'s' * (seeds > 1)}"
        source = [
            f"Chosen by {experiment.command}",
            f"and {again}: {len(experiment.finished)} of {len(experiment.runs)} runs of {length}.",
            *shown.notes[1 : 1 + len(rankings)],
        ]
        contents = tuned(arguments.write, rankings, experiment, source)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, lambda file: file.write(contents.encode()), mode=0o644)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}).") from error
        print(f"Written to {path}. Use it with: {launch_command(configs, f'tuned={arguments.write}')}")


if __name__ == "__main__":
    command(main)
