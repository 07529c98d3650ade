"""Deadlock: a standstill, and the cycle or the wait that explains it."""

import pytest

import vmsmp
from verdicts import found, silent

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def nest(m, first, second):
    with first:
        m.yield_()
        with second:
            pass


@DEPTHS
@pytest.mark.parametrize("sort", ["spinlock", "lockmgr"])
def test_a_cycle_of_two_locks_is_named(locks, sort):
    def program(m):
        a, b = getattr(m, sort)("a"), getattr(m, sort)("b")
        m.spawn(nest, m, a, b)
        m.spawn(nest, m, b, a)
        m.join()

    # With all checkers lock order speaks first.
    failure = vmsmp.explore(program, sched="random", schedules=300, locks=locks, check=False).failure
    assert ("deadlock", "cycle a -> b -> a") == (failure.kind, failure.message)
    again = vmsmp.replay(program, failure.schedule, check=False)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)


@DEPTHS
def test_a_cycle_of_three_is_named_from_the_same_lock_in_every_run(locks):
    def program(m):
        a, b, c = (m.lockmgr(name) for name in "abc")
        for pair in ((c, a), (a, b), (b, c)):
            m.spawn(nest, m, *pair)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=100, locks=locks, check=False, stop="never")
    assert ["deadlock: cycle a -> b -> c -> a"] == list(result.counts)


@DEPTHS
def test_a_sleep_that_nobody_will_end_is_named(locks):
    def program(m):
        m.spawn(m.tsleep, "godot")
        m.join()

    failure = found(program, "deadlock", "no CPU can run; waited for: godot", locks=locks)
    assert any("sleep on godot" in fact for fact in failure.facts)


@DEPTHS
def test_a_lock_that_its_holder_never_releases_is_named(locks):
    def program(m):
        lock = m.lockmgr("l")

        def holder():
            lock.acquire()
            m.tsleep("godot")

        m.spawn(holder)
        m.yield_()
        with lock:
            pass
        m.join()

    failure = found(program, "deadlock", "no CPU can run; waited for: godot, l", locks=locks)
    assert any("holds exclusive lockmgr 'l'" in fact for fact in failure.facts)


@DEPTHS
def test_two_cpus_that_join_each_other_are_a_cycle(locks):
    def program(m):
        cpus = []

        def joiner(other):
            while len(cpus) < 2:
                m.yield_()
            cpus[other].join()

        cpus.append(m.spawn(joiner, 1))
        cpus.append(m.spawn(joiner, 0))
        m.join()

    found(program, "deadlock", "cycle join -> join -> join", locks=locks)


@DEPTHS
def test_tokens_in_opposite_orders_are_silent(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")
        m.spawn(nest, m, a, b)
        m.spawn(nest, m, b, a)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_standstill_that_a_timeout_ends_is_silent(locks):
    def program(m):
        lock = m.lockmgr("l", timo=4)

        def holder():
            lock.acquire()
            m.tsleep("nap", 0, "", 9)
            lock.release()

        m.spawn(holder)
        m.yield_()
        if lock.lock(vmsmp.LK_SHARED | vmsmp.LK_TIMELOCK) == 0:
            lock.release()
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_the_same_lock_order_everywhere_is_silent(locks):
    def program(m):
        a, b = m.lockmgr("a"), m.lockmgr("b")
        for _ in range(3):
            m.spawn(nest, m, a, b)
        m.join()

    silent(program, locks=locks)
