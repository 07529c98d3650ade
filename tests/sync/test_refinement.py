"""What the exact locks can do, the atomic ones can do too.

For a small program the outcomes of all its runs are collected at the atomic depth: what was returned,
in which order sections were entered and left.  Then every outcome at the exact depth is checked
against that set, so an outcome that only the exact lock has is a failure with a schedule line.
"""

import pytest
import vmsmp
from vmsmp import (
    EWOULDBLOCK,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
)

#: Executions that stand for "all schedules" where those of the exact lock do not end.
MANY = 1500


def outcomes(body, **options):
    """All outcomes of `body` at the atomic depth, by a search that saw everything."""
    seen = set()

    def program(m):
        log = []
        body(m, log)
        m.join()
        seen.add(tuple(log))

    result = vmsmp.explore(program, sched="dfs", schedules=60_000, locks="atomic", **options)
    assert ([], True) == (result.failures, result.exhausted)
    return seen


def refines(body, searches=(("random", MANY), ("pct:3", 300), ("dfs:2", 500)), **options):
    """Every outcome at the exact depth is one of the atomic depth."""
    specified = outcomes(body, **options)

    def judged(m):
        log = []
        body(m, log)
        m.join()
        m.check(tuple(log) in specified, f"only the exact lock does {log}")

    for sched, schedules in searches:
        result = vmsmp.explore(judged, sched=sched, schedules=schedules, locks="exact", **options)
        assert [] == [(f.message, f.schedule) for f in result.failures]
    return specified


def sections(log, name):
    """Write down a critical section's begin and end."""

    class Section:
        def __enter__(self):
            log.append(f"{name}+")

        def __exit__(self, *_):
            log.append(f"{name}-")

    return Section()


# -- spinlocks --------------------------------------------------------------------------------------


def _exclusive(m, lock, log, name):
    lock.acquire()
    with sections(log, name):
        m.yield_()
    lock.release()


def _shared(m, lock, log, name):
    lock.acquire_shared()
    with sections(log, name):
        m.yield_()
    lock.release()


def _try(m, lock, log, name):
    got = lock.try_acquire()
    log.append(f"{name}{'+' if got else '!'}")
    if got:
        m.yield_()
        log.append(f"{name}-")
        lock.release()


def _upgrade(m, lock, log, name):
    lock.acquire_shared()
    log.append(f"{name}+")
    got = lock.try_upgrade()
    log.append(f"{name}{'^' if got else '!'}")
    log.append(f"{name}-")
    lock.release()


def together(make, *roles):
    """A body in which each role runs on its own CPU, on one lock."""

    def body(m, log):
        lock = make(m)
        for n, role in enumerate(roles):
            m.spawn(role, m, lock, log, f"{role.__name__[1]}{n}")

    return body


SPIN = {
    "two writers": (_exclusive, _exclusive),
    "writer and reader": (_exclusive, _shared),
    "two readers": (_shared, _shared),
    "writer and try": (_exclusive, _try),
    "reader and try": (_shared, _try),
    "two tries": (_try, _try),
    "writer and upgrade": (_exclusive, _upgrade),
    "two upgrades": (_upgrade, _upgrade),
    "reader and upgrade": (_shared, _upgrade),
    "writer, writer, reader": (_exclusive, _exclusive, _shared),
    "writer, reader, upgrade": (_exclusive, _shared, _upgrade),
    "writer, reader, try": (_exclusive, _shared, _try),
    "reader, upgrade, try": (_shared, _upgrade, _try),
}


@pytest.mark.parametrize("name", SPIN)
def test_an_exact_spinlock_does_nothing_an_atomic_one_cannot(name):
    assert 1 < len(refines(together(lambda m: m.spinlock("s"), *SPIN[name])))


def test_two_short_tries_on_an_exact_spinlock_do_nothing_new_in_any_schedule():
    body = together(lambda m: m.spinlock("s"), _try, _try)
    refines(body, searches=(("dfs:3", 20_000),))


# -- tokens -------------------------------------------------------------------------------------------


TOKEN = {
    "two exclusive": (_exclusive, _exclusive),
    "exclusive and shared": (_exclusive, _shared),
    "two shared": (_shared, _shared),
    "exclusive and try": (_exclusive, _try),
    "shared and try": (_shared, _try),
    "two tries": (_try, _try),
    "exclusive, shared, try": (_exclusive, _shared, _try),
    "exclusive, exclusive, shared": (_exclusive, _exclusive, _shared),
}


@pytest.mark.parametrize("name", TOKEN)
def test_an_exact_token_does_nothing_an_atomic_one_cannot(name):
    assert 1 < len(refines(together(lambda m: m.token("t"), *TOKEN[name])))


def test_recursion_and_try_on_exact_tokens_do_nothing_new():
    def body(m, log):
        token = m.token("t")

        def twice():
            token.acquire()
            token.acquire()
            log.append("a+")
            token.release()
            log.append("a-")
            token.release()

        m.spawn(twice)
        m.spawn(_try, m, token, log, "t")

    refines(body)


def test_two_tokens_in_opposite_orders_do_nothing_new():
    """Who waits for the second one has lost the first: another may have had it in between."""

    def body(m, log):
        a, b = m.token("a"), m.token("b")

        def nest(first, second, name):
            first.acquire()
            log.append(f"{name}1")
            second.acquire()
            log.append(f"{name}2")
            second.release()
            first.release()

        m.spawn(nest, a, b, "x")
        m.spawn(nest, b, a, "y")

    assert 2 < len(refines(body))


def test_a_token_across_a_sleep_does_nothing_new():
    def body(m, log):
        token, go = m.token("t"), m.atomic(0)

        def sleeper():
            with token:
                log.append("before")
                m.tsleep("nap", 0, "", 1)
                log.append("after")

        def other():
            with token:
                log.append("other")

        m.spawn(sleeper)
        m.spawn(other)
        go.store(1)

    refines(body)


# -- lockmgr ------------------------------------------------------------------------------------------


def _request(flags, name):
    """A role: one lockmgr request, noted with its answer, and a release if it was granted."""

    def role(m, lock, log, _name):
        error = lock.lock(flags)
        log.append(f"{name}+" if error == 0 else f"{name}={error}")
        if error == 0:
            m.yield_()
            log.append(f"{name}-")
            lock.release()

    return role


def _upgrading(flags, name):
    """A role: shared, then upgraded."""

    def role(m, lock, log, _name):
        lock.acquire_shared()
        log.append(f"{name}s")
        error = lock.lock(flags)
        log.append(f"{name}{error}")
        if error == 0:
            log.append(f"{name}-")
            lock.release()

    return role


def _downgrading(m, lock, log, _name):
    lock.acquire()
    log.append("d+")
    lock.downgrade()
    log.append("ds")
    lock.release()


X, S = _request(LK_EXCLUSIVE, "x"), _request(LK_SHARED, "s")
X2, S2 = _request(LK_EXCLUSIVE, "y"), _request(LK_SHARED, "r")
XN, SN = _request(LK_EXCLUSIVE | LK_NOWAIT, "xn"), _request(LK_SHARED | LK_NOWAIT, "sn")
XT = _request(LK_EXCLUSIVE | LK_TIMELOCK, "xt")
ST = _request(LK_SHARED | LK_TIMELOCK, "st")
XF, SF = _request(LK_EXCLUSIVE | LK_SLEEPFAIL, "xf"), _request(LK_SHARED | LK_SLEEPFAIL, "sf")
U, U2 = _upgrading(LK_UPGRADE, "u"), _upgrading(LK_UPGRADE, "v")
E, E2 = _upgrading(LK_EXCLUPGRADE, "e"), _upgrading(LK_EXCLUPGRADE, "f")
UN = _upgrading(LK_UPGRADE | LK_NOWAIT, "un")

LOCKMGR = {
    "two writers": (X, X2),
    "writer and reader": (X, S),
    "two readers": (S, S2),
    "writer and try": (X, XN),
    "reader and tries": (S, XN, SN),
    "writer and shared try": (X, SN),
    "two upgrades": (U, U2),
    "two exclusive upgrades": (E, E2),
    "upgrade and exclusive upgrade": (U, E),
    "upgrade that must not wait": (UN, E),
    "upgrade and writer": (U, X),
    "exclusive upgrade and writer": (E, X),
    "upgrade and reader": (U, S),
    "exclusive upgrade and reader": (E, S),
    "downgrade and writer": (_downgrading, X),
    "downgrade and reader": (_downgrading, S),
    "downgrade and exclusive upgrade": (_downgrading, E),
    "writer, writer, reader": (X, X2, S),
    "writer, reader, reader": (X, S, S2),
    "writer, reader, exclusive upgrade": (X, S, E),
}


def lockmgr(m):
    return m.lockmgr("l", timo=3)


@pytest.mark.parametrize("name", LOCKMGR)
def test_an_exact_lockmgr_lock_does_nothing_an_atomic_one_cannot(name):
    assert 1 < len(refines(together(lockmgr, *LOCKMGR[name]), searches=(("random", 600), ("pct:3", 200))))


def test_recursion_on_an_exact_lockmgr_lock_does_nothing_new():
    def twice(m, lock, log, _name):
        lock.acquire()
        log.append("a+")
        log.append(lock.lock(LK_SHARED | LK_CANRECURSE))
        lock.release()
        log.append("a-")
        lock.release()

    refines(together(lockmgr, twice, XN, S), searches=(("random", 600),))


@pytest.mark.parametrize("roles", [(ST, X), (S, XT), (X, XT)], ids=["shared", "exclusive", "behind a writer"])
def test_timed_requests_of_an_exact_lock_do_nothing_new(roles):
    body = together(lockmgr, *roles)
    seen = refines(body, searches=(("random", MANY), ("pct:3", 300)), timeouts="any")
    assert any(f"={EWOULDBLOCK}" in word for log in seen for word in log)


@pytest.mark.parametrize("roles", [(X, SF), (S, XF), (X, XF)], ids=["shared", "exclusive", "behind a writer"])
def test_requests_that_fail_if_they_slept_do_nothing_new(roles):
    refines(together(lockmgr, *roles), searches=(("random", 600),))


@pytest.mark.parametrize("flags", [0, LK_NOWAIT], ids=["waiting", "not waiting"])
@pytest.mark.parametrize("mode", [LK_SHARED, LK_EXCLUSIVE], ids=["shared", "exclusive"])
def test_canceled_requests_of_an_exact_lock_do_nothing_new(mode, flags):
    def canceler(m, lock, log, _name):
        lock.acquire()
        lock.cancel_beg()
        log.append("canceling")
        lock.release()

    asks = _request(mode | LK_CANCELABLE | flags, "c")
    refines(together(lockmgr, canceler, asks), searches=(("random", 600),))


def test_readers_who_waited_with_a_writer_come_in_as_at_the_atomic_depth():
    """All three wait while the boot CPU holds the lock; its release lets every counted reader in."""

    def body(m, log):
        lock = lockmgr(m)
        lock.acquire()
        for role in (S, X, S2):
            m.spawn(role, m, lock, log, "")
        m.tsleep("until all wait", 0, "", 1)
        log.append("released")
        lock.release()

    refines(body, searches=(("random", 600),))


# -- sleep queues and counts -------------------------------------------------------------------------


def test_an_exact_sleep_queue_does_nothing_an_atomic_one_cannot():
    def body(m, log):
        state = m.atomic(0)

        def sleeper(name):
            m.tsleep_interlock("x")
            if state.load() == 0:
                log.append((name, m.tsleep("x", vmsmp.PINTERLOCKED, "", 5)))
            else:
                log.append((name, "saw it"))

        def waker():
            state.store(1)
            m.wakeup("x")

        m.spawn(sleeper, "a")
        m.spawn(waker)

    assert 1 < len(refines(body))


def test_an_exact_refcount_does_nothing_an_atomic_one_cannot():
    def body(m, log):
        ref = m.refcount(2, "r")

        def user(name):
            log.append((name, ref.release_wakeup()))

        def waiter():
            ref.wait()
            log.append("zero")

        m.spawn(waiter)
        m.spawn(user, "a")
        m.spawn(user, "b")

    assert 1 < len(refines(body))
