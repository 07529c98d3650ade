"""A CPU that waits in the host for what cannot come is told, and nothing else is."""

from __future__ import annotations

import threading
import time

import pytest

import vmsmp
from vmsmp.campaign.debugger import stop_at
from vmsmp.engine import host_wait
from vmsmp.errors import HostHang

#: Longer than two looks, which are a second apart.
A_WHILE_S = 2.5


@pytest.fixture(autouse=True)
def at_the_first_look(monkeypatch):
    monkeypatch.setattr(host_wait, "LOOKS", 1)


def holds_a_host_lock(m):
    lock = threading.Lock()
    word = m.atomic(0, name="word")

    def worker():
        with lock:
            word.fetchadd(1)

    m.spawn(worker, name="one")
    m.spawn(worker, name="other")
    m.join()


LINE = "v1:holds_a_host_lock:0:1.1>2"


@pytest.fixture(scope="module")
def told():
    """What is said of a host lock held at a visible operation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_wait, "LOOKS", 1)
        with pytest.raises(HostHang) as hang:
            vmsmp.replay(holds_a_host_lock, LINE)
    return str(hang.value).splitlines()


def test_the_cpu_that_waits_is_named(told):
    assert told[0].startswith("cpu2 other waits in the host, outside every visible operation")


def test_the_place_and_its_line_are_shown(told):
    place, _, line = told[1].partition(" in worker: ")
    assert (place.rpartition(":")[0], line) == (
        "  cpu2 other waits at engine/test_host_wait.py",
        "with lock:",
    )


def test_where_the_others_stand_is_shown(told):
    assert told[3].startswith("  cpu1 stands before fetchadd word, at engine/test_host_wait.py:")


def test_what_to_do_is_said(told):
    assert "must not be held across a visible operation" in told[-1]


def test_a_search_ends_so_too():
    with pytest.raises(HostHang, match="waits in the host"):
        vmsmp.explore(holds_a_host_lock, sched="random", schedules=1000)


def test_a_condition_of_the_host_is_told_at_the_program_s_own_line():
    def waits(m):
        m.spawn(lambda: threading.Event().wait())
        m.join()

    with pytest.raises(HostHang, match=r"waits at engine/test_host_wait\.py:\d+ in <lambda>"):
        vmsmp.explore(waits, schedules=1)


def test_a_cpu_that_computes_does_not_hang():
    def computes(m):
        end = time.monotonic() + A_WHILE_S
        while time.monotonic() < end:
            pass

    assert None is vmsmp.replay(computes, "v1:computes:0:").failure


def test_a_cpu_that_gets_on_does_not_hang():
    def gets_on(m):
        word = m.cell(0)
        for _ in range(25):
            time.sleep(A_WHILE_S / 25)
            word.load()

    assert None is vmsmp.replay(gets_on, "v1:gets_on:0:").failure


def test_a_short_wait_does_not_hang(monkeypatch):
    monkeypatch.setattr(host_wait, "LOOKS", 5)

    def waits(m):
        time.sleep(A_WHILE_S)

    assert None is vmsmp.replay(waits, "v1:waits:0:").failure


def test_a_debugger_may_wait():
    def program(m):
        m.cell(0).load()

    assert None is stop_at(program, "v1:program:0:", 0, lambda *_: time.sleep(A_WHILE_S / 2))


def test_a_thread_of_which_the_host_tells_nothing_does_not_sleep():
    assert not host_wait._sleeps(0)
