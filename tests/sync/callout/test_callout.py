"""Callouts: when they are called, and what stops them, before, during and after the call."""

import threading

import pytest

import vmsmp
from lock_runs import DEPTHS, failure_of, once
from vmsmp.machine import Machine
from vmsmp.sync.callout.callout import CALLOUT_INPROG, CALLOUT_RESET, CALLOUT_SET, flags_text

ANY_TIME = pytest.mark.parametrize("timeouts", ["idle", "any"])


def passes(program, locks, schedules=300, **options):
    result = vmsmp.explore(program, sched="random", schedules=schedules, locks=locks, **options)
    assert [] == [(f.message, f.facts) for f in result.failures]


def outcomes(program, locks, timeouts="any", sched="random", schedules=3000):
    """What runs of the program appended to their list."""
    seen = set()

    def run(m):
        mine = []
        program(m, mine)
        m.join()
        seen.add(tuple(mine))

    result = vmsmp.explore(run, sched=sched, schedules=schedules, locks=locks, timeouts=timeouts)
    assert [] == [(f.message, f.facts) for f in result.failures]
    return seen


@DEPTHS
def test_it_is_called_when_its_time_has_come(locks):
    seen = []

    def program(m):
        m.callout().reset(5, lambda word: seen.append((word, m.ticks)), "x")
        m.join()

    once(program, locks)
    assert [("x", 5)] == seen


@DEPTHS
@pytest.mark.parametrize("ticks", [-3, 0, 1])
def test_it_is_called_after_one_tick_at_the_earliest(ticks, locks):
    seen = []

    def program(m):
        m.callout().reset(ticks, lambda: seen.append(m.ticks))
        m.join()

    once(program, locks)
    assert [1] == seen


@DEPTHS
def test_several_are_called_in_order_of_time_and_of_setting(locks):
    seen = []

    def program(m):
        for name, ticks in (("c", 7), ("a", 3), ("b", 3)):
            m.callout(name).reset(ticks, seen.append, name)
        m.join()

    once(program, locks)
    assert ["a", "b", "c"] == seen


@DEPTHS
def test_a_reset_replaces_what_was_set(locks):
    seen = []

    def program(m):
        callout = m.callout()
        callout.reset(3, seen.append, "first")
        callout.reset(5, seen.append, "second")
        m.join()

    once(program, locks)
    assert ["second"] == seen


@DEPTHS
@pytest.mark.parametrize("how", ["stop", "stop_async", "cancel", "drain"])
def test_what_is_stopped_in_time_is_not_called(how, locks):
    seen = []

    def program(m):
        callout = m.callout()
        callout.reset(3, seen.append, "called")
        seen.append(getattr(callout, how)())
        m.join()

    once(program, locks)
    assert [True] == seen


@DEPTHS
def test_a_stop_of_what_is_not_set_prevents_nothing(locks):
    def program(m):
        m.check(not m.callout().stop(), "there was nothing to stop")

    once(program, locks)


@DEPTHS
def test_it_may_be_set_again_after_the_softclock_has_ended(locks):
    seen = []

    def program(m):
        callout = m.callout()
        for _ in range(3):
            callout.reset(1, lambda: seen.append(m.ticks))
            m.join()

    once(program, locks)
    assert [1, 2, 3] == seen


@DEPTHS
@ANY_TIME
def test_a_function_may_set_its_own_callout(timeouts, locks):
    def program(m):
        callout, left = m.callout(), [3]

        def again():
            left[0] -= 1
            if left[0]:
                callout.reset(1, again)

        callout.reset(1, again)
        m.join()
        m.check(left == [0], "three calls")

    passes(program, locks, 100, timeouts=timeouts)


@DEPTHS
@ANY_TIME
def test_a_function_may_cancel_its_own_callout(timeouts, locks):
    def program(m):
        callout = m.callout()
        callout.reset(1, lambda: m.check(not callout.cancel(), "it is being called"))
        m.join()

    passes(program, locks, 100, timeouts=timeouts)


# -- races of the call with a stop ------------------------------------------------------------------


def stopped_by(how):
    def program(m, seen):
        callout = m.callout()

        def function():
            m.yield_()
            seen.append("called")

        callout.reset(1, function)
        m.spawn(lambda: seen.append(getattr(callout, how)()))

    return program


@DEPTHS
def test_a_cancel_prevents_the_call_or_comes_after_it(locks):
    assert {(True,), ("called", False)} == outcomes(stopped_by("cancel"), locks)


@DEPTHS
def test_a_stop_without_a_lock_may_come_before_a_call_that_it_does_not_prevent(locks):
    assert {(True,), (False,), ("called", False), (False, "called")} == outcomes(stopped_by("stop"), locks)


@DEPTHS
def test_nothing_is_called_after_terminate(locks):
    def program(m):
        callout = m.callout()
        alive = m.cell(1, name="alive")
        callout.reset(1, lambda: m.check(alive.load() == 1, "it is called before the end"))
        callout.terminate()
        alive.store(0)

    passes(program, locks, 1000, timeouts="any")


@DEPTHS
def test_a_terminated_callout_may_not_be_used(locks):
    def program(m):
        callout = m.callout("c")
        callout.terminate()
        callout.reset(1, print)

    assert "is used after callout_terminate" in failure_of(program, locks, schedules=1).message


@DEPTHS
def test_a_cancel_drops_a_reset_that_came_during_the_call(locks):
    def program(m):
        callout, calls = m.callout(), m.atomic(0)
        callout.reset(1, lambda: calls.fetchadd(1))
        m.spawn(callout.reset, 1, lambda: calls.fetchadd(1))
        m.cpus[-1].join()
        callout.cancel()
        before = calls.load()
        m.join()
        m.check(calls.load() == before, "nothing is called after the cancel")

    passes(program, locks, 500, timeouts="any")


# -- with a lock --------------------------------------------------------------------------------------


@DEPTHS
@ANY_TIME
def test_the_function_of_one_with_a_lock_holds_it(timeouts, locks):
    def program(m):
        lock = m.lockmgr()
        callout = m.callout(lock=lock)
        word = m.cell(0)

        def twice():
            word.store(word.load() + 1)
            word.store(word.load() + 1)

        callout.reset(1, twice)
        with lock:
            m.check(word.load() % 2 == 0, "the function is not in the middle")
        m.join()

    passes(program, locks, 100, timeouts=timeouts, races=True)


@DEPTHS
def test_its_stop_by_the_lock_s_holder_ends_the_wait_for_the_lock(locks):
    def program(m, seen):
        lock = m.lockmgr("lk")
        callout = m.callout("c", lock)
        lock.acquire()
        callout.reset(1, seen.append, "called")
        seen.append(callout.stop())
        lock.release()

    assert {(True,)} == outcomes(program, locks)


@DEPTHS
def test_no_other_lock_will_do(locks):
    with_mutex = failure_of(lambda m: m.callout(lock=m.mutex("mtx")), locks, schedules=1)
    assert "TypeError: callout with mutex 'mtx': only a lockmgr lock will do" in with_mutex.message


# -- what it says of itself ---------------------------------------------------------------------------


@DEPTHS
def test_it_is_active_until_it_is_stopped_and_pending_until_it_is_called(locks):
    seen = []

    def program(m):
        callout = m.callout()
        seen.append((callout.active(), callout.pending()))
        callout.reset(1, lambda: seen.append((callout.active(), callout.pending())))
        seen.append((callout.active(), callout.pending()))
        m.join()
        callout.deactivate()
        seen.append((callout.active(), callout.pending()))

    once(program, locks)
    assert [(False, False), (True, True), (True, False), (False, False)] == seen


def test_flags_are_named():
    assert "RESET|INPROG|SET" == flags_text(CALLOUT_SET | CALLOUT_INPROG | CALLOUT_RESET)


def test_no_flags_are_zero():
    assert "0" == flags_text(0)


@DEPTHS
def test_the_free_engine_calls_them_too(locks):
    def program(m):
        called = m.atomic(0)
        for _ in range(2):
            m.callout().reset(1, lambda: called.fetchadd(1))
            m.join()
        m.check(called.load() == 2, "both were called")

    for seed in range(5):
        result = vmsmp.run(program, engine="free", seed=seed, locks=locks)
        assert result.failure is None


def test_a_function_that_is_called_at_once_is_its_callout_s_own(monkeypatch):
    """In the free engine the softclock may run before who made it knows that it is there."""
    called = threading.Event()
    spawn = Machine.spawn

    def spawn_slowly(self, fn, *args, name=None):
        cpu = spawn(self, fn, *args, name=name)
        if name == "softclock":
            called.wait(10.0)
        return cpu

    def owner(m):
        callout = m.callout("timer")

        def call():
            m.check(callout.called_here(), "the softclock knows itself")
            called.set()

        callout.reset(1, call)
        callout.cancel()

    def program(m):
        m.spawn(owner, m)  # what the boot CPU makes begins when that goes on
        m.join()

    monkeypatch.setattr(Machine, "spawn", spawn_slowly)
    outcome = vmsmp.run(program, engine="free", locks="atomic")
    assert (None, True) == (outcome.failure, called.is_set())
