"""Reference counts that can be waited for, at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES
from vmsmp.patches.patch import Mutant
from vmsmp.sync.refcount import REFCNTF_WAITING


@DEPTHS
def test_only_the_release_of_the_last_reference_says_so(locks):
    seen = []

    def program(m):
        ref = m.refcount(1, "r")
        ref.acquire()
        ref.acquire(2)
        seen.append(ref.references())
        seen.extend([ref.release(), ref.release_wakeup(), ref.release_wakeup(2), ref.references()])

    assert [] == vmsmp.explore(program, schedules=1, locks=locks).failures
    assert [4, False, False, True, 0] == seen


@DEPTHS
def test_waiting_for_a_count_of_zero_returns_at_once(locks):
    ticks = []

    def program(m):
        m.refcount(0, "r").wait()
        ticks.append(m.ticks)

    assert [] == vmsmp.explore(program, schedules=1, locks=locks).failures
    assert [0] == ticks


def handing_back(m, waiters=1, users=2):
    ref, done = m.refcount(users, "r"), m.cell(0)

    def user():
        if ref.release_wakeup():
            done.store(1)

    def waiter():
        ref.wait()
        m.check(ref.references() == 0, "the wait ends when nobody uses it")

    for _ in range(waiters):
        m.spawn(waiter)
    for _ in range(users):
        m.spawn(user)
    m.join()
    m.check(done.load() == 1, "one release was the last")
    m.check(m.ticks == 0, "no timeout was needed")


@DEPTHS
@SCHEDULES
@pytest.mark.parametrize("waiters", [1, 2])
def test_a_waiter_is_woken_by_the_last_release_in_every_schedule(locks, sched, waiters):
    result = vmsmp.explore(lambda m: handing_back(m, waiters), sched=sched, schedules=150, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_a_waiter_is_woken_between_parallel_cpus(locks):
    def program(m):
        ref = m.refcount(3, "r")

        def user():
            for _ in range(50):
                ref.acquire()
                ref.release_wakeup()
            ref.release_wakeup()

        for _ in range(3):
            m.spawn(user)
        ref.wait()
        m.check(ref.references() == 0, "nobody uses it")
        m.join()

    assert None is vmsmp.run(program, engine="free", locks=locks).failure


@DEPTHS
@pytest.mark.parametrize("count", [0, 1])
def test_a_token_held_across_a_wait_is_held_once_after_it(locks, count):
    seen = []

    def program(m):
        token, ref = m.token("t"), m.refcount(count, "r")

        def user():
            with token:  # free only because the waiter lost it
                ref.release_wakeup()

        token.acquire()
        if count:
            m.spawn(user)
        ref.wait()
        seen.append(token.held())
        token.release()
        seen.append(token.held())
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=1, locks=locks).failures
    assert [True, False] == seen


@DEPTHS
def test_a_token_is_free_while_its_holder_waits_for_a_count(locks):
    """Even if the count rose from 0 only after the waiter had looked at it first."""

    def program(m):
        token, ref = m.token("t"), m.refcount(0, "r")

        def user():
            ref.acquire()
            with token:
                pass
            ref.release_wakeup()

        def waiter():
            with token:
                ref.wait()

        m.spawn(user)
        m.spawn(waiter)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=200, locks=locks).failures


# -- the word of the exact depth ---------------------------------------------------------------------


def test_a_waiter_publishes_waiting_and_the_last_release_takes_it_away():
    words = []

    def program(m):
        ref = m.refcount(2, "r")
        m.spawn(ref.wait)
        m.yield_()
        words.append(ref.count.peek())
        ref.release_wakeup()
        words.append(ref.count.peek())
        ref.release_wakeup()
        words.append(ref.count.peek())
        m.join()

    assert [] == vmsmp.explore(program, sched="dfs:0", schedules=1, locks="exact").failures
    assert [REFCNTF_WAITING | 2, REFCNTF_WAITING | 1, 0] == words


def test_a_plain_release_of_a_count_that_is_waited_for_loses_the_wakeup():
    def program(m):
        ref = m.refcount(1, "r")
        m.spawn(ref.wait)
        m.spawn(ref.release)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=200, locks="exact")
    assert "lost-wakeup: r: r is N" == result.failure.signature


@pytest.mark.parametrize(
    ("ident", "function", "old", "new"),
    [
        (
            "RC-01b",
            "refcount_wait",
            "published, n = ref.count.fcmpset(n, n | REFCNTF_WAITING)",
            "published, n = True, ref.count.setbits(REFCNTF_WAITING)",
        ),
        (
            "RC-03",
            "refcount_release_wakeup",
            "if old == REFCNTF_WAITING | n:",
            "if old == n:",
        ),
    ],
)
def test_each_guard_of_the_wait_is_needed(ident, function, old, new):
    mutant = Mutant(ident, f"vmsmp.sync.refcount:{function}", old, new, "INV-SL4", "")
    with mutant.plant():
        result = vmsmp.explore(handing_back, sched="random", schedules=300, locks="exact")
    assert "lost-wakeup" == result.failure.kind
