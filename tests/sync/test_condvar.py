"""Condition variables at both depths: what POSIX promises, and what it does not."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, delay, failure_of, once
from vmsmp import EWOULDBLOCK


def handing_over(m, *, loop=True, lock="lockmgr", consumers=2, wake="signal", name="cv"):
    """Each producer puts one thing and wakes; each consumer waits until there is one."""
    mutex, cv, things = getattr(m, lock)("l"), m.condvar(name), m.cell(0, "things")

    def consumer():
        with mutex:
            while things.load() == 0:
                cv.wait(mutex)
                if not loop:
                    break
            m.check(things.load() > 0, "there is a thing")
            things.store(things.load() - 1)

    def producer():
        with mutex:
            things.store(things.load() + 1)
            getattr(cv, wake)()

    for _ in range(consumers):
        m.spawn(consumer)
        m.spawn(producer)
    m.join()
    m.check(things.load() == 0, "each thing was taken")


@DEPTHS
@SCHEDULES
@pytest.mark.parametrize("lock", ["lockmgr", "spinlock"])
@pytest.mark.parametrize("wake", ["signal", "broadcast"])
def test_consumers_who_look_again_get_what_producers_put(locks, sched, lock, wake):
    result = vmsmp.explore(
        lambda m: handing_over(m, lock=lock, wake=wake), sched=sched, schedules=150, locks=locks, races=True
    )
    assert [] == result.failures


@DEPTHS
def test_so_they_do_when_waits_end_for_no_reason(locks):
    assert None is failure_of(handing_over, locks, schedules=300, spurious=True)


@DEPTHS
def test_a_consumer_that_does_not_look_again_may_find_nothing(locks):
    failure = failure_of(lambda m: handing_over(m, loop=False), locks)
    assert "check: there is a thing" == failure.signature


@DEPTHS
def test_a_single_consumer_that_does_not_look_again_finds_nothing_after_a_spurious_end(locks):
    def program(m):
        handing_over(m, loop=False, consumers=1)

    assert None is failure_of(program, locks, schedules=300)
    assert "check: there is a thing" == failure_of(program, locks, spurious=True).signature


@DEPTHS
def test_on_parallel_cpus_nothing_is_lost_either(locks):
    assert None is vmsmp.run(handing_over, engine="free", locks=locks, seed=1).failure


@DEPTHS
def test_a_signal_that_finds_nobody_is_lost(locks):
    def program(m):
        lock, cv = m.lockmgr("l"), m.condvar("cv")
        with lock:
            cv.signal()
            cv.broadcast()
            m.check(cv.wait(lock, timo=3) == EWOULDBLOCK, "only the timeout ends it")
        m.check(m.ticks == 3, "after three ticks")

    once(program, locks, check=False)


@DEPTHS
def test_a_signal_sent_too_early_is_called_a_lost_wakeup(locks):
    """The flag is set and signalled without the lock that the waiter looks under."""

    def program(m):
        lock, cv, ready = m.lockmgr("l"), m.condvar("cv"), m.atomic(0, "ready")

        def waiter():
            with lock:
                if not ready.load():
                    cv.wait(lock)

        m.spawn(waiter)
        ready.store(1)
        cv.signal()
        m.join()

    failure = failure_of(program, locks)
    assert "lost-wakeup: cv: its wakeup came before the sleep" == failure.signature


def waiting(m, waiters):
    """A lock, a condition variable and CPUs that wait for it once; what they do is in the list."""
    lock, cv, ends = m.lockmgr("l"), m.condvar("cv"), []

    def waiter():
        with lock:
            ends.append(cv.wait(lock, timo=50))

    for _ in range(waiters):
        m.spawn(waiter)
    delay(m, 1)
    return lock, cv, ends


@DEPTHS
def test_a_signal_wakes_at_least_one_of_those_who_sleep(locks):
    """Not just one: the exact sleep queues wake one on each CPU that may match."""

    def program(m):
        _, cv, ends = waiting(m, 3)
        cv.signal()
        m.join()
        m.check(0 in ends, "one was woken")

    once(program, locks, check=False)


@DEPTHS
def test_a_broadcast_wakes_all(locks):
    def program(m):
        _, cv, ends = waiting(m, 3)
        cv.broadcast()
        m.join()
        m.check(ends == [0, 0, 0], "all were woken")

    once(program, locks)


@DEPTHS
def test_the_lock_is_free_while_a_cpu_waits_and_held_when_it_returns(locks):
    def program(m):
        lock, cv = m.lockmgr("l"), m.condvar("cv")

        def waiter():
            with lock:
                cv.wait(lock)
                m.check(lock.held(), "held again")

        m.spawn(waiter)
        delay(m, 1)
        with lock:
            cv.signal()
        m.join()

    once(program, locks)


@DEPTHS
def test_a_signal_to_the_cpu_does_not_end_the_wait(locks):
    def program(m):
        lock, cv = m.lockmgr("l"), m.condvar("cv")

        def waiter():
            with lock:
                m.check(cv.wait(lock, timo=5) == EWOULDBLOCK, "the time was up")

        cpu = m.spawn(waiter)
        delay(m, 1)
        m.signal(cpu)
        m.join()

    once(program, locks, check=False)


@DEPTHS
@pytest.mark.parametrize(
    ("take", "held"), [("", "not at all"), ("acquire_shared", "shared")], ids=["not held", "shared"]
)
def test_a_wait_needs_the_lock_exclusively(locks, take, held):
    def program(m):
        lock, cv = m.lockmgr("l"), m.condvar("cv")
        if take:
            getattr(lock, take)()
        cv.wait(lock)

    failure = failure_of(program, locks)
    assert f"lock-misuse: condvar 'cv' waited for with lockmgr 'l', which is held {held}" == failure.signature


@DEPTHS
def test_two_locks_for_one_condition_variable_are_misuse(locks):
    def program(m):
        cv = m.condvar("cv")

        def waiter(lock):
            with lock:
                cv.wait(lock, timo=5)

        m.spawn(waiter, m.lockmgr("a"))
        m.spawn(waiter, m.lockmgr("b"))
        m.join()

    assert "lock-misuse: condvar 'cv' waited for with two locks" == failure_of(program, locks).signature


@DEPTHS
def test_a_wait_with_another_spinlock_held_is_misuse(locks):
    def program(m):
        lock, spin = m.lockmgr("l"), m.spinlock("s")
        lock.acquire()
        spin.acquire()
        m.condvar("cv").wait(lock)

    assert "lock-misuse" == failure_of(program, locks).kind


def test_a_waiter_that_timed_out_stays_counted_until_the_next_signal():
    seen = []

    def program(m):
        lock, cv = m.lockmgr("l"), m.condvar("cv")
        with lock:
            cv.wait(lock, timo=1)
            seen.append(cv.cv_waiters.peek())
            cv.signal()
            seen.append(cv.cv_waiters.peek())

    once(program, "exact", check=False)
    assert [1, 0] == seen


@DEPTHS
def test_a_report_calls_it_by_its_name(locks):
    def program(m, seen):
        seen.extend([repr(m.condvar("cv")), m.condvar("cv").state()])

    seen = []
    once(lambda m: program(m, seen), locks)
    assert "condvar 'cv'" == seen[0]
    assert seen[1].endswith("0 waiting")
