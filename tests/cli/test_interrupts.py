"""Ctrl-C ends every command at once, without a traceback."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
import time

import pytest

from commands import FAILING
from vmsmp.cli.interrupts import Interrupts, endings_as_ctrl_c

#: Prints a line where the command's modules begin to be loaded: before that Ctrl-C is the interpreter's.
LOADING = """
import sys, vmsmp.cli

class Told:
    def find_spec(self, name, *_):
        if name == "vmsmp.cli.command_line":
            print(flush=True)

sys.meta_path.insert(0, Told())
sys.exit(vmsmp.cli.main())
"""
LONG = {
    "list": ["list"],
    "run": ["run", "spin_upgrade", "--schedules", "1000000"],
    "free": ["run", "spin_upgrade", "--engine", "free", "--time", "60"],
    "replay": ["replay", FAILING],
    "minimize": ["minimize", FAILING],
    "ddb": ["ddb", FAILING],
    "mutants": ["mutants", "--workers", "2"],
    "stress": ["stress", "--workers", "2"],
    "bench": ["bench"],
    "doctor": ["doctor"],
}
#: Verdicts of those commands that may have ended before.
VERDICTS = {"list": 0, "replay": 1, "minimize": 0, "doctor": 0}


@pytest.fixture
def interrupted(environment):
    """Send Ctrl-C to a command and all its processes: exit code, standard error, seconds.

    It is sent some seconds after its modules begin to be loaded, and after it has written `until`.
    """

    def call(words, seconds=0.0, until="", **streams):
        child = subprocess.Popen(
            [sys.executable, "-c", LOADING, *words],
            stdin=streams.get("stdin", subprocess.PIPE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        child.stdout.readline()
        time.sleep(seconds)
        written = ""
        while not written.endswith(until):
            written += child.stdout.read(1) or pytest.fail(f"it ended without {until!r}: {written}")
        pressed = time.monotonic()
        os.killpg(child.pid, signal.SIGINT)
        try:
            _, complaint = child.communicate(timeout=60)
        finally:
            child.kill()
        return child.returncode, complaint, time.monotonic() - pressed

    return call


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05])
def test_ctrl_c_while_modules_are_loaded_ends_with_130(interrupted, seconds):
    assert (130, "") == interrupted(["doctor"], seconds)[:2]


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.ci)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("run", "stress") else pytest.mark.ci) for name in LONG]
)
def test_ctrl_c_at_any_moment_ends_at_once_and_in_order(interrupted, name, times):
    moments = random.Random(f"{name}{times}")
    for _ in range(times):
        code, complaint, took = interrupted(LONG[name], moments.uniform(0.0, 1.5))
        assert code in (130, 4, VERDICTS.get(name, 4)), complaint
        assert "Traceback" not in complaint
        assert took < 10.0


def test_ctrl_c_at_the_prompt_ends_at_once_with_4(interrupted):
    theirs, ours = pty.openpty()
    try:
        code, complaint, took = interrupted(["ddb", FAILING, "--step", "3"], until="db> ", stdin=ours)
    finally:
        os.close(theirs)
        os.close(ours)
    assert (4, "\nvmsmp: interrupted\n") == (code, complaint)
    assert took < 3.0


# -- the handlers ---------------------------------------------------------------------------------


def test_afterwards_ctrl_c_is_what_it_was():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(for_good=False) as interrupts:
        interrupts.begin()
    assert before is signal.getsignal(signal.SIGINT)


def test_where_the_process_ends_with_the_command_ctrl_c_comes_too_late():
    before = signal.getsignal(signal.SIGINT)
    try:
        with Interrupts(for_good=True):
            pass
        assert signal.SIG_IGN is signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts(for_good=True) as interrupts:
            interrupts.begin()
            assert signal.SIG_IGN is signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_once_the_verdict_stands_ctrl_c_leaves_with_it():
    child = os.fork()
    if child == 0:
        interrupts = Interrupts(for_good=True)
        interrupts.__enter__()
        interrupts.leave_with(3)
        os.kill(os.getpid(), signal.SIGINT)
        os._exit(9)
    assert 3 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_ctrl_c_within_an_exec_leaves_the_exit_code(environment):
    program = """
import sys, vmsmp.cli, vmsmp.cli.command_line as line

def interrupted(argv, interrupts):
    interrupts.begin()
    exec("raise KeyboardInterrupt")

line._obey = interrupted
sys.exit(vmsmp.cli.main())
"""
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert (4, "vmsmp: interrupted\n") == (ended.returncode, ended.stderr)


def test_ctrl_c_that_python_drops_comes_again(environment):
    program = """
import signal, sys, time, vmsmp.cli, vmsmp.cli.command_line as line

class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def interrupted(argv, interrupts):
    interrupts.begin()
    Last()
    time.sleep(60)

line._obey = interrupted
sys.exit(vmsmp.cli.main())
"""
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False, timeout=50)
    assert (4, "vmsmp: interrupted\n") == (ended.returncode, ended.stderr)


# -- what else ends a process ---------------------------------------------------------------------


@pytest.fixture
def handlers():
    """Whatever a test makes of these signals is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_process_may_be_as_ctrl_c(handlers, number):
    def ended():
        with endings_as_ctrl_c():
            os.kill(os.getpid(), number)
            time.sleep(1)

    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt):
        ended()
    assert signal.SIG_DFL == signal.getsignal(number)


def test_what_is_ignored_from_the_start_stays_so(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with endings_as_ctrl_c():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.SIG_IGN == signal.getsignal(signal.SIGHUP)
