"""The hooks of locks and sleep queues: which events come, in which order."""

import pytest

from lock_runs import DEPTHS, delay, watched
from vmsmp.engine.wait import WaitEnd
from vmsmp.sync.errno import PDOMAIN_MASK, PINTERLOCKED
from vmsmp.sync.observer import LockObserver

HOOKS = ("wants", "acquired", "released", "blocking", "interlocked", "sleeps", "woken", "wakeup")


class Events(LockObserver):
    """Every event by its hook's name, with what it tells after the CPU."""

    def __init__(self):
        self.seen = []


def record(name):
    return lambda self, cpu, *told: self.seen.append((name, cpu.index, *told))


for hook in HOOKS:
    setattr(Events, hook, record(hook))


def told(program, locks, *names):
    """The events of those hooks, in order."""
    events = Events()
    watched(program, events, locks)
    return [event for event in events.seen if event[0] in names]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_observer_that_overrides_nothing_is_called_for_nothing(hook):
    assert () == getattr(watched(lambda m: None, LockObserver()).hooks, hook)


@DEPTHS
def test_a_sleep_is_announced_begun_and_ended_by_a_wakeup(locks):
    def program(m):
        m.spawn(m.tsleep, "x")
        m.yield_()
        m.wakeup("x")
        m.join()

    assert [
        ("interlocked", 1, "x"),
        ("sleeps", 1, "x"),
        ("wakeup", 0, "x", 0, 1),
        ("woken", 1, "x", WaitEnd.WAKEUP),
    ] == told(program, locks, "interlocked", "sleeps", "woken", "wakeup")


@DEPTHS
def test_a_wakeup_before_the_sleep_ends_it_without_one(locks):
    def program(m):
        m.tsleep_interlock("x")
        m.wakeup("x")
        m.tsleep("x", PINTERLOCKED)

    assert [("woken", 0, "x", WaitEnd.BEFORE)] == told(program, locks, "sleeps", "woken")


@DEPTHS
def test_a_timeout_is_told(locks):
    assert [("woken", 0, "x", WaitEnd.TIMEOUT)] == told(lambda m: m.tsleep("x", timo=3), locks, "woken")


@DEPTHS
def test_a_wakeup_tells_its_domain_and_that_it_reached_nobody(locks):
    domain = PDOMAIN_MASK & -PDOMAIN_MASK
    assert [("wakeup", 0, "x", domain, 0)] == told(lambda m: m.wakeup("x", domain), locks, "wakeup")


@DEPTHS
def test_a_contested_request_is_a_blocking_point(locks):
    def program(m):
        lock = m.lockmgr("l")

        def other():
            with lock:
                pass

        with lock:
            m.spawn(other)
            delay(m, 1)
        m.join()

    assert ("blocking", 1, "contested lockmgr 'l'") in told(program, locks, "blocking")


@DEPTHS
def test_a_try_is_not_wanted_and_is_told_as_a_try(locks):
    def program(m):
        lock = m.spinlock("s")
        lock.try_acquire()
        lock.release()

    events = told(program, locks, "wants", "acquired")
    assert [("acquired", True)] == [(event[0], event[-1]) for event in events]
