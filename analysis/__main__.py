"""The one command for what there is to do with runs: python -m plasticity.analysis --help."""

import sys
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from .entry import command

COMMANDS = {
    "runs": (".runs", "every run, its progress and its score; means by any key"),
    "curves": (".curves", "any column by task, with a curve for each value of any key"),
    "table": (".tables.table", "a table of any runs: rows and columns by any key, compared with a baseline"),
    "report": (".report.command", "one page about runs: tables, findings, figures, runs and their versions"),
    "search": (".search", "the settings of a search, ranked; writes the choice as a tuned network"),
    "rates": (".rates", "how many units runs replaced per unit and step, for the control method=random"),
    "collect": (".collect", "run folders → compact files such as those in results/"),
    "diagnose": ("plasticity.diagnose", "measures finished runs from their snapshots"),
    "table_1": (".paper.table_1", "Table 1, measured; beside the published one with --compare published"),
    "findings": (".paper.findings", "the paper's claims, as tests on these runs"),
    "figures": (".paper.figures", "the paper's figures, drawn from the committed results or your own runs"),
    "calibration": (".paper.calibration", "Table 1, measured minus published, drawn against a normal"),
    "publish": ("plasticity.track.__main__", "stored runs → Weights & Biases"),
    "dashboard": ("plasticity.track.dashboard", "a workspace at Weights & Biases for published runs"),
    "publish_figures": ("plasticity.track.figures", "figures and tables → Weights & Biases"),
}
"""What each command is called; the module that has its `main`, imported only then; and what it does."""


def main() -> None:
    """Runs the command that is named first, with the arguments after it."""
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
