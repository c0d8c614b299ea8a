"""The package as pip installs it: what is in it, and its command in an environment of its own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from plasticity import __version__

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("dataset.tasks=1", "dataset.examples_per_task=50")
NEITHER = (".*", "runs", "results", "build", "*.egg-info", "__pycache__", "wandb", "outputs", "multirun")
"""Parts of a checkout that git does not track, or that are too large to copy."""


def python(*arguments: object, cwd: Path) -> str:
    """What a Python command prints to standard output; the command has to succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(tree: Path, output: Path) -> Path:
    """Builds the wheel of a source tree without touching the network."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    python("-m", "pip", "wheel", *options, "--wheel-dir", output, tree, cwd=tree)
    (wheel,) = output.glob("*.whl")
    return wheel


def files(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the checkout, so that building leaves nothing in it."""
    pytest.importorskip("setuptools", reason="building a wheel needs setuptools")
    copy = tmp_path_factory.mktemp("source") / "plasticity"
    return shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NEITHER))


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory) -> Path:
    return build_wheel(tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Makes an environment: its bin folder, and what installs there; other packages are those of ours."""

    def make(name: str):
        folder = tmp_path_factory.mktemp(name)
        venv.create(folder, symlinks=True)
        paths = {"base": str(folder), "platbase": str(folder)}
        site_packages = Path(sysconfig.get_path("purelib", "venv", paths))
        others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (site_packages / "others.pth").write_text("\n".join(others))
        bin_folder = Path(sysconfig.get_path("scripts", "venv", paths))
        options = ["--no-deps", "--no-index", "--quiet", "--ignore-installed", "--no-compile"]

        def install(*what: object) -> None:
            pip = ("-m", "pip", "--python", bin_folder / "python")
            python(*pip, "install", *options, *what, cwd=folder)

        return bin_folder, install

    return make


@pytest.fixture(scope="module")
def installed(wheel, environment) -> Path:
    """The bin folder of a new environment with the wheel."""
    bin_folder, install = environment("environment")
    install(wheel)
    return bin_folder


@pytest.fixture
def here(installed, tmp_path):
    """Runs a command of the new environment in an empty folder."""

    def run(command: str, *arguments: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [installed / command, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_every_config_kernel_source_and_module_and_nothing_else(wheel):
    names = files(wheel)
    expected = {
        f"plasticity/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")
    }
    for pattern in ("plasticity/engines/kernel/*.[ch]", "hydra_plugins/*.py"):
        expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
    expected |= {
        str(path.relative_to(ROOT)) for path in ROOT.glob("plasticity/**/*.py") if "conf" not in path.parts
    }
    for pattern in ("analysis/**/*.py", "analysis/report/page.*"):
        expected |= {
            f"plasticity/{path.relative_to(ROOT)}" for path in ROOT.glob(pattern) if path.suffix != ".pyc"
        }
    expected.add("plasticity/py.typed")
    assert len(expected) > 140
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_wheel_holds_the_licence_and_names_it(wheel):
    archive = zipfile.ZipFile(wheel)
    (licence,) = (
        name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/(.*/)?LICENSE", name)
    )
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert "\nLicense: MIT\n" in archive.read(metadata).decode()


def test_the_source_distribution_has_no_tests_and_builds_the_same_wheel(tree, wheel, tmp_path):
    code = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
    python("-c", code.format("sdist"), tmp_path, cwd=tree)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as contents:
        contents.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert not (source / "tests").exists()
    assert (source / "LICENSE").is_file() and (source / "CITATION.cff").is_file()
    python("-c", code.format("wheel"), tmp_path, cwd=source)
    (again,) = tmp_path.glob("*.whl")
    assert files(again) == files(wheel)


def test_the_installed_command_explains_itself(here, installed):
    where = Path(here("python", "-c", "import plasticity; print(plasticity.__file__)").strip())
    assert where.is_relative_to(installed.parent)
    assert "== Groups ==" in here("plasticity", "--help")


def test_the_installed_command_computes_runs_in_any_folder(here, tmp_path):
    swept = here("plasticity", "-m", "replacement=all,layer_1", *SHORT)
    assert "2 runs: 0 finished, 0 resumed, 2 new" in swept and "2 of 2 runs finished" in swept
    alone = here("plasticity", *SHORT)
    assert "Score " in alone and "It was finished before" in alone
    assert len(list((tmp_path / "runs").glob("*/tasks.csv"))) == 2
    (tmp_path / "analysis.py").write_text("raise SystemExit('the file of the user')\n")
    (shown,) = set(re.findall(r"python -m (plasticity.*)", swept))
    assert "2 runs: 2 finished." in here("python", "-m", *shown.split())
    assert "2 runs: 2 finished." in here("plasticity-analysis", "runs")
    listed = here("plasticity-analysis", "--help")
    assert listed == here("python", "-m", "plasticity.analysis", "--help") and "  publish_figures " in listed


def test_a_notebook_beside_an_editable_clone_imports_the_package(environment, tree):
    """The clone's folder has the package's name, and stands in the folder where Python starts."""
    bin_folder, install = environment("editable")
    install("--no-build-isolation", "--editable", tree)
    code = "import plasticity, plasticity.analysis as a; print(plasticity.Run().seed, a.load_runs.__name__)"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [bin_folder / "python", "-c", code], cwd=tree.parent, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("0 load_runs\n", "")


def test_the_citation_is_of_this_version_and_has_what_the_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0" and citation["license"] == "MIT"
    assert citation["version"] == __version__
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
    assert "10.1038/s41586-024-07711-7" in [reference.get("doi") for reference in citation["references"]]
