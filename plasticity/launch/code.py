"""The code that jobs run: the package, and the modules of the users' own parts."""

import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import plasticity
from plasticity.composition.settings import Settings
from plasticity.errors import ConfigError
from plasticity.part import PACKAGE, Part, nested
from plasticity.run import Run

IGNORED = shutil.ignore_patterns("__pycache__", ".*")


def freeze(modules: dict[str, Path], folder: Path) -> None:
    """Copies the package and the users' modules, as they are now.

    Along with a module goes what was imported from its folder, unless packages are installed there.

    Args:
        modules: from `users_modules`.
        folder: where the copies go.
    """
    package = Path(plasticity.__file__).parent
    shutil.copytree(package, folder / package.name, ignore=IGNORED)
    beside = {path.parent for path in modules.values()} - _installed()
    for name in [name for name in sys.modules if "." not in name and name not in (PACKAGE, "__main__")]:
        path = _location(sys.modules[name])
        if path is not None and (name in modules or path.parent in beside):
            _copy(path, folder)


def check_modules(runs: Iterable[Run], settings: Settings) -> None:
    """Checks that the processes of a launch can import the users' own parts.

    Args:
        runs: the runs.
        settings: hold the parts that don't affect results.

    Raises:
        ConfigError: for a part of a notebook, or of the script that was started.
    """
    for key, part in _parts(runs, settings):
        if type(part).__module__ == "__main__":
            valid = (
                "a class in a module that other processes can import; one defined in a notebook, or in the script "
                "that was started, works only with plasticity.train"
            )
            raise ConfigError(key, part.name, valid)


def users_modules(runs: Iterable[Run], settings: Settings) -> dict[str, Path]:
    """The modules outside the package that define parts of runs or settings.

    Returns:
        the file of each module, or the folder of its top-level package, by name
    """
    parts = [part for _, part in _parts(runs, settings)]
    bases = {base for part in parts for base in type(part).__mro__ if issubclass(base, Part)}
    names = {base.__module__.partition(".")[0] for base in bases} - {PACKAGE}
    found = {name: _location(sys.modules[name]) for name in sorted(names)}
    return {name: path for name, path in found.items() if path is not None}


def _parts(runs: Iterable[Run], settings: Settings) -> list[tuple[str, Part]]:
    """Every part that a launch's processes need, with its key."""
    of_runs = [pair for run in runs for pair in nested(run.parts()).items()]
    return [
        *of_runs,
        *(("diagnostics", part) for part in settings.diagnostics),
        ("tracker", settings.tracker),
    ]


def _location(module: ModuleType) -> Path | None:
    """The file of a module, or the folder of a package; None for a built-in module."""
    spec = module.__spec__
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return None
    folders = list(spec.submodule_search_locations or [])
    return Path(folders[0] if folders else str(spec.origin)).absolute()


def _installed() -> set[Path]:
    """The folders of the standard library and of installed packages."""
    return {Path(path).absolute() for path in sysconfig.get_paths().values()}


def _copy(path: Path, folder: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, folder / path.name, ignore=IGNORED)
    elif path.is_file():
        shutil.copy2(path, folder)
