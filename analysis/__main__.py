"""The one command for everything that is done with runs: python -m plasticity.analysis --help."""

import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from .entry import command

COMMANDS = {
    "runs": (".runs", "every run, its progress and its score; means by any key"),
    "curves": (".curves", "any column by task, with a curve for each value of any key"),
    "table": (".tables.table", "a table of any runs: rows and columns by any key, compared with a baseline"),
    "report": (".report.command", "one page about runs: tables, findings, figures, runs and versions"),
    "search": (".search", "the settings of a search, ranked; writes the choice as a tuned network"),
    "rates": (".rates", "the rate at which runs replaced units, for the control method=random"),
    "collect": (".collect", "collects run folders into compact files such as those in results/"),
    "diagnose": ("plasticity.diagnose", "measures finished runs, from their snapshots"),
    "table_1": (".paper.table_1", "Table 1 as measured; --compare published adds the paper's numbers"),
    "findings": (".paper.findings", "the paper's claims, as tests on these runs"),
    "figures": (".paper.figures", "the paper's figures, drawn from the committed results or your own runs"),
    "calibration": (".paper.calibration", "Table 1, measured minus published, against a normal distribution"),
    "publish": ("plasticity.track.__main__", "publishes stored runs to Weights & Biases"),
    "dashboard": ("plasticity.track.dashboard", "a Weights & Biases workspace for published runs"),
    "publish_figures": ("plasticity.track.figures", "publishes figures and tables to Weights & Biases"),
}
"""Each command's name; the module with its `main`, imported only when it runs; and what it does."""


def main() -> None:
    """Runs the command that the first argument names, with the other arguments."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(_help())
        return
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "--help lists the commands."
        sys.exit(f"{name} is refused: there is no such command; {hint}")
    del sys.argv[1]
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where users keep the modules of their own parts
    command(import_module(COMMANDS[name][0], __package__).main)


def _help() -> str:
    listed = "\n".join(f"  {name:<16} {does}" for name, (_, does) in COMMANDS.items())
    return (
        f"usage: python -m plasticity.analysis COMMAND [ARGUMENT ...]\n\n{listed}\n\n"
        "COMMAND --help explains the arguments of each."
    )


if __name__ == "__main__":
    main()
