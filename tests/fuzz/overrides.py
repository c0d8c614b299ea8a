"""Whatever is typed: a command line ends by itself, with a sentence where it is wrong, and leaves no file."""

import contextlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hypothesis import strategies as st

from plasticity.launch import command

SECONDS = 60
"""Seconds after which a command line counts as stuck: many, since a busy machine may be slow."""

GROUPS = {
    "activation": ["relu", "tanh", "selu", "gelu", "plasticity.activations.ReLU", "os.path.join"],
    "replacement": ["all", "none", "last", "layer_1", "layer_9", "layer_0", "except_first"],
    "replacement/utility": ["weight", "random", "contribution"],
    "replacement/method": ["cbp"],
    "regulariser": ["l2", "none"],
    "model": ["mlp"],
    "dataset": ["permuted_mnist"],
    "optimiser": ["sgd"],
    "diagnostics": ["none"],
    "engine": ["auto", "native", "reference"],
    "tracker": ["none", "wandb"],
    "tuned": ["width_20", "selu", "depth_2"],
    "experiment": ["first_layer"],
    "hydra/launcher": ["local", "slurm", "basic"],
    "hydra/job_logging": ["none", "stdout"],  # not the default, which writes a file
}
KEYS = [
    *("model.width", "model.depth", "model.widths", "activation.slope", "replacement.layers"),
    *("replacement.rate", "replacement.maturity_threshold", "replacement.decay_rate", "replacement.utility"),
    *("regulariser.strength", "dataset.tasks", "dataset.examples_per_task", "dataset.batch_size"),
    *("dataset.root", "optimiser.step_size", "engine.name", "tracker.every", "tracker.mode", "tuned.method"),
    *("seed", "force", "checkpoint_seconds", "launch", "launch.workers", "launch.impossible"),
    *("launch.minutes_per_job", "launch.runs_per_job", "launch.freeze", "hydra.launcher.partition"),
    *("hydra.launcher.additional_parameters", "hydra.verbose", "hydra.job.name", "hydra", "hydra.mode"),
]

numbers = st.one_of(
    st.integers(-3, 12).map(str),
    st.sampled_from(["2147483648", "9223372036854775807", "9223372036854775808", "1e30", "1" + "0" * 400]),
    st.floats(allow_nan=False, width=64).map(repr),
    st.sampled_from(["nan", "inf", "-inf", "1e-320", "0x10", "1_0", "-0.0", "1e400", "0.5"]),
)
words = st.one_of(
    st.sampled_from([name for names in GROUPS.values() for name in names]),
    st.sampled_from(
        ["null", "true", "no", "???", "''", '"', "'", "{", "[", "a b", "ü", "%", "$", "\\", "a=b"]
    ),
    st.sampled_from(["${seed}", "${model.width}", "${nothing}", "${oc.env:NOTHING}", "${", "${model}"]),
    st.text(max_size=6).filter(lambda text: "\0" not in text),
    numbers,
)
values = st.one_of(
    words,
    st.lists(words, max_size=3).map(lambda some: f"[{','.join(some)}]"),
    st.lists(words, max_size=3).map(",".join),
    st.tuples(words, words).map(lambda pair: f"{{{pair[0]}: {pair[1]}}}"),
    st.lists(words, max_size=2).map(lambda some: f"choice({','.join(some)})"),
    st.tuples(numbers, numbers).map(lambda pair: f"range({','.join(pair)})"),
    st.sampled_from(
        ["glob(*)", "interval(0,1)", "range(0,1e9)", "range(1000000000)", "sort(3,1)", "shuffle(1,2)"]
    ),
)
chosen = st.sampled_from([(group, name) for group, names in GROUPS.items() for name in names]).map("=".join)
assignments = st.tuples(
    st.sampled_from(["", "", "", "+", "++", "~"]),
    st.one_of(st.sampled_from([*KEYS, *GROUPS]), st.text("abz._/@:$[]-", min_size=1, max_size=8)),
    st.sampled_from(["=", "=", "=", "", "=="]),
    values,
).map("".join)
flags = st.sampled_from(
    ["--cfg", "--resolve", "--info", "--version", "--nonsense", "job", "-c", "--package", "-p"]
)
command_lines = st.tuples(
    st.sampled_from([[], ["-m"], ["-m"]]),
    st.lists(st.one_of(assignments, assignments, chosen, flags), min_size=1, max_size=4),
).map(lambda pair: [*pair[0], *pair[1]])


def run(arguments: list[str]) -> None:
    """Makes a dry run of a command line in an empty folder.

    Raises:
        AssertionError: when it ends in any way but with an exit code or a sentence, or leaves anything behind.
    """
    if any(
        argument.startswith("-") and set(argument[1:]) & set("hs")
        for argument in arguments
        if len(argument) < 4
    ):
        return  # help, and shell completion
    if arguments[-1] in ("--package", "-p"):
        return  # which would take runs_dir for its value
    with tempfile.TemporaryDirectory() as place, _process_of_its_own(Path(place), arguments), _limit():
        try:
            command.main()
        except SystemExit as end:
            assert "Traceback" not in str(end.code), end.code
        assert not list(Path(place, "cwd").iterdir()), f"left in the working directory by {arguments}"
        left = list(Path(place, "runs").glob("*"))
        assert not left, f"{left} are left by {arguments}"


@contextlib.contextmanager
def _process_of_its_own(place: Path, arguments: list[str]) -> Iterator[None]:
    """Puts this process into the state in which a command starts, and restores it afterwards."""
    before, argv, environment, path = Path.cwd(), sys.argv, dict(os.environ), list(sys.path)
    GlobalHydra.instance().clear()
    (place / "cwd").mkdir()
    os.chdir(place / "cwd")
    sys.argv = ["launch.py", *arguments, f"runs_dir={place / 'runs'}", "launch.dry_run=true"]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.chdir(before)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        GlobalHydra.instance().clear()


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def stuck(*_: object) -> None:
        raise AssertionError(f"stuck for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
