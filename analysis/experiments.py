"""The runs of an experiment, as its file in `conf/` declares them, and what is known of each."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from plasticity.composition.compose import experiment
from plasticity.composition.labels import labels as launch_labels
from plasticity.composition.methods import method_name
from plasticity.errors import UserError
from plasticity.run import Run, flatten, number_text

from .folders import config_values

Label = Callable[[Run], str]
"""What a run is called in a figure or table."""


MOST = 12
"""The most kinds of missing runs that a sentence lists."""


@dataclass(frozen=True)
class Experiment:
    """An experiment, and what is known of its runs.

    Attributes:
        name: its file in `conf/experiment/`.
        overrides: further arguments of its command, such as "seed=0,1".
        runs: its runs by identity, in its order.
        found: a row per run: `run`, `seed`, `tasks`, `status` ("absent" where there is no such run), `score` (NaN
            unless finished) and the other columns of `analysis.summarise`.
        config_dir: a further directory of configs that the command uses.
    """

    name: str
    overrides: tuple[str, ...]
    runs: Mapping[str, Run]
    found: pd.DataFrame
    config_dir: Path | None = None

    @classmethod
    def of(
        cls, name: str, overrides: Sequence[str], summaries: pd.DataFrame, config_dir: Path | None = None
    ) -> "Experiment":
        """An experiment, and what some summaries say of its runs.

        Args:
            name, overrides, config_dir: as in its command.
            summaries: as returned by `analysis.summarise`.

        Raises:
            UserError: when there is no such experiment, or the overrides do not fit.
        """
        for override in overrides:
            if override.startswith("runs_dir="):
                raise UserError(f"{override} is refused here: --runs {override[9:]} says where the runs are.")
        runs = {run.identity: run for run in experiment(name, *overrides, config_dir=config_dir)}
        asked = [(key, run.seed, run.dataset.tasks) for key, run in runs.items()]
        frame = pd.DataFrame(asked, columns=["run", "seed", "tasks"])
        found = frame.merge(summaries.drop(columns=["seed", "tasks"], errors="ignore"), on="run", how="left")
        found["status"] = found["status"].fillna("absent")
        return cls(name, tuple(overrides), runs, found, config_dir)

    @property
    def command(self) -> str:
        """The command that computes what is missing, and nothing else."""
        return launch_command(self.config_dir, f"experiment={self.name}", *self.overrides)

    @property
    def finished(self) -> set[str]:
        """Identities of the runs that have a score."""
        return set(self.found.loc[self.found["score"].notna(), "run"])

    def described(self) -> pd.DataFrame:
        """`found`, with the config of every run and what its score is, even of missing ones, in the columns of
        `analysis.summarise`."""
        known = [config_values(run.values()) | _kind_of_score(run) for run in self.runs.values()]
        configs = pd.DataFrame(known, index=list(self.runs))
        others = self.found.drop(columns=[name for name in configs if name != "seed"], errors="ignore")
        return others.join(configs.drop(columns="seed"), on="run")

    def labelled(self, tasks: pd.DataFrame, labels: Mapping[str, Label]) -> pd.DataFrame:
        """The rows of its finished runs, with a categorical column for each of some labels.

        Args:
            tasks: as returned by `analysis.load_runs`.
            labels: what the runs are called, by column. The categories of a column are in the order of the runs,
                including those of missing runs.

        Raises:
            UserError: when runs that are called the same differ in more than their seeds.
        """
        if keys := self._mixed(labels.values()):
            raise UserError(
                f"{self.name} is refused: its curves would be means over runs that differ in {', '.join(keys)}."
            )
        rows = tasks[tasks["run"].isin(self.finished)].copy()
        for column, label in labels.items():
            names = {key: label(run) for key, run in self.runs.items()}
            rows[column] = pd.Categorical(rows["run"].map(names), list(dict.fromkeys(names.values())))
        return rows

    def _mixed(self, labels: Iterable[Label]) -> list[str]:
        """The config keys, other than the seed, that differ between runs to which all labels give one name."""
        alike: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for run in self.runs.values():
            name = tuple(label(run) for label in labels)
            alike.setdefault(name, []).append(flatten(replace(run, seed=0).values()))
        return varying(alike.values())

    def missing(self, *labels: Label) -> list[str]:
        """Two sentences: which runs have no score, and the command that computes them; none if nothing is missing.

        Args:
            labels: what the runs are called; by default, the values that differ between them.
        """
        lacking = self.found[self.found["score"].isna()]
        if lacking.empty:
            return []
        names = self._names(labels)
        seeds: dict[tuple[str, str], list[str]] = {}
        for _, row in lacking.iterrows():
            why = "" if row["status"] == "absent" else f": {problem(row)}"
            seeds.setdefault((names[row["run"]], why), []).append(str(row["seed"]))
        clauses = [f"{name} (seed {', '.join(each)}{why})" for (name, why), each in seeds.items()]
        more = [f"and {len(clauses) - MOST} more"] if len(clauses) > MOST else []
        which = f": {'; '.join([*clauses[:MOST], *more])}"
        if (self.found["status"] == "absent").all():
            which = ""  # there is none yet: the command says it all
        return [
            f"Missing: {len(lacking)} of {len(self.runs)} runs{which}.",
            f"To compute what is missing: {self.command}",
        ]

    def _names(self, labels: Sequence[Label]) -> dict[str, str]:
        """What the runs are called, by identity, regardless of their seeds."""
        if not labels:
            alike = [replace(run, seed=0) for run in self.runs.values()]
            return dict(zip(self.runs, launch_labels(alike), strict=True))
        return {
            key: ", ".join(filter(None, (label(run) for label in labels))) for key, run in self.runs.items()
        }


def _kind_of_score(run: Run) -> dict[str, Any]:
    objective = run.dataset.objective
    return {name: getattr(objective, name) for name in ("score_name", "percent", "higher_is_better")}


def launch_command(config_dir: Path | None, *overrides: str) -> str:
    """The command that launches what some overrides describe."""
    configs = ["--config-dir", str(config_dir)] if config_dir else []
    return shlex.join(["python", "launch.py", *configs, *overrides])


def varying(groups: Iterable[Sequence[Mapping[str, Any]]]) -> list[str]:
    """The keys in which the members of at least one group differ.

    Args:
        groups: each the flat configs of some runs.
    """
    keys: dict[str, None] = {}
    for first, *others in groups:
        for other in others:
            keys |= dict.fromkeys(key for key in {**first, **other} if first.get(key) != other.get(key))
    return list(keys)


# --- Labels ----------------------------------------------------------------------------------------------


def replacement_set(run: Run) -> str:
    """The layers whose units are replaced: "all layers", "layer 1", "layers 2 to 5", "no replacement"."""
    return set_name(run.replacement.layers, len(run.hidden_units))


def set_name(layers: Sequence[int], depth: int) -> str:
    """What a set of hidden layers is called in a network of some depth."""
    if not layers or len(layers) == depth:
        return "all layers" if layers else "no replacement"
    if len(layers) > 2 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"layers {layers[0]} to {layers[-1]}"
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"


def method(run: Run) -> str:
    """The method, as its recipe labels it: "BP", "CBP", "weight decay"; if it fits none, the names of its parts."""
    return method_name(run, label=True)


def method_as_run(run: Run) -> str:
    """The method, and for continual backpropagation whether it is as described or as in published code."""
    observed = getattr(run.replacement, "observed", None) if run.replacement.layers else None
    return method(run) + (
        "" if observed is None else f" as {'described' if observed == 'hidden' else 'published'}"
    )


def flip(run: Run) -> str:
    """What flips in Bit-Flipping."""
    return {"one": "one bit flips", "all": "all are redrawn"}[run.dataset.flip]  # type: ignore[attr-defined]


def activation(run: Run) -> str:
    """The activation in its usual spelling: "ReLU", "SELU", "tanh"."""
    name = run.activation.name
    return {"selu": "SELU", "elu": "ELU", "gelu": "GELU"}.get(
        name, name.replace("relu", "ReLU").replace("_", " ")
    )


def step_size(run: Run) -> str:
    """The step size."""
    return number_text(run.optimiser.step_size)  # type: ignore[attr-defined]


def nothing(run: Run) -> str:
    """The same empty name for all runs."""
    return ""


def problem(cell: pd.Series) -> str:
    """Why a run has no score."""
    if cell["status"] == "absent":
        return "no such run"
    if cell["status"] == "finished":
        return f"finished, but its score is not a number ({cell['run']})"
    if pd.notna(cell["reason"]):
        return f"{cell['status']}: {str(cell['reason']).rstrip('.')} ({cell['run']})"
    return f"{cell['status']}, {cell['tasks_done']:,.0f} of {cell['tasks']:,} tasks done ({cell['run']})"
