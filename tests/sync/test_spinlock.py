"""Spinlocks at both depths: exclusion, tries, upgrades, and the words of the exact one."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, once
from vmsmp.patches.patch import Mutant
from vmsmp.sync.spinlock import SPINLOCK_EXCLWAIT as EW
from vmsmp.sync.spinlock import SPINLOCK_SHARED as S

# -- exclusion ------------------------------------------------------------------------------------


def counting(m, rounds=1, cpus=2):
    lock, cell = m.spinlock("s"), m.cell(0)

    def adder():
        for _ in range(rounds):
            with lock:
                cell.store(cell.load() + 1)

    for _ in range(cpus):
        m.spawn(adder)
    m.join()
    m.check(cell.load() == rounds * cpus, "every section counts")


@DEPTHS
@SCHEDULES
def test_critical_sections_do_not_overlap(locks, sched):
    result = vmsmp.explore(lambda m: counting(m, 2, 3), sched=sched, schedules=150, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_critical_sections_do_not_overlap_between_parallel_cpus(locks):
    outcome = vmsmp.run(lambda m: counting(m, 100, 3), engine="free", locks=locks)
    assert None is outcome.failure


@DEPTHS
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_readers_and_writers_exclude_each_other(locks, engine):
    def program(m):
        lock, a, b = m.spinlock("s"), m.cell(0), m.cell(0)

        def writer():
            for _ in range(8):
                with lock:
                    a.store(a.load() + 1)
                    b.store(b.load() + 1)

        def reader():
            for _ in range(8):
                lock.acquire_shared()
                m.check(a.load() == b.load(), "a reader sees whole writes")
                lock.release_shared()

        for fn in (writer, reader, writer, reader):
            m.spawn(fn)
        m.join()

    if engine == "free":
        assert None is vmsmp.run(program, engine="free", locks=locks).failure
    else:
        assert [] == vmsmp.explore(program, sched="random", schedules=40, locks=locks).failures


@DEPTHS
def test_two_readers_are_inside_at_the_same_time(locks):
    def program(m):
        lock, inside = m.spinlock("s"), m.atomic(0)

        def reader():
            lock.acquire_shared()
            inside.fetchadd(1)
            while inside.load() != 2:
                m.pause()
            lock.release_shared()

        m.spawn(reader)
        m.spawn(reader)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=100, locks=locks).failures


# -- tries ----------------------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize("holder", ["acquire", "acquire_shared"])
def test_a_try_fails_while_somebody_holds_it_and_leaves_no_trace(locks, holder):
    seen = []

    def program(m):
        lock = m.spinlock("s")
        getattr(lock, holder)()
        before = lock.state()
        m.spawn(lambda: seen.append((lock.try_acquire(), lock.state() == before))).join()
        lock.release()
        m.spawn(lambda: seen.append(lock.try_acquire()) or lock.release()).join()

    once(program, locks)
    assert [(False, True), True] == seen


@DEPTHS
@SCHEDULES
def test_of_two_tries_at_once_at_least_one_succeeds_and_never_both_overlap(locks, sched):
    def program(m):
        lock, inside, won = m.spinlock("s"), m.atomic(0), m.atomic(0)

        def trier():
            if lock.try_acquire():
                won.fetchadd(1)
                m.check(inside.fetchadd(1) == 0, "alone inside")
                inside.fetchadd(-1)
                lock.release()

        m.spawn(trier)
        m.spawn(trier)
        m.join()
        m.check(won.load() >= 1, "somebody gets a free lock")

    assert [] == vmsmp.explore(program, sched=sched, schedules=150, locks=locks).failures


@DEPTHS
def test_a_try_works_between_parallel_cpus(locks):
    def program(m):
        lock, cell = m.spinlock("s"), m.cell(0)

        def adder():
            done = 0
            while done < 40:
                if lock.try_acquire():
                    cell.store(cell.load() + 1)
                    lock.release()
                    done += 1
                else:
                    m.pause()

        for _ in range(3):
            m.spawn(adder)
        m.join()
        m.check(cell.load() == 120, "every section counts")

    assert None is vmsmp.run(program, engine="free", locks=locks).failure


# -- upgrades, held, statistics ---------------------------------------------------------------------


@DEPTHS
def test_the_only_reader_can_upgrade(locks):
    seen = []

    def program(m):
        lock = m.spinlock("s")
        lock.acquire_shared()
        seen.append(lock.try_upgrade())
        m.spawn(lambda: seen.append(lock.try_acquire())).join()
        lock.release()

    once(program, locks)
    assert [True, False] == seen


@DEPTHS
def test_one_of_two_readers_cannot_upgrade_and_keeps_its_shared_hold(locks):
    seen = []

    def program(m):
        lock, inside = m.spinlock("s"), m.atomic(0)

        def reader():
            lock.acquire_shared()
            inside.fetchadd(1)
            while inside.load() < 2:
                m.pause()
            lock.release_shared()

        m.spawn(reader)
        m.yield_()
        lock.acquire_shared()
        seen.append((lock.try_upgrade(), lock.held()))
        inside.fetchadd(1)
        m.join()
        seen.append(lock.try_upgrade())
        lock.release()

    once(program, locks)
    assert [(False, True), True] == seen


@DEPTHS
def test_held_is_about_the_running_cpu_in_any_mode(locks):
    seen = []

    def program(m):
        lock = m.spinlock("s")
        seen.append(lock.held())
        lock.acquire()
        seen.append(lock.held())
        m.spawn(lambda: seen.append(lock.held())).join()
        lock.release()
        lock.acquire_shared()
        seen.append(lock.held())
        lock.release_shared()
        seen.append(lock.held())

    once(program, locks)
    assert [False, True, False, True, False] == seen


@DEPTHS
def test_an_exception_inside_a_with_block_releases_the_lock(locks):
    seen = []

    def program(m):
        lock = m.spinlock("s")
        try:
            with lock:
                raise KeyError("out")
        except KeyError:
            seen.append(lock.held())

    once(program, locks)
    assert [False] == seen


@DEPTHS
def test_statistics_count_grants_and_those_that_had_to_wait(locks):
    seen = []

    def program(m):
        lock = m.spinlock("s")

        def waiter():
            with lock:
                pass

        with lock:
            m.spawn(waiter)
            m.yield_()
        m.join()
        found = lock.statistics()
        seen.append((found.name, found.acquisitions, found.contested))

    once(program, locks)
    assert [("s", 2, 1)] == seen


def test_a_free_run_reports_the_statistics_of_the_locks_it_used():
    outcome = vmsmp.run(lambda m: counting(m, 10, 2), engine="free")
    assert [("s", 20)] == [(lock.name, lock.acquisitions) for lock in outcome.locks]


# -- the words of the exact depth -------------------------------------------------------------------


def words_of(*steps):
    """The word after each of the steps one CPU does on a fresh lock."""
    seen = []

    def program(m):
        lock = m.spinlock("s")
        for step in steps:
            getattr(lock, step)()
            seen.append(lock.lock.peek())

    once(program)
    return seen


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (["acquire", "release"], [1, 0]),
        (["acquire_shared", "release_shared"], [S | 1, S]),
        (["acquire_shared", "release_shared", "acquire", "release"], [S | 1, S, 1, 0]),
        (["acquire_shared", "release_shared", "acquire_shared", "release_shared"], [S | 1, S, S | 1, S]),
        (["try_acquire", "release"], [1, 0]),
        (["acquire_shared", "release_shared", "try_acquire", "release"], [S | 1, S, 1, 0]),
        (["acquire_shared", "try_upgrade", "release"], [S | 1, 1, 0]),
    ],
)
def test_one_cpu_takes_the_word_through_the_table(steps, words):
    assert words == words_of(*steps)


def contended(holds, wanted):
    """The word after the boot CPU did `holds`, after others asked for `wanted`, after each release."""
    seen = []

    def asks(lock, how):
        getattr(lock, how)()
        lock.release()

    def reads(lock, done):
        lock.acquire_shared()
        while not done.load():
            done.machine.pause()
        lock.release_shared()

    def program(m):
        lock, done = m.spinlock("s"), m.atomic(0)
        done_box = type("Box", (), {"load": lambda self: done.load(), "machine": m})()
        for how in holds:
            if how == "reader":
                m.spawn(reads, lock, done_box)
                m.yield_()
            else:
                getattr(lock, how)()
        seen.append(lock.lock.peek())
        for how in wanted:
            m.spawn(asks, lock, how)
            m.yield_()
            seen.append(lock.lock.peek())
        if "reader" in holds:
            done.store(1)
        else:
            lock.release()
        m.join()
        seen.append(lock.lock.peek())

    once(program)
    return seen


def test_a_writer_behind_a_writer_queues_in_the_high_field():
    assert [1, EW | 1, 2 * EW | 1, 0] == contended(["acquire"], ["acquire", "acquire"])


def test_a_reader_behind_a_writer_waits_without_a_trace():
    assert [1, 1, S] == contended(["acquire"], ["acquire_shared"])


def test_a_writer_behind_readers_clears_shared_and_queues():
    assert [S | 2, EW | 2, 0] == contended(["reader", "reader"], ["acquire"])


def test_a_new_reader_waits_behind_a_queued_writer():
    assert [S | 1, EW | 1, EW | 1] == contended(["reader"], ["acquire", "acquire_shared"])[:3]


def test_readers_share_the_count():
    assert [S | 1, S] == contended(["acquire_shared"], ["acquire_shared"])[::2]


def test_a_critical_section_covers_every_acquire_and_ends_with_the_release():
    seen = []

    def program(m):
        lock, other = m.spinlock("s"), m.spinlock("t")

        def note():
            td = m.curcpu.td
            seen.append((td.gd_spinlocks, td.td_critcount))

        lock.acquire()
        note()
        other.acquire_shared()
        note()
        other.release_shared()
        lock.release()
        note()
        m.spawn(lambda: None)
        lock.acquire()
        m.spawn(lambda: (lock.try_acquire(), note())).join()
        lock.release()

    once(program)
    assert [(1, 1), (2, 2), (0, 0), (0, 0)] == seen


@SCHEDULES
def test_every_mix_of_requests_leaves_the_word_at_rest(sched):
    def program(m):
        lock = m.spinlock("s")

        def writer():
            lock.acquire()
            lock.release()

        def reader():
            lock.acquire_shared()
            if lock.try_upgrade():
                m.check(lock.lock.peek() & 0xFFFFF >= 1, "its own count is in the word")
            lock.release()

        def trier():
            if lock.try_acquire():
                lock.release()

        for fn in (writer, reader, trier, writer):
            m.spawn(fn)
        m.join()
        m.check(lock.lock.load() in (0, S), f"left at rest as {lock.state()}")

    assert [] == vmsmp.explore(program, sched=sched, schedules=300, locks="exact").failures


def test_the_search_needs_the_guard_that_strips_shared_from_a_winning_writer():
    """SP-04: without it a later reader finds SHARED in a writer's word and comes in."""
    mutant = Mutant(
        "SP-04",
        "vmsmp.sync.spinlock:_spin_lock_contested",
        "value, (value - SPINLOCK_EXCLWAIT | 1) & ~SPINLOCK_SHARED",
        "value, (value - SPINLOCK_EXCLWAIT | 1)",
        "INV-SP1",
        "",
    )

    def program(m):
        lock, cell = m.spinlock("s"), m.cell(0)

        def reader():
            for _ in range(2):
                lock.acquire_shared()
                cell.load()
                lock.release_shared()

        def writer():
            lock.acquire()
            cell.load()
            cell.load()
            lock.release()

        for fn in (reader, writer, writer, reader):
            m.spawn(fn)
        m.join()

    with mutant.plant():
        result = vmsmp.explore(program, sched="random", schedules=2000, locks="exact")
    assert "check: state word of spinlock 's': SHARED is set beside an exclusive owner" == (
        result.failure and result.failure.signature
    )
