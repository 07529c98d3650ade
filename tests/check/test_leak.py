"""Leaks: a CPU that ends its program with a lock in its hands."""

import pytest

import vmsmp
from verdicts import found, silent

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@DEPTHS
@pytest.mark.parametrize("sort", ["spinlock", "token", "lockmgr"])
@pytest.mark.parametrize("how", ["acquire", "acquire_shared"])
def test_a_cpu_that_ends_with_a_lock_is_found(locks, sort, how):
    def program(m):
        lock = getattr(m, sort)("l")
        m.spawn(getattr(lock, how))
        m.join()

    failure = found(program, "leak", f"ended holding {sort} 'l'", locks=locks)
    mode = "exclusive" if how == "acquire" else "shared"
    assert (f"cpu1 holds {mode} {sort} 'l'",) == failure.facts


@DEPTHS
def test_the_boot_cpu_is_looked_at_as_well(locks):
    found(lambda m: m.lockmgr("l").acquire(), "leak", "ended holding lockmgr 'l'", locks=locks)


@DEPTHS
def test_all_locks_that_are_left_are_named(locks):
    def program(m):
        m.lockmgr("b").acquire()
        m.token("a").acquire()

    found(program, "leak", "ended holding lockmgr 'b', token 'a'", locks=locks)


@DEPTHS
def test_one_level_of_recursion_too_few_released_is_found(locks):
    def program(m):
        token = m.token("t")
        token.acquire()
        token.acquire()
        token.release()

    found(program, "leak", "ended holding token 't'", locks=locks)


@DEPTHS
def test_a_cpu_that_released_everything_is_silent(locks):
    def program(m):
        lock, token, spin = m.lockmgr("l"), m.token("t"), m.spinlock("s")

        def worker():
            lock.acquire_shared()
            if lock.lock(vmsmp.LK_EXCLUPGRADE) == 0:
                lock.downgrade()
                lock.release()
            with token, token:
                m.tsleep("nap", 0, "", 1)
            if spin.try_acquire():
                spin.release()

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    silent(program, locks=locks)


def test_the_free_engine_finds_it_too():
    def program(m):
        m.spawn(m.lockmgr("l").acquire)
        m.join()

    assert "leak: ended holding lockmgr 'l'" == vmsmp.run(program, engine="free").failure.signature
