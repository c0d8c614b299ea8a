"""What the command answers to many command lines: a process for each, forked from one that has imported it all."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def answers(
    command_lines: Iterable[list[str]], folder: Path = ROOT
) -> dict[tuple[str, ...], subprocess.CompletedProcess]:
    """The exit code and the output of `launch.py` for each command line, started in a folder."""
    lines = [list(line) for line in command_lines]
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(lines), cwd=folder, capture_output=True, text=True,
        env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}, timeout=300, check=True,
    )  # fmt: skip
    found = zip(lines, json.loads(done.stdout), strict=True)
    return {tuple(line): subprocess.CompletedProcess(line, *answer) for line, answer in found}


def _answer(line: list[str]) -> tuple[int, str, str]:
    """What the command does in a fork of this process. In the fork, it ends the interpreter as it always does."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["launch.py", *line]
            main()
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), out.read(), err.read()


if __name__ == "__main__":
    import plasticity.launch.command
    import plasticity.launch.sweep  # noqa: F401
    from plasticity.launch.start import main

    print(json.dumps([_answer(line) for line in json.load(sys.stdin)]))
