"""Upgrades: granted, contested, timed out."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, delay, once
from vmsmp import (
    EBUSY,
    ENOLCK,
    EWOULDBLOCK,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
)


@DEPTHS
def test_an_upgrade_that_had_to_sleep_fails_if_it_asked_for_that(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def upgrader():
            lock.acquire_shared()
            seen.append((lock.lock(LK_UPGRADE | LK_SLEEPFAIL), lock.held()))

        lock.acquire_shared()
        m.spawn(upgrader)
        delay(m, 1)
        lock.release()
        m.join()

    vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks)
    assert [(ENOLCK, False)] == seen


@DEPTHS
@pytest.mark.parametrize("upgrade", [LK_UPGRADE, LK_EXCLUPGRADE])
def test_the_only_reader_is_upgraded_at_once(locks, upgrade):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire_shared()
        seen.append(lock.lock(upgrade))
        m.spawn(lambda: seen.append(lock.lock(LK_SHARED | LK_NOWAIT))).join()
        lock.release()

    once(program, locks)
    assert [0, EBUSY] == seen


@DEPTHS
@pytest.mark.parametrize("upgrade", [LK_UPGRADE, LK_EXCLUPGRADE])
def test_an_upgrade_by_the_owner_changes_nothing(locks, upgrade):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        seen.append(lock.lock(upgrade))
        lock.release()
        seen.append(lock.held())

    once(program, locks)
    assert [0, False] == seen


@DEPTHS
@pytest.mark.parametrize("upgrade", [LK_UPGRADE, LK_EXCLUPGRADE])
def test_an_upgrade_that_must_not_wait_gives_up_the_shared_hold_too(locks, upgrade):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def upgrader():
            lock.acquire_shared()
            seen.append((lock.lock(upgrade | LK_NOWAIT), lock.held()))

        lock.acquire_shared()
        m.spawn(upgrader).join()
        lock.release()

    once(program, locks)
    assert [(EBUSY, False)] == seen


@DEPTHS
def test_an_upgrade_waits_for_the_other_readers(locks):
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def upgrader():
            lock.acquire_shared()
            lock.upgrade()
            order.append("upgraded")
            lock.release()

        lock.acquire_shared()
        m.spawn(upgrader)
        delay(m, 1)
        order.append("reader leaves")
        lock.release()
        m.join()

    once(program, locks)
    assert ["reader leaves", "upgraded"] == order


@DEPTHS
def test_an_upgrade_goes_before_a_writer_who_waited_longer(locks):
    """UPREQ before EXREQ: an EXCLUPGRADE returns 0 only if nobody wrote in between (LK-13)."""
    order = []

    def program(m):
        lock = m.lockmgr("l")

        def upgrader():
            lock.acquire_shared()
            delay(m, 2)
            order.append(lock.lock(LK_EXCLUPGRADE))
            lock.release()

        def writer():
            delay(m, 1)
            lock.acquire()
            order.append("writer")
            lock.release()

        m.spawn(upgrader)
        m.spawn(writer)
        lock.acquire_shared()
        delay(m, 3)
        lock.release()
        m.join()

    once(program, locks)
    assert [0, "writer"] == order


def two_upgraders(m, kinds, seen):
    """Two readers upgrade; each notes what it got and whether anybody wrote in between."""
    lock, version = m.lockmgr("l"), m.cell(0)

    def upgrader(kind):
        lock.acquire_shared()
        before = version.load()
        error = lock.lock(kind)
        if error == 0:
            seen.append((kind, 0, version.load() - before))
            version.store(version.load() + 1)
            lock.release()
        else:
            seen.append((kind, error, lock.held()))

    for kind in kinds:
        m.spawn(upgrader, kind)
    m.join()


@DEPTHS
@SCHEDULES
def test_an_exclusive_upgrade_succeeds_only_if_nobody_wrote_in_between(locks, sched):
    seen = []
    result = vmsmp.explore(
        lambda m: two_upgraders(m, (LK_EXCLUPGRADE, LK_EXCLUPGRADE), seen),
        sched=sched,
        schedules=200,
        locks=locks,
    )
    assert [] == result.failures
    assert set() == set(seen) - {(LK_EXCLUPGRADE, 0, 0), (LK_EXCLUPGRADE, EBUSY, False)}


@DEPTHS
def test_of_two_exclusive_upgrades_that_meet_one_is_busy(locks):
    seen = []

    def program(m):
        two_upgraders(m, (LK_EXCLUPGRADE, LK_EXCLUPGRADE), seen)

    assert [] == vmsmp.explore(program, sched="random", schedules=100, locks=locks).failures
    assert (LK_EXCLUPGRADE, EBUSY, False) in seen


@DEPTHS
def test_the_upgrader_who_comes_second_is_busy_or_goes_to_the_end_of_the_line(locks):
    seen = []
    result = vmsmp.explore(
        lambda m: two_upgraders(m, (LK_UPGRADE, LK_UPGRADE), seen), sched="random", schedules=200, locks=locks
    )
    assert [] == result.failures
    assert {(LK_UPGRADE, 0, 0), (LK_UPGRADE, 0, 1)} == set(seen)


@DEPTHS
def test_an_upgrade_that_times_out_has_lost_the_shared_hold(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo=3)

        def upgrader():
            lock.acquire_shared()
            seen.append((lock.lock(LK_UPGRADE | LK_TIMELOCK), lock.held(), m.ticks))

        lock.acquire_shared()
        m.spawn(upgrader).join()
        lock.release()
        m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "it is free")
        lock.release()

    once(program, locks)
    assert [(EWOULDBLOCK, False, 3)] == seen


def test_an_upgrade_that_gives_up_may_grant_a_writer_a_lock_that_readers_hold():
    """undo_upreq grants EXREQ without a look at the readers: a finding of the kernel's own."""

    def program(m):
        lock = m.lockmgr("l", timo=3)

        def upgrader():
            lock.acquire_shared()
            delay(m, 2)
            lock.lock(LK_UPGRADE | LK_TIMELOCK)

        def writer():
            delay(m, 1)
            lock.acquire()
            lock.release()

        m.spawn(upgrader)
        m.spawn(writer)
        lock.acquire_shared()
        delay(m, 9)
        lock.release()
        m.join()

    result = vmsmp.explore(program, sched="dfs:0", schedules=1, locks="exact")
    signature = "check: state word of lockmgr 'l': granted exclusively while readers hold it"
    assert signature == result.failure.signature
