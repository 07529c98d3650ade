"""Reader-writer locks at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, delay, failure_of, once


def counting(m, readers=2, writers=2):
    """Writers add under the lock, readers look twice; the cell has no other protection."""
    lock, data = m.rwlock("rw"), m.cell(0, "data")

    def reader():
        lock.acquire_shared()
        m.check(data.load() == data.load(), "it stands still")
        lock.release()

    def writer():
        with lock:
            data.store(data.load() + 1)

    for _ in range(readers):
        m.spawn(reader)
    for _ in range(writers):
        m.spawn(writer)
    m.join()
    m.check(data.load() == writers, "each writer counts")


@DEPTHS
@SCHEDULES
def test_writers_are_alone_and_readers_see_no_writer(locks, sched):
    assert [] == vmsmp.explore(counting, sched=sched, schedules=200, locks=locks, races=True).failures


@DEPTHS
def test_waits_that_end_for_no_reason_change_nothing(locks):
    assert None is failure_of(counting, locks, schedules=300, spurious=True)


@DEPTHS
def test_it_works_on_parallel_cpus(locks):
    assert None is vmsmp.run(counting, engine="free", locks=locks, seed=1).failure


@DEPTHS
def test_readers_are_inside_together(locks):
    def program(m):
        lock, inside = m.rwlock("rw"), m.barrier(2, "inside")

        def reader():
            lock.acquire_shared()
            inside.wait()
            lock.release_shared()

        m.spawn(reader)
        m.spawn(reader)
        m.join()

    assert None is failure_of(program, locks, schedules=200)


@DEPTHS
def test_a_waiting_writer_holds_off_new_readers(locks):
    order = []

    def program(m):
        lock = m.rwlock("rw")

        def take(name, how):
            getattr(lock, how)()
            order.append(name)
            lock.release()

        lock.acquire_shared()
        m.spawn(take, "writer", "acquire")
        delay(m, 1)
        m.check(not lock.try_acquire_shared(), "no reader is let in")
        m.spawn(take, "reader", "acquire_shared")
        delay(m, 1)
        lock.release()
        m.join()

    once(program, locks)
    assert ["writer", "reader"] == order


@DEPTHS
def test_a_reader_that_asks_again_may_wait_for_the_writer_that_waits_for_it(locks):
    def program(m):
        lock = m.rwlock("rw")

        def reader():
            lock.acquire_shared()
            lock.acquire_shared()
            lock.release()
            lock.release()

        m.spawn(reader)
        with lock:
            pass
        m.join()

    assert "cycle rw -> rw" == failure_of(program, locks).message


@DEPTHS
@pytest.mark.parametrize(
    ("held", "answers"),
    [("", [True, True]), ("acquire", [False, False]), ("acquire_shared", [False, True])],
    ids=["free", "written", "read"],
)
def test_a_try_is_granted_if_it_need_not_wait(locks, held, answers):
    def program(m, seen):
        lock = m.rwlock("rw")

        def tries():
            for how in (lock.try_acquire, lock.try_acquire_shared):
                seen.append(how())
                if seen[-1]:
                    lock.release()

        if held:
            getattr(lock, held)()
        m.spawn(tries).join()
        if held:
            lock.release()

    assert answers == alone(program, locks)


@DEPTHS
def test_a_release_by_a_cpu_that_does_not_hold_it_is_misuse_with_no_checker_on(locks):
    failure = failure_of(lambda m: m.rwlock("rw").release(), locks, check=False)
    assert "lock-misuse: rwlock 'rw' released by a CPU that does not hold it" == failure.signature


@DEPTHS
def test_two_of_them_in_opposite_orders_are_found_without_a_deadlock(locks):
    def program(m):
        a, b = m.rwlock("a"), m.rwlock("b")

        def nest(first, second):
            with first, second:
                pass

        m.spawn(nest, a, b)
        m.spawn(nest, b, a)
        m.join()

    failure = failure_of(program, locks, sched="dfs:0", schedules=1)
    assert "lock-order: a -> b -> a" == failure.signature


@DEPTHS
def test_a_deadlock_between_two_of_them_is_told_as_a_cycle(locks):
    def program(m):
        a, b = m.rwlock("a"), m.rwlock("b")

        def nest(first, second):
            with first:
                m.yield_()
                with second:
                    pass

        m.spawn(nest, a, b)
        m.spawn(nest, b, a)
        m.join()

    failure = failure_of(program, locks, check=False)
    assert "deadlock: cycle a -> b -> a" == failure.signature


@DEPTHS
def test_a_cpu_that_ends_with_it_is_found(locks):
    def program(m):
        m.spawn(m.rwlock("rw").acquire_shared)
        m.join()

    assert "leak: ended holding rwlock 'rw'" == failure_of(program, locks).signature


@DEPTHS
@pytest.mark.parametrize("how", ["acquire", "acquire_shared"])
def test_asking_for_it_with_a_spinlock_held_is_misuse(locks, how):
    def program(m):
        with m.spinlock("s"):
            getattr(m.rwlock("rw"), how)()

    assert "lock-misuse" == failure_of(program, locks).kind


def test_a_writer_that_readers_do_not_see_is_caught_by_the_word():
    def program(m):
        lock = m.rwlock("rw")
        lock.acquire_shared()
        lock.word.setbits(1 << 31)
        m.cell(0).load()

    assert "check: state word of rwlock 'rw': WRITER is set beside readers" == (
        failure_of(program, "exact").signature
    )


def test_a_word_left_over_is_caught_at_the_end():
    failure = failure_of(lambda m: m.rwlock("rw").word.fetchadd(1 << 16), "exact")
    assert "state word of rwlock 'rw': nobody uses it but the word is 1w|0" == failure.message
