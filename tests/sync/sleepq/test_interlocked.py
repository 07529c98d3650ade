"""Sleeps that let go of a lock."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, delay, failure_of, once
from vmsmp import EINTR, EWOULDBLOCK, LK_TIMELOCK, PCATCH
from vmsmp.sync.errno import PDOMAIN_UMTX

LOCKS = {"ssleep": "spinlock", "lksleep": "lockmgr", "mtxsleep": "mutex", "zsleep": "mutex"}
SLEEPS = pytest.mark.parametrize("sleep", LOCKS)


def parts(m, sleep):
    """The lock, and how to sleep without it."""
    return getattr(m, LOCKS[sleep])("lock"), getattr(m, sleep)


def handing_over(sleep):
    """One CPU waits for what another one puts down under the lock, and wakes for."""

    def program(m):
        lock, sleeps = parts(m, sleep)
        ready = m.cell(0, "ready")

        def taker():
            with lock:
                while not ready.load():
                    sleeps("ready", lock)

        def giver():
            with lock:
                ready.store(1)
            m.wakeup("ready")

        m.spawn(taker)
        m.spawn(taker)
        m.spawn(giver)
        m.join()

    return program


@DEPTHS
@SLEEPS
@pytest.mark.parametrize("sched", ["random", "dfs:2"])
def test_no_wakeup_after_the_release_is_missed(locks, sleep, sched):
    assert None is failure_of(handing_over(sleep), locks, sched=sched, schedules=300, races=True)


@DEPTHS
@SLEEPS
def test_it_works_on_parallel_cpus(locks, sleep):
    assert None is vmsmp.run(handing_over(sleep), engine="free", locks=locks, seed=1).failure


@DEPTHS
@SLEEPS
def test_the_lock_is_free_meanwhile_and_held_again(locks, sleep):
    seen = []

    def program(m):
        lock, sleeps = parts(m, sleep)

        def sleeper():
            with lock:
                seen.append(sleeps("x", lock))
                seen.append(lock.mode_of(m.curcpu))

        m.spawn(sleeper)
        delay(m, 1)
        with lock:
            seen.append("taken")
            m.wakeup("x")
        m.join()

    once(program, locks)
    assert ["taken", 0, "exclusive"] == seen


@DEPTHS
@pytest.mark.parametrize("sleep", ["ssleep", "lksleep", "mtxsleep"])
def test_a_shared_hold_is_exclusive_afterwards(locks, sleep):
    def program(m, seen):
        lock, sleeps = parts(m, sleep)
        lock.acquire_shared()
        sleeps("x", lock, timo=1)
        seen.append(lock.mode_of(m.curcpu))
        lock.release()

    assert ["exclusive"] == alone(program, locks)


@DEPTHS
@SLEEPS
def test_it_ends_by_its_timeout(locks, sleep):
    def program(m, seen):
        lock, sleeps = parts(m, sleep)
        with lock:
            seen.append((sleeps("x", lock, wmesg="wait", timo=3), m.ticks))

    assert [(EWOULDBLOCK, 3)] == alone(program, locks)


@DEPTHS
@SLEEPS
def test_it_ends_by_a_signal(locks, sleep):
    def program(m, seen):
        lock, sleeps = parts(m, sleep)
        m.signal(m.curcpu)
        with lock:
            seen.append(sleeps("x", lock, PCATCH))

    assert [EINTR] == alone(program, locks)


@DEPTHS
@SLEEPS
def test_it_is_announced_in_its_domain(locks, sleep):
    seen = []

    def program(m):
        lock, sleeps = parts(m, sleep)

        def sleeper():
            with lock:
                seen.append(sleeps("x", lock, PDOMAIN_UMTX, timo=9))

        m.spawn(sleeper)
        delay(m, 1)
        m.wakeup("x")
        delay(m, 1)
        seen.append("still asleep")
        m.wakeup_domain("x", PDOMAIN_UMTX)
        m.join()

    once(program, locks)
    assert ["still asleep", 0] == seen


@DEPTHS
def test_lksleep_does_not_look_whether_it_has_the_lock_again(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("lock", timo=2, flags=LK_TIMELOCK)

        def sleeper():
            lock.acquire()
            seen.append(m.lksleep("x", lock, timo=1))
            seen.append(lock.held())

        m.spawn(sleeper)
        m.yield_()
        lock.acquire()
        delay(m, 9)
        lock.release()
        m.join()

    once(program, locks)
    assert [EWOULDBLOCK, False] == seen


@DEPTHS
@SLEEPS
def test_one_who_does_not_hold_the_lock_must_not_sleep_so(locks, sleep):
    def program(m):
        lock, sleeps = parts(m, sleep)
        sleeps("x", lock, timo=1)

    assert failure_of(program, locks, schedules=1).kind in {"lock-misuse", "check"}
