"""lockmgr locks at both depths: requests, error numbers, hand-over, and the word of the exact one."""

import pytest

import vmsmp
from vmsmp import (
    EBUSY,
    EINTR,
    ENOLCK,
    EWOULDBLOCK,
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_DOWNGRADE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_PCATCH,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
)
from vmsmp.sync.lockmgr import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_UPREQ,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SCHEDULES = pytest.mark.parametrize("sched", ["random", "dfs:2", "pct:3"])
MODES = pytest.mark.parametrize("mode", [LK_SHARED, LK_EXCLUSIVE])


def once(program, locks="exact", **options):
    """The one run in which every CPU goes on until it cannot or gives way."""
    result = vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks, **options)
    assert [] == result.failures


def delay(m, ticks):
    """Let everybody else get as far as they can, then `ticks` more."""
    m.tsleep(f"delay of cpu{m.curcpu.index}", 0, "delay", ticks)


def against(locks, holds, flags, timo=0):
    """What a request by another CPU returns at once while the boot CPU `holds` the lock."""
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo)

        def asks():
            seen.append(lock.lock(flags))
            if not seen[0]:
                lock.release()

        if holds:
            lock.lock(holds)
        m.spawn(asks).join()
        if holds:
            lock.release()

    once(program, locks)
    return seen[0]


# -- grants and refusals -----------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize(
    ("holds", "wants", "error"),
    [
        (None, LK_SHARED, 0),
        (None, LK_EXCLUSIVE, 0),
        (LK_SHARED, LK_SHARED, 0),
        (LK_SHARED, LK_EXCLUSIVE, EBUSY),
        (LK_EXCLUSIVE, LK_SHARED, EBUSY),
        (LK_EXCLUSIVE, LK_EXCLUSIVE, EBUSY),
    ],
)
def test_a_request_that_must_not_wait_is_granted_or_busy(locks, holds, wants, error):
    assert error == against(locks, holds, wants | LK_NOWAIT)


@DEPTHS
@pytest.mark.parametrize("holds", [LK_SHARED, LK_EXCLUSIVE])
@MODES
def test_a_timed_request_that_is_not_granted_in_time_would_block(locks, holds, mode):
    expected = 0 if holds == mode == LK_SHARED else EWOULDBLOCK
    assert expected == against(locks, holds, mode | LK_TIMELOCK, timo=7)


@DEPTHS
def test_a_timed_request_waits_exactly_its_time(locks):
    ticks = []

    def program(m):
        lock = m.lockmgr("l", timo=7)
        lock.acquire()
        m.spawn(lambda: (lock.lock(LK_SHARED | LK_TIMELOCK), ticks.append(m.ticks))).join()
        lock.release()

    once(program, locks)
    assert [7] == ticks


@DEPTHS
@MODES
def test_a_timed_request_is_granted_when_the_lock_comes_free_in_time(locks, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo=50)

        def asks():
            seen.append((lock.lock(mode | LK_TIMELOCK), m.ticks))
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 3)
        lock.release()
        m.join()

    once(program, locks)
    assert [(0, 3)] == seen


@DEPTHS
def test_without_the_flag_the_lock_has_no_time_limit(locks):
    def program(m):
        lock = m.lockmgr("l", timo=2)

        def asks():
            m.check(lock.lock(LK_SHARED) == 0, "granted")
            m.check(m.ticks == 9, "only when it came free")
            lock.release()

        lock.acquire()
        m.spawn(asks)
        delay(m, 9)
        lock.release()
        m.join()

    once(program, locks)


@DEPTHS
@pytest.mark.parametrize("holds", [LK_SHARED, LK_EXCLUSIVE])
def test_a_request_that_had_to_sleep_fails_if_it_asked_for_that(locks, holds):
    """Even if the lock was handed to it meanwhile: then it goes back."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.lock(holds)
        m.spawn(lambda: seen.append((lock.lock(LK_EXCLUSIVE | LK_SLEEPFAIL), lock.held())))
        delay(m, 1)
        lock.release()
        m.join()

    vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks)
    assert [(ENOLCK, False)] == seen


@DEPTHS
def test_a_request_that_need_not_sleep_does_not_mind_the_flag(locks):
    assert 0 == against(locks, LK_SHARED, LK_SHARED | LK_SLEEPFAIL)


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
def test_an_unknown_request_is_an_error_of_the_program(locks):
    failure = vmsmp.explore(lambda m: m.lockmgr("l").lock(0), schedules=1, locks=locks).failure
    assert "exception" == failure.kind
    assert "unknown request" in failure.message


@DEPTHS
def test_an_interrupted_wait_says_so(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        waiter = m.spawn(lambda: seen.append(lock.lock(LK_EXCLUSIVE | LK_PCATCH)))
        delay(m, 1)
        m.signal(waiter)
        delay(m, 1)
        seen.append("still owned")
        lock.release()
        m.join()

    once(program, locks)
    assert [EINTR, "still owned"] == seen


# -- exclusion ------------------------------------------------------------------------------------


def counting(m, rounds, cpus):
    lock, cell = m.lockmgr("l"), m.cell(0)

    def adder():
        for _ in range(rounds):
            with lock:
                cell.store(cell.load() + 1)

    def reader():
        for _ in range(rounds):
            lock.acquire_shared()
            m.check(cell.load() == cell.load(), "nobody writes under a reader")
            lock.release()

    for n in range(cpus):
        m.spawn(adder if n % 3 else reader)
    m.join()
    m.check(cell.load() == rounds * len([n for n in range(cpus) if n % 3]), "every section counts")


@DEPTHS
@SCHEDULES
def test_critical_sections_do_not_overlap(locks, sched):
    result = vmsmp.explore(lambda m: counting(m, 1, 3), sched=sched, schedules=200, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_critical_sections_do_not_overlap_between_parallel_cpus(locks):
    assert None is vmsmp.run(lambda m: counting(m, 40, 3), engine="free", locks=locks).failure


def mixing(m):
    """All requests against each other."""
    lock, owner = m.lockmgr("l", timo=5), m.cell(None)

    def alone():
        me = m.curcpu.index
        owner.store(me)
        m.check(owner.load() == me, "alone inside")

    def upgrader():
        lock.acquire_shared()
        if lock.lock(LK_EXCLUPGRADE) == 0:
            alone()
            lock.downgrade()
            lock.release()

    def writer():
        lock.acquire()
        alone()
        lock.release()

    def weak():
        lock.acquire_shared()
        lock.upgrade()
        alone()
        lock.release()

    def trier():
        if lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0:
            alone()
            lock.release()

    for fn in (upgrader, writer, weak, trier):
        m.spawn(fn)
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "all over, it is free")
    lock.release()


@DEPTHS
@SCHEDULES
def test_all_requests_together_keep_exclusion_and_leave_the_lock_free(locks, sched):
    assert [] == vmsmp.explore(mixing, sched=sched, schedules=300, locks=locks).failures


@DEPTHS
def test_all_requests_together_keep_exclusion_between_parallel_cpus(locks):
    def program(m):
        for _ in range(12):
            mixing(m)

    assert None is vmsmp.run(program, engine="free", locks=locks).failure


# -- recursion ----------------------------------------------------------------------------------------


@DEPTHS
@MODES
def test_a_request_by_the_owner_is_locking_against_myself(locks, mode):
    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.lock(mode)

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert "check: panic: lockmgr: locking against myself: lockmgr 'l'" == failure.signature


@DEPTHS
@MODES
def test_a_request_by_the_owner_that_must_not_wait_is_busy(locks, mode):
    seen = []

    def program(m):
        with m.lockmgr("l") as lock:
            seen.append(lock.lock(mode | LK_NOWAIT))

    once(program, locks)
    assert [EBUSY] == seen


@DEPTHS
@MODES
def test_a_recursive_request_stays_exclusive_until_the_last_release(locks, mode):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def asks():
            got = lock.lock(LK_SHARED | LK_NOWAIT)
            seen.append(got)
            if not got:
                lock.release()

        lock.acquire()
        seen.append(lock.lock(mode | LK_CANRECURSE))
        m.spawn(asks).join()
        lock.release()
        m.spawn(asks).join()
        lock.release()
        m.spawn(asks).join()

    once(program, locks)
    assert [0, EBUSY, EBUSY, 0] == seen


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


# -- upgrade and downgrade ----------------------------------------------------------------------------


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
    assert "panic: lockmgr: downgrade of lockmgr 'l', which is not held exclusively once" == failure.message


# -- who goes first -----------------------------------------------------------------------------------


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


# -- cancel ---------------------------------------------------------------------------------------------


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


def test_a_cancel_does_not_wake_a_writer_queued_behind_a_writer():
    """Such a one has set EXREQ2 alone, and the kernel looks for the other requests only."""
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        m.spawn(lambda: (seen.append(lock.lock(LK_EXCLUSIVE | LK_CANCELABLE)), lock.release()))
        delay(m, 1)
        lock.cancel_beg()
        delay(m, 1)
        seen.append("released")
        lock.release()
        m.join()

    once(program)
    assert ["released", 0] == seen


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
@pytest.mark.parametrize(("mode", "error"), [(LK_SHARED, ENOLCK), (LK_EXCLUSIVE, EBUSY)])
def test_a_canceled_request_that_must_not_wait_says_what_it_looked_at_first(locks, mode, error):
    """The shared request looks for the cancel first, the exclusive one for its own flag."""
    seen = []

    def program(m):
        with m.lockmgr("l") as lock:
            lock.cancel_beg()
            m.spawn(lambda: seen.append(lock.lock(mode | LK_NOWAIT | LK_CANCELABLE))).join()
            lock.cancel_end()

    once(program, locks)
    assert [error] == seen


# -- as a blocking point, and by its other names ----------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize(("contested", "free"), [(True, True), (False, False)])
def test_tokens_are_lost_only_if_the_request_has_to_wait(locks, contested, free):
    seen = []

    def program(m):
        lock, token = m.lockmgr("l"), m.token("t")

        def asks():
            with token:
                lock.acquire()
                m.check(token.held(), "the token is back")
                if not contested:
                    m.spawn(tries).join()
                lock.release()

        def tries():
            got = token.try_acquire()
            seen.append(got)
            if got:
                token.release()

        if contested:
            lock.acquire()
        m.spawn(asks)
        delay(m, 1)
        if contested:
            tries()
            lock.release()
        m.join()

    once(program, locks)
    assert [free] == seen


@DEPTHS
@pytest.mark.parametrize("mode", ["shared", "exclusive"])
def test_a_timed_request_that_ends_for_no_reason_does_not_claim_the_lock(locks, mode):
    def program(m):
        lock = m.lockmgr("l", timo=10)

        def asks(how):
            if lock.lock(how | LK_TIMELOCK) == 0:
                m.check(lock.held(), "0 says that it is held")
                lock.release()

        m.spawn(asks, LK_SHARED if mode == "shared" else LK_EXCLUSIVE)
        m.spawn(asks, LK_EXCLUSIVE)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=200, locks=locks, spurious=True)
    assert [] == result.failures


@DEPTHS
@pytest.mark.parametrize(
    ("methods", "flags"),
    [
        (["acquire", "release"], [LK_EXCLUSIVE, LK_RELEASE]),
        (["acquire_shared", "release"], [LK_SHARED, LK_RELEASE]),
        (["acquire_shared", "upgrade", "release"], [LK_SHARED, LK_UPGRADE, LK_RELEASE]),
        (["acquire", "downgrade", "release"], [LK_EXCLUSIVE, LK_DOWNGRADE, LK_RELEASE]),
    ],
)
def test_the_methods_are_names_for_requests(locks, methods, flags):
    def by_name(m):
        lock = m.lockmgr("l")
        for name in methods:
            getattr(lock, name)()

    def by_flags(m):
        lock = m.lockmgr("l")
        for flag in flags:
            assert lock.lock(flag) == 0

    results = [vmsmp.explore(p, schedules=1, locks=locks) for p in (by_name, by_flags)]
    assert [[], []] == [result.failures for result in results]
    assert results[0].steps == results[1].steps


@DEPTHS
def test_statistics_count_grants_and_those_that_had_to_wait(locks):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def waiter():
            with lock:
                pass

        with lock:
            m.spawn(waiter)
            delay(m, 1)
        m.join()
        found = lock.statistics()
        seen.append((found.name, found.acquisitions, found.contested))

    once(program, locks)
    assert [("l", 2, 1)] == seen


# -- the word of the exact depth ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([LK_EXCLUSIVE, LK_RELEASE], [1, LKC_SHARED]),
        ([LK_SHARED, LK_RELEASE], [LKC_SHARED | LKC_SCOUNT, LKC_SHARED]),
        (
            [LK_SHARED, LK_RELEASE, LK_EXCLUSIVE, LK_RELEASE],
            [LKC_SHARED | LKC_SCOUNT, LKC_SHARED, 1, LKC_SHARED],
        ),
        (
            [LK_EXCLUSIVE, LK_SHARED | LK_CANRECURSE, LK_RELEASE, LK_RELEASE],
            [1, 2, 1, LKC_SHARED],
        ),
        (
            [LK_SHARED, LK_UPGRADE, LK_DOWNGRADE, LK_RELEASE],
            [LKC_SHARED | LKC_SCOUNT, 1, LKC_SHARED | LKC_SCOUNT, LKC_SHARED],
        ),
    ],
)
def test_one_cpu_takes_the_word_through_its_states(flags, words):
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        for flag in flags:
            lock.lock(flag)
            seen.append(lock.lk_count.peek())

    once(program)
    assert words == seen


@pytest.mark.parametrize(
    ("holds", "asks", "waiting", "after"),
    [
        (LK_EXCLUSIVE, [LK_EXCLUSIVE], 1 | LKC_EXREQ2, LKC_SHARED),
        (LK_EXCLUSIVE, [LK_SHARED], 1 | LKC_SCOUNT, LKC_SHARED),
        (LK_SHARED, [LK_EXCLUSIVE], LKC_SHARED | LKC_SCOUNT | LKC_EXREQ, LKC_SHARED),
        (
            LK_SHARED,
            [LK_EXCLUSIVE, LK_EXCLUSIVE],
            LKC_SHARED | LKC_SCOUNT | LKC_EXREQ | LKC_EXREQ2,
            LKC_SHARED,
        ),
        (LK_SHARED, [LK_UPGRADE], LKC_SHARED | LKC_SCOUNT | LKC_UPREQ, LKC_SHARED),
        (LK_SHARED, [LK_EXCLUSIVE, LK_SHARED], LKC_SHARED | LKC_SCOUNT | LKC_EXREQ, LKC_SHARED),
    ],
)
def test_a_waiting_request_shows_in_the_word(holds, asks, waiting, after):
    seen = []

    def program(m):
        lock = m.lockmgr("l")

        def other(flags):
            if flags == LK_UPGRADE:
                lock.acquire_shared()
            lock.lock(flags)
            lock.release()

        lock.lock(holds)
        for flags in asks:
            m.spawn(other, flags)
            delay(m, 1)
        seen.append(lock.lk_count.peek())
        lock.release()
        m.join()
        seen.append(lock.lk_count.peek())

    once(program)
    assert [waiting, after] == seen


def test_cancel_shows_in_the_word_and_goes_with_the_last_release():
    seen = []

    def program(m):
        lock = m.lockmgr("l")
        lock.acquire()
        lock.cancel_beg()
        seen.append(lock.lk_count.peek())
        lock.release()
        seen.append(lock.lk_count.peek())

    once(program)
    assert [1 | LKC_CANCEL, LKC_SHARED] == seen


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


# -- what the harness says of the kernel's own algorithm --------------------------------------------------


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


def test_a_writer_that_gives_up_may_grant_itself_a_lock_that_says_shared():
    """undo_exreq between the last reader's two steps leaves SHARED set: a finding likewise."""

    def program(m):
        lock = m.lockmgr("l", timo=3)

        def writer():
            if lock.lock(LK_EXCLUSIVE | LK_TIMELOCK) == 0:
                lock.release()

        def reader():
            lock.acquire_shared()
            lock.release()

        for fn in (writer, reader, reader):
            m.spawn(fn)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=5000, locks="exact", timeouts="any")
    assert "check: state word of lockmgr 'l': XMASK and SHARED are both set" == result.failure.signature
