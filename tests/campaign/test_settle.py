"""Worker processes leave Ctrl-C and its like to the parent, from their first moment."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from vmsmp.campaign.settle import ENDING, interrupts_held


def blocked():
    return set(ENDING) & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def told(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_meanwhile_the_signals_are_held_back():
    with interrupts_held():
        assert set(ENDING) == blocked()
    assert set() == blocked()


def test_a_process_that_starts_meanwhile_starts_so():
    with interrupts_held():
        out = told("import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))")
    assert f"{sorted(ENDING)}\n" == out


@pytest.mark.parametrize(("core", "wanted"), [(7, "7"), (None, "None")])
def test_a_settled_process_ignores_them_and_may_have_a_core(core, wanted):
    script = (
        "import os\n"
        "from vmsmp.campaign.settle import ENDING, settle\n"
        f"settle({core})\n"
        "for number in ENDING:\n"
        "    os.kill(os.getpid(), number)\n"
        "print(os.environ.get('VMSMP_CORE'))\n"
    )
    assert f"{wanted}\n" == told(script)
