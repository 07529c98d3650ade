"""Release, downgrade and cancel."""

import pytest

import vmsmp
from lock_runs import DEPTHS, MODES, SCHEDULES, delay, once, watched
from vmsmp import (
    EBUSY,
    ENOLCK,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_UPGRADE,
)
from vmsmp.sync.observer import LockObserver


@DEPTHS
@SCHEDULES
def test_nobody_writes_between_a_downgrade_and_the_release_after_it(locks, sched):
    def program(m):
        lock, version = m.lockmgr("l"), m.cell(0)

        def writer():
            lock.acquire()
            version.store(version.load() + 1)
            mine = version.load()
            lock.downgrade()
            m.check(version.load() == mine, "nobody wrote in between")
            lock.release()

        def reader():
            lock.acquire_shared()
            lock.release()

        for fn in (writer, writer, reader):
            m.spawn(fn)
        m.join()

    assert [] == vmsmp.explore(program, sched=sched, schedules=200, locks=locks).failures


@DEPTHS
def test_a_downgrade_lets_waiting_readers_in(locks):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def reader():
            lock.acquire_shared()
            order.append("reader")
            lock.release()

        lock.acquire()
        m.spawn(reader)
        delay(m, 1)
        lock.downgrade()
        delay(m, 1)
        order.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert ["reader", "released"] == order


@DEPTHS
@pytest.mark.parametrize("prepare", [[], [LK_SHARED], [LK_EXCLUSIVE, LK_EXCLUSIVE | LK_CANRECURSE]])
def test_only_what_is_held_exclusively_once_can_be_downgraded(locks, prepare):
    def program(m):
        lock = m.lockmgr("l")
        for flags in prepare:
            lock.lock(flags)
        lock.lock(LK_DOWNGRADE)

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert "panic: lockmgr: not holding exclusive lock: lockmgr 'l'" == failure.message


@DEPTHS
@pytest.mark.parametrize(("holds", "mode"), [(LK_EXCLUSIVE, LK_SHARED), (LK_SHARED, LK_EXCLUSIVE)])
def test_a_cancelable_request_fails_while_the_owner_cancels(locks, holds, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks(flags):
            error = lock.lock(mode | flags)
            seen.append(error)
            if not error:
                lock.release()

        lock.lock(holds)
        m.spawn(asks, LK_CANCELABLE)
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        m.spawn(asks, LK_CANCELABLE)  # a new one fails as well
        delay(m, 1)
        seen.append("canceled")
        lock.cancel_end()
        m.spawn(asks, LK_CANCELABLE)
        delay(m, 1)
        seen.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert [ENOLCK, ENOLCK, "canceled", "released", 0] == seen


@DEPTHS
def test_a_cancel_ends_the_wait_of_a_writer_behind_a_writer(locks):
    """Such a one has set EXREQ2 alone."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lambda: seen.append(lock.lock(LK_EXCLUSIVE | LK_CANCELABLE)))
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        seen.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert [ENOLCK, "released"] == seen


@DEPTHS
def test_a_second_cancel_is_a_panic(locks):
    def program(m):
        with m.lockmgr("l") as lock:
            lock.cancel_beg()
            lock.cancel_beg()

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert "panic: lockmgr: lockmgr 'l' is being canceled already" == failure.message


@DEPTHS
def test_a_cancel_of_a_lock_that_nobody_holds_is_a_panic(locks):
    failure = vmsmp.explore(lambda m: m.lockmgr("l").cancel_beg(), schedules=1, locks=locks).failure
    assert "panic: lockmgr: lockmgr 'l' is canceled and nobody holds it" == failure.message


def test_the_end_of_a_cancel_is_one_step_and_wakes_nobody():
    steps = []

    def program(m, ends):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lambda: (lock.acquire(), lock.release()))
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        for _ in range(ends):
            lock.cancel_end()
        delay(m, 1)
        lock.release()

    for ends in (1, 2):
        result = vmsmp.explore(
            lambda m, ends=ends: program(m, ends), sched="dfs:0", schedules=1, locks="exact"
        )
        steps.append(result.steps)
    assert 1 == steps[1] - steps[0]


@DEPTHS
@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([LK_RELEASE], "panic: lockmgr: LK_RELEASE: no lock held: lockmgr 'l'"),
        ([LK_UPGRADE], "panic: lockmgr: upgrade unowned lock: lockmgr 'l'"),
        ([LK_EXCLUPGRADE], "panic: lockmgr: upgrade unowned lock: lockmgr 'l'"),
    ],
)
def test_a_request_on_a_lock_that_nobody_holds_is_a_panic(locks, requests, message):
    def program(m):
        lock = m.lockmgr("l")
        for flags in requests:
            lock.lock(flags)

    assert message == vmsmp.explore(program, schedules=1, locks=locks).failure.message


@DEPTHS
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (LK_RELEASE, "panic: lockmgr: not exclusive lock holder: lockmgr 'l'"),
        (LK_UPGRADE, "panic: lockmgr: upgrade unowned lock: lockmgr 'l'"),
    ],
)
def test_a_request_on_a_lock_that_another_cpu_holds_exclusively_is_a_panic(locks, request_, message):
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lock.lock, request_).join()

    assert message == vmsmp.explore(program, schedules=1, locks=locks).failure.message


def test_a_recursive_release_is_a_fetchadd_that_leaves_the_holder():
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.lock(LK_EXCLUSIVE | LK_CANRECURSE)
        lock.release()
        seen.append((lock.lk_count.peek(), lock.lk_lockholder.peek() is m.curcpu.td))
        lock.release()

    once(program)
    assert [(1, True)] == seen


@DEPTHS
@MODES
def test_a_request_that_is_not_cancelable_waits_on(locks, mode):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            order.append(lock.lock(mode))
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        order.append("released")
        lock.release()
        m.join()

    once(program, locks)
    assert ["released", 0] == order


@DEPTHS
def test_the_last_release_ends_a_cancel(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            seen.append(lock.lock(LK_SHARED | LK_CANCELABLE))
            lock.release()

        with lock:
            lock.cancel_beg()
        with lock:
            m.spawn(asks)
            delay(m, 1)
        m.join()

    once(program, locks)
    assert [0] == seen


@DEPTHS
@MODES
def test_a_canceled_request_that_must_not_wait_looks_for_the_cancel_first(locks, mode):
    seen = []

    def program(m):
        with m.lockmgr("l") as lock:
            lock.cancel_beg()
            m.spawn(lambda: seen.append(lock.lock(mode | LK_NOWAIT | LK_CANCELABLE))).join()
            lock.cancel_end()

    once(program, locks)
    assert [ENOLCK] == seen


def test_the_last_reader_hands_the_lock_to_the_waiting_writer():
    """The grant is made by the releaser: nobody can slip in between."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def writer():
            lock.acquire()
            lock.release()

        lock.acquire_shared()
        m.spawn(writer)
        delay(m, 1)
        lock.release()
        seen.append(lock.lk_count.peek())
        seen.append(lock.lock(LK_SHARED | LK_NOWAIT))
        m.join()

    once(program)
    assert [1, EBUSY] == seen


def test_a_release_that_is_tried_again_is_told_once_and_holds_until_then():
    seen, told = [], []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.note_released(m.curcpu, "exclusive")
        seen.append(lock.held())
        lock.note_kept(m.curcpu, "exclusive")
        seen.append(lock.held())
        lock.release()
        seen.append(lock.held())

    class Releases(LockObserver):
        def released(self, cpu, lock, mode):
            told.append(mode)

    watched(program, Releases())
    assert ([False, True, False], ["exclusive"]) == (seen, told)
