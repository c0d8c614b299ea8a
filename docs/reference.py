"""Tables of parts and keys, read from their classes: names, formulas, defaults, what is valid, meanings."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from typing import Any

import yaml
from omegaconf import OmegaConf

from plasticity.composition.cluster import Cluster
from plasticity.composition.groups import conf_directory
from plasticity.composition.methods import recipes
from plasticity.composition.settings import SECTIONS, Settings
from plasticity.diagnostics import Diagnostic
from plasticity.engines.native import NativeEngine
from plasticity.errors import ConfigError, UserError
from plasticity.part import Part, plain, subclasses
from plasticity.replacement import ContinualBackpropagation
from plasticity.run import Run
from plasticity.track.tracker import Tracker
from plasticity.track.trackers import Untracked

KINDS: dict[str, type[Part]] = {
    entry.name: next(kind for kind in type(entry.default).__mro__ if Part in kind.__bases__)
    for entry in fields(Run)
    if isinstance(entry.default, Part)
} | {
    "replacement.utility": next(
        kind for kind in type(ContinualBackpropagation().utility).__mro__ if Part in kind.__bases__
    ),
    "diagnostics": Diagnostic,
    "tracker": Tracker,
}
"""The kinds of parts, by the key that chooses one."""

INNER = {"replacement": "replacement/method", "replacement.utility": "replacement/utility"}
"""The keys whose group of choices has another name."""


class Unexplained(Exception):
    """A key whose class does not say what it means."""


@dataclass(frozen=True)
class Key:
    """A config key as the docs show it."""

    name: str
    default: str
    valid: str
    meaning: str


def parts(group: str) -> str:
    """The parts of a kind: what each is, whether the native engine computes it, and its keys."""
    kind = KINDS[group]
    rows = [
        (f"`{INNER.get(group, group)}={known.name}`", _native(group, known), _said(known))
        for known in named(kind)
    ]
    columns = ["choice", "native", "what it is"]
    if not any(native for _, native, _ in rows):
        columns, rows = ["choice", "what it is"], [(choice, what) for choice, _, what in rows]
    said = [_keys_of(group, known) for known in named(kind)]
    return "\n\n".join([_table(columns, rows), *filter(None, said)])


def keys() -> str:
    """Every key, by section: for the launch, a run's parts, and a cluster."""
    said = ["## Every launch", _rows(_settings())]
    for group, kind in KINDS.items():
        own = [text for known in named(kind) if (text := _keys_of(group, known))]
        said += [f"## `{group}`", *own] if own else []
    said += ["## `hydra.launcher`, on a cluster", _rows(_of_cluster())]
    return "\n\n".join(said)


def methods() -> str:
    """The methods, with the keys that are tuned for each and the grid that a search tries."""
    rows = []
    for recipe in recipes().values():
        grid = "<br>".join(
            f"`{key}`: {', '.join(f'{value:g}' if isinstance(value, float) else str(value) for value in values)}"
            for key, values in recipe.grid.items()
        )
        rows.append((f"`method={recipe.name}`", recipe.label, _comment(f"method/{recipe.name}.yaml"), grid))
    return _table(["choice", "in figures", "what it is", "tuned keys and their grid"], rows)


def choices(group: str) -> str:
    """The files of a group, with the comment that each begins with."""
    names = sorted(path.stem for path in (conf_directory() / group).glob("*.yaml"))
    rows = [(f"`{group}={name}`", _comment(f"{group}/{name}.yaml")) for name in names]
    return _table(["choice", "what it is"], rows)


def named(kind: type[Part]) -> list[type[Part]]:
    """The package's own parts of a kind."""
    return [known for known in subclasses(kind) if "." not in known.name]


def keys_of(prefix: str, section: type) -> Iterator[Key]:
    """The keys of a part, or of a section of the settings.

    Raises:
        Unexplained: for a key that neither its class nor one it inherits from explains.
    """
    for entry in fields(section):
        yield Key(f"{prefix}{entry.name}", _default(entry), _valid(entry), meaning(section, entry.name))


def _keys_of(group: str, known: type[Part]) -> str:
    rows = list(keys_of(f"{group}.", known))
    if group == "diagnostics":
        rows = list(keys_of(f"{group}.{known.name}.", known))
    if not rows or known is Untracked:
        return ""
    return f"Keys of `{INNER.get(group, group)}={known.name}`:\n\n{_rows(rows)}"


def _settings() -> list[Key]:
    defaults = OmegaConf.to_container(OmegaConf.load(conf_directory() / "config.yaml"))
    assert isinstance(defaults, dict)
    found = [Key("seed", "`0`", "a whole number from 0 to 2⁶³ − 1", "the seed of every random draw.")]
    for entry in fields(Settings):
        name = entry.name
        if name in SECTIONS:
            given = defaults.get(name, {"name": "auto"})
            found += [
                Key(key.name, _shown(given[key.name.rpartition(".")[2]]), key.valid, key.meaning)
                for key in keys_of(f"{name}.", SECTIONS[name])
            ]
        elif name in defaults and not isinstance(defaults[name], dict):
            found.append(Key(name, _shown(defaults[name]), _valid(entry), meaning(Settings, name)))
    root = next(entry for entry in fields(Settings) if entry.name == "data_root")
    found.append(Key("dataset.root", "`null`", _valid(root), meaning(Settings, "data_root")))
    return found


def _of_cluster() -> list[Key]:
    given = yaml.safe_load(
        (conf_directory() / "hydra" / "launcher" / "slurm.yaml").read_text(encoding="utf-8")
    )
    return [
        Key(key.name, _shown(given[key.name.rpartition(".")[2]]), key.valid, key.meaning)
        for key in keys_of("hydra.launcher.", Cluster)
    ]


def _default(entry: Field[Any]) -> str:
    if entry.default is not MISSING:
        return _shown(entry.default)
    return _shown(entry.default_factory()) if entry.default_factory is not MISSING else ""


def _shown(value: Any) -> str:
    value = plain(value)
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower().replace('none', 'null')}`"
    if isinstance(value, list):
        return f"`[{','.join(map(str, value))}]`"
    return f"`{value:.10g}`" if isinstance(value, float) else f"`{value}`"


def _valid(entry: Field[Any]) -> str:
    """What a field accepts, in the words with which it refuses anything else."""
    try:
        entry.metadata["check"]("", object())
    except ConfigError as refused:
        return refused.valid
    return ""


def meaning(section: type, key: str) -> str:
    """What a class, or one that it inherits from, says of a key, in the words of a config.

    Raises:
        Unexplained: if none says anything.
    """
    for known in section.__mro__:
        if known is not object and (found := _attributes(known).get(key)):
            return found.replace("None", "null")
    raise Unexplained(f"{section.__module__}.{section.__qualname__}.{key} is explained nowhere.")


@cache
def _attributes(section: type) -> dict[str, str]:
    """What a docstring says of the attributes, by name; `a, b: text` is said of both."""
    text = inspect.cleandoc(section.__doc__ or "")
    found = re.search(r"^Attributes:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    said: dict[str, str] = {}
    for names, meaning in re.findall(
        r"^ {4}([\w, ]+): ((?:.*\n?)(?: {8}.*\n?)*)", found[1] if found else "", re.M
    ):
        said |= dict.fromkeys(names.split(", "), _line(meaning))
    return said


def _said(known: type[Part]) -> str:
    """A docstring without its sections, on one line."""
    text = re.sub(r"^\w+:\n(?:    .*\n?|\n)+", "", inspect.cleandoc(known.__doc__ or ""), flags=re.M)
    return "<br>".join(_line(paragraph) for paragraph in text.strip().split("\n\n"))


def _native(group: str, known: type[Part]) -> str:
    """Whether the native engine computes a run with a part; nothing where it makes no difference."""
    if group in ("diagnostics", "tracker"):
        return ""
    values: Any = {"utility": known.name} if group == "replacement.utility" else {"name": known.name}
    try:
        refused = NativeEngine().unsupported(Run.of({group.partition(".")[0]: values}))
    except UserError:
        return "–"
    return "no" if refused and "native form" in refused else "yes"


def _comment(path: str) -> str:
    """The comment at the head of a file in conf/."""
    lines = (conf_directory() / path).read_text(encoding="utf-8").splitlines()
    head = [line[1:] for line in lines if line.startswith("#") and "@package" not in line]
    return _line(" ".join(map(_command, head))).replace("<br> <br>", "<br>").removesuffix("<br>")


def _command(line: str) -> str:
    """A line of a comment; one that is set in is a command, on a line of its own."""
    return f"<br>`{_line(line)}`<br>" if line.startswith("  ") else line


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _rows(found: list[Key]) -> str:
    rows = [(f"`{key.name}`", key.default, key.valid, key.meaning) for key in found]
    return _table(["key", "default", "valid", "meaning"], rows)


def _table(columns: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, [":--"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
