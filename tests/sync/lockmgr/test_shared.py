"""Shared requests: recursion, and which of readers and writers goes first."""

import vmsmp
from lock_runs import DEPTHS, delay, once
from vmsmp import (
    EBUSY,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
)


@DEPTHS
def test_a_shared_holder_may_take_it_shared_again(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire_shared()
        seen.append(lock.lock(LK_SHARED))
        lock.release()
        m.spawn(lambda: seen.append(lock.lock(LK_EXCLUSIVE | LK_NOWAIT))).join()
        lock.release()

    once(program, locks)
    assert [0, EBUSY] == seen


@DEPTHS
def test_a_new_reader_lets_a_waiting_writer_go_first(locks):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def writer():
            lock.acquire()
            order.append("writer")
            lock.release()

        def reader():
            delay(m, 1)
            lock.acquire_shared()
            order.append("reader")
            lock.release()

        lock.acquire_shared()
        m.spawn(writer)
        m.spawn(reader)
        delay(m, 2)
        lock.release()
        m.join()

    once(program, locks)
    assert ["writer", "reader"] == order


@DEPTHS
def test_readers_who_waited_for_a_writer_may_all_come_in_though_another_writer_waits(locks):
    """A release makes every counted shared request an owner; EXREQ cannot be set before that."""
    together = set()

    def program(m):
        lock, inside = m.lockmgr("l"), m.atomic(0)

        def reader():
            lock.acquire_shared()
            inside.fetchadd(1)
            for _ in range(3):
                m.yield_()
            together.add(inside.load())
            lock.release()

        def writer():
            with lock:
                pass

        lock.acquire()
        for fn in (reader, writer, reader):
            m.spawn(fn)
        delay(m, 1)  # until all three wait
        lock.release()
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=300, locks=locks).failures
    assert {1, 2} == together
