"""What a step costs: python -m benchmarks.step [--networks NAME …] [--methods NAME …] [--parts NAME …]
[--batches SIZE …] [--engines NAME …] [--jax] [--paper-code PATH]

Times the engines after 20,000 steps of training, since the cost of a step depends on how many units are active: on
the networks of the paper; and on the base network with other methods, with parts of a user's own beside the nearest
built-in ones, and in batches. What is timed is chosen by groups, "all" for all of one; without any, it is the
networks. All times are medians on one core, in microseconds per step, with quartiles. Whatever is compared is timed
in turn, round after round, so that a burst of other work on the machine spoils a round and no figure. The floor is
the time that this machine needs to go through the weights that a step must touch, once to read them and once to
change them (see `benchmarks.floor`). Peers are the code behind the paper (--paper-code: a checkout of it), and the
same step in JAX, dense, inside one compiled scan (--jax; `pip install '.[jax]'`).
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import comparison, networks
from benchmarks.comparison import Comparison
from benchmarks.digits import digits
from benchmarks.methods import BATCHES, METHODS
from benchmarks.networks import NETWORKS
from benchmarks.own_parts import PARTS
from benchmarks.timing import Timing
from plasticity.datasets.permuted_mnist import PermutedDigits
from plasticity.engines import ENGINES
from plasticity.run import Run

GROUPS: dict[str, list[str]] = {
    "networks": list(NETWORKS),
    "methods": list(METHODS),
    "parts": list(PARTS),
    "batches": list(BATCHES),
}
"""What can be timed, by name, in groups: an option each."""


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def comparisons(arguments: argparse.Namespace) -> Iterator[Comparison]:
    """The comparisons that are asked for, each with the row that the others are divided by."""
    if arguments.methods:
        yield Comparison.of("methods", {name: METHODS[name] for name in ["cbp", *arguments.methods]})
    for kind in arguments.parts:
        _, own = PARTS[kind]
        yield Comparison.of(kind, PARTS[kind], compiled=(own,))
    if arguments.batches:
        yield Comparison.of("batches", {size: BATCHES[size] for size in ["1", *arguments.batches]})


def read(given: list[str] | None = None) -> argparse.Namespace:
    """The command line: for each group, the names that are timed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--paper-code", metavar="PATH", type=Path, help="a checkout of the paper's code")
    parser.add_argument(
        "--jax", action="store_true", help="time the same step in JAX, too, where it is written"
    )
    for group, names in GROUPS.items():
        parser.add_argument(
            f"--{group}", nargs="+", choices=[*names, "all"], default=[], metavar="NAME",
            help=f"all, or some of: {'; '.join(names)}",
        )  # fmt: skip
    parser.add_argument(
        "--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME",
        help="compiled takes about a minute to compile for each network and each part of one's own",
    )  # fmt: skip
    for option, meaning in (
        ("rounds", "in each of which everything is timed once"),
        ("steps", "of the native engine in a repetition; slow engines take a twentieth of them"),
        ("repetitions", "in a round"),
    ):
        usual = getattr(Timing, option)
        parser.add_argument(f"--{option}", type=_number, default=usual, help=f"{meaning}: {usual} by default")
    arguments = parser.parse_args(given)
    if not any(getattr(arguments, group) for group in GROUPS):
        arguments.networks = ["all"]
    for group, names in GROUPS.items():
        if "all" in getattr(arguments, group):
            setattr(arguments, group, names)
    return arguments


def report(arguments: argparse.Namespace, data: PermutedDigits) -> Iterator[str]:
    """What is printed, piece by piece as it is found."""
    timing = Timing(arguments.rounds, arguments.steps, arguments.repetitions)
    yield networks.LEGEND.format(rounds=timing.rounds)
    if arguments.networks:
        yield f"\n{networks.HEAD}"
    for name in arguments.networks:
        yield networks.table(name, *networks.measure(Run.of(NETWORKS[name]), data, timing, arguments))
    asked = list(comparisons(arguments))
    if asked:
        yield f"\n{comparison.LEGEND.format(tasks=comparison.WARM_UP_TASKS)}"
    for each in asked:
        yield "\n" + comparison.table(each, comparison.measure(each, data, timing, arguments))


def main() -> None:
    arguments = read()
    torch.set_num_threads(1)
    for piece in report(arguments, digits()):
        print(piece, flush=True)


if __name__ == "__main__":
    main()
