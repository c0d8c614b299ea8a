import os
import signal
import subprocess
import sys

import pytest
from conftest import ended

from plasticity.machine import copies
from plasticity.machine.copies import in_copies

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(copies, "cores", lambda: 2)


def test_results_come_in_order_from_other_processes():
    held = {"value": lambda number: (number * 10, os.getpid())}  # no pickle has a lambda
    found = in_copies(lambda number: held["value"](number), list(range(7)))
    assert [value for value, _ in found] == [0, 10, 20, 30, 40, 50, 60]
    assert os.getpid() not in {process for _, process in found}


def test_copies_say_nothing(capfd):
    print("said before", end="", flush=False)
    assert in_copies(lambda number: print("said by a copy") or number, [1, 2]) == [1, 2]
    print(", and after")
    assert capfd.readouterr() == ("said before, and after\n", "")


def test_one_argument_is_computed_here():
    assert in_copies(lambda _: os.getpid(), [None]) == [os.getpid()]


def test_what_a_copy_died_of_is_computed_here():
    here = os.getpid()

    def deadly(number):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert in_copies(deadly, [1, 2, 3]) == [1, 2, 3]


def test_copies_end_with_a_killed_original():
    program = (
        "import os, time\n"
        "from plasticity.machine import copies\n"
        "copies.cores = lambda: 2\n"
        "told = os.dup(1)\n"
        "def stay(_):\n"
        "    os.write(told, f'{os.getpid()}\\n'.encode())\n"
        "    time.sleep(60)\n"
        "copies.in_copies(stay, [1, 2])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as original:
        processes = [int(original.stdout.readline()) for _ in range(2)]
        original.kill()
    assert ended(processes, 10)
