"""A CPU that does not arrive at its next visible operation is told, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

import vmsmp
from vmsmp.campaign.debugger import stop_at
from vmsmp.campaign.runner import runner_for
from vmsmp.engine import hang, workers
from vmsmp.engine.options import Options
from vmsmp.errors import HostHang
from vmsmp.sched.random_walk import RandomWalk
from vmsmp.vm.system import VmSystem

#: A short bound, in seconds of processor time, and longer than what a CPU may sleep with it.
BOUND_S = 0.2
A_WHILE_S = 1.5
#: Longer than what is about to happen takes on any machine.
A_MINUTE_S = 60.0


def holds_a_host_lock(m):
    lock = threading.Lock()
    word = m.atomic(0, name="word")

    def worker():
        with lock:
            word.fetchadd(1)

    m.spawn(worker, name="one")
    m.spawn(worker, name="other")
    m.join()


def computes(m):
    lock = m.spinlock(name="guard")

    def worker():
        with lock:
            while True:
                pass

    m.spawn(worker, name="busy")
    m.join()


def sleeps(m):
    m.spawn(lambda: time.sleep(1e6))
    m.join()


def found(program, **options):
    """The failure that a search of the program finds."""
    return vmsmp.explore(program, **{"sched": "random", "hang_s": BOUND_S, **options}).failure


# -- a lock of the host ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked():
    """What is said of a host lock held at a visible operation."""
    return vmsmp.replay(holds_a_host_lock, "v1:holds_a_host_lock:0:1.1>2", hang_s=BOUND_S).failure


def test_a_wait_for_a_host_lock_is_a_hang(locked):
    assert ("hang", "cpu2 other waits in the host in worker, outside every visible operation") == (
        locked.kind,
        locked.message,
    )


def test_the_place_and_its_line_are_shown(locked):
    place, _, line = locked.facts[0].partition(" in worker: ")
    assert (place.rpartition(":")[0], line) == (
        "cpu2 other is at engine/test_hang.py",
        "with lock:",
    )


def test_where_the_others_stand_is_shown(locked):
    assert any(
        fact.startswith("cpu1 stands before fetchadd word, at engine/test_hang.py:") for fact in locked.facts
    )


def test_what_to_do_is_said(locked):
    assert "must not be held across a visible operation" in locked.facts[-2]


def test_that_it_depends_on_the_host_is_said(locked):
    assert "depends on the host" in locked.facts[-1]


@pytest.mark.ci
def test_its_line_leads_there_again(locked):
    again = vmsmp.replay(holds_a_host_lock, locked.schedule, hang_s=BOUND_S).failure
    assert (locked.signature, "") == (again.signature, again.digest)


def test_its_story_is_told(locked):
    assert "start other" == locked.story.rows[-1].text


@pytest.mark.ci
def test_a_search_ends_so_too():
    assert "hang" == found(holds_a_host_lock).kind


# -- a CPU that computes ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy():
    """What is said of a loop without an operation."""
    before = threading.active_count()
    failure = found(computes)
    return failure, threading.active_count() - before


def test_a_loop_without_an_operation_is_a_hang(busy):
    assert "cpu1 busy computes in worker and arrives at no visible operation" == busy[0].message


def test_its_line_is_shown(busy):
    assert busy[0].facts[0].startswith("cpu1 busy is at engine/test_hang.py:")


def test_what_it_holds_is_shown(busy):
    assert "cpu1 busy holds exclusive spinlock 'guard'" in busy[0].facts


def test_a_cpu_that_was_shaken_loose_leaves_no_thread(busy):
    assert 0 == busy[1]


def test_a_cpu_that_nobody_waits_for_ends_all_the_same_once_it_runs(monkeypatch):
    ended = threading.Event()

    def computes_alone(m):
        try:
            while True:
                pass
        finally:
            ended.set()

    monkeypatch.setattr(workers, "PATIENCE_S", 0.0)  # as where other processes have the cores for long
    monkeypatch.setattr(workers, "ARRIVAL_S", 0.0)
    assert "hang" == found(computes_alone).kind
    assert ended.wait(timeout=A_MINUTE_S)


@pytest.mark.ci
def test_a_cpu_that_has_not_run_since_it_was_shaken_is_waited_for(monkeypatch):
    shaken = []

    def shake(pool):
        shaken.append(pool)

    told = iter([0.0])
    monkeypatch.setattr(workers, "seconds_of", lambda thread: next(told, 1.0))  # it runs once
    monkeypatch.setattr(workers.WorkerPool, "shake", shake)
    monkeypatch.setattr(workers, "PATIENCE_S", A_WHILE_S)
    began = time.monotonic()
    assert "hang" == found(computes).kind
    assert (1, True) == (len(shaken), time.monotonic() - began > A_WHILE_S)


def test_the_execution_that_hangs_is_counted():
    runs = 0

    def third_time(m):
        nonlocal runs
        runs += 1
        while runs == 3:
            pass

    assert 3 == vmsmp.explore(third_time, hang_s=BOUND_S).executions


def test_a_function_called_in_the_loop_is_not_taken_for_the_loop():
    def inner():
        return sum(range(50))

    def calls(m):
        while True:
            inner()

    assert "cpu0 computes in calls and arrives at no visible operation" == found(calls).message


@pytest.mark.ci
def test_a_loop_that_asks_the_machine_for_what_is_no_operation_hangs():
    def asks(m):
        while True:
            m.rounds(1_000)

    assert "cpu0 computes in asks and arrives at no visible operation" == found(asks).message


# What nothing can end is left behind, so these run in a process of their own.

KEEPS_ALL = """
import vmsmp

def stubborn(m):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass

failure = vmsmp.explore(stubborn, hang_s=0.2).failure
print(failure.message)
"""

DOES_NOT_UNWIND = """
import vmsmp

def swallows(m):
    word = m.cell(0)
    while True:
        try:
            word.store(1)
        except BaseException:
            pass

failure = vmsmp.explore(swallows, max_steps=100, hang_s=0.2).failure
print(failure.message)
"""


def printed(text):
    """What a script prints, which ends by itself."""
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.ci
def test_a_loop_that_keeps_every_exception_is_left_behind():
    assert "cpu0 computes in stubborn and arrives at no visible operation\n" == printed(KEEPS_ALL)


@pytest.mark.ci
def test_a_cpu_that_does_not_unwind_is_told():
    assert "cpu0 goes on in swallows after its run has ended\n" == printed(DOES_NOT_UNWIND)


# -- a CPU that sleeps -----------------------------------------------------------------------------


def test_a_sleep_without_end_is_a_hang():
    assert "cpu1 waits in the host in <lambda>, outside every visible operation" == found(sleeps).message


def test_a_condition_of_the_host_is_told_at_the_program_s_own_line():
    def waits(m):
        m.spawn(lambda: threading.Event().wait())
        m.join()

    assert "in <lambda>: m.spawn(lambda: threading.Event().wait())" in found(waits).facts[0]


# -- what does not hang ----------------------------------------------------------------------------


def test_a_step_within_the_bound_does_not_hang():
    def program(m):
        end = time.thread_time() + 0.6
        while time.thread_time() < end:
            pass

    assert None is vmsmp.replay(program, "v1:program:0:", hang_s=30.0).failure


def test_a_bound_of_none_lets_a_step_take_as_long_as_it_likes():
    def program(m):
        end = time.thread_time() + 0.6
        while time.thread_time() < end:
            pass

    assert None is vmsmp.replay(program, "v1:program:0:", hang_s=0).failure


def test_a_cpu_that_gets_on_does_not_hang():
    def program(m):
        word = m.cell(0)
        for _ in range(25):
            time.sleep(A_WHILE_S / 25)
            word.load()

    assert None is vmsmp.replay(program, "v1:program:0:", hang_s=BOUND_S).failure


def test_a_short_sleep_does_not_hang():
    def program(m):
        time.sleep(A_WHILE_S / 2)

    assert None is vmsmp.replay(program, "v1:program:0:", hang_s=30.0).failure


@pytest.mark.ci
def test_a_debugger_may_wait(monkeypatch):
    monkeypatch.setattr(hang, "PATIENCE", 0.1)
    monkeypatch.setattr(hang, "HANG_S", 0.1)

    def program(m):
        m.cell(0).load()

    assert None is stop_at(program, "v1:program:0:", 0, lambda *_: time.sleep(A_WHILE_S / 2))


def test_what_a_scheduler_computes_does_not_hang(monkeypatch):
    slow = RandomWalk.pick

    def pick(self, current, run):
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass
        return slow(self, current, run)

    def program(m):
        m.spawn(lambda: m.cell(0).load())
        m.join()

    monkeypatch.setattr(RandomWalk, "pick", pick)
    assert None is found(program, schedules=1, hang_s=0.1)


def burn(*_, seconds=0.8):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def large(*config):
    burn()
    return VmSystem(*config)


def test_the_boot_of_a_large_machine_does_not_hang(monkeypatch):
    monkeypatch.setattr("vmsmp.machine.VmSystem", large)
    assert None is vmsmp.replay(boots, "v1:boots:0:", hang_s=0.1).failure


def boots(m):
    m.boot()


def test_a_cpu_that_computes_after_its_boot_does(monkeypatch):
    def program(m):
        m.boot()
        burn(seconds=20)  # until it is told, however busy the host is

    assert "hang" == vmsmp.replay(program, "v1:program:0:", hang_s=0.1).failure.kind


def test_what_the_machinery_computes_for_a_program_does_not_hang():
    long = {"__name__": "vmsmp.check.linearize.long", "thread_time": time.thread_time}
    exec("def judge():\n    end = thread_time() + 0.8\n    while thread_time() < end:\n        pass", long)

    def program(m):
        long["judge"]()

    assert None is vmsmp.replay(program, "v1:program:0:", hang_s=0.1).failure


def test_nothing_hangs_under_a_debugger(monkeypatch):
    monkeypatch.setattr(hang, "_DEBUGGERS", (__name__.partition(".")[0],))
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        attached = hang.tool_attached()
    finally:
        sys.settrace(before)
    assert attached


def test_a_measuring_tracer_is_no_debugger():
    assert not hang.tool_attached()


# -- the bound that counts where nobody says another -----------------------------------------------


def test_a_hang_is_told_within_seconds():
    assert (True, True) == (hang.HANG_S <= 1.0, hang.PATIENCE * hang.HANG_S <= 4.0)


# -- who asks for more than a verdict --------------------------------------------------------------


def test_our_own_debugger_raises_it():
    def endless(m):
        while True:
            pass

    with pytest.raises(HostHang, match="cpu0 computes in endless"):
        stop_at(endless, "v1:endless:0:", None, lambda *_: None, hang_s=BOUND_S)


def test_so_does_who_shortens_a_line():
    def endless(m):
        while True:
            pass

    with pytest.raises(HostHang, match="cpu0 computes in endless"):
        vmsmp.minimize(endless, "v1:endless:0:", hang_s=BOUND_S)


def test_a_runner_raises_it_with_all_that_is_known():
    def endless(m):
        while True:
            pass

    with (
        runner_for(endless, Options(), check=True, hang_s=BOUND_S) as runner,
        pytest.raises(HostHang, match="cpu0 computes in endless") as error,
    ):
        runner.drive(lambda: runner.run(RandomWalk(0), 0))
    assert ([], 0, "hang") == (error.value.hang.log, error.value.hang.seed, error.value.hang.violation.kind)
