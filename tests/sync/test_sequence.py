"""Spinlocks with a counter of updates: who reads without the lock notices a writer."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, failure_of
from vmsmp.patches.patch import Edit, Mutant
from vmsmp.sync.sequence import (
    SequenceLock,
    spin_access_check_inprog,
    spin_access_end,
    spin_access_end_only,
    spin_access_start,
    spin_access_start_only,
    spin_lock_update,
    spin_lock_update_only,
    spin_unlock_update,
    spin_unlock_update_only,
)


def pair(m):
    lock = SequenceLock(m, m.spinlock("s"))
    return lock, m.atomic(0, "a"), m.atomic(0, "b")


def halves(m):
    """A writer keeps two words alike; a reader that is told that its reading holds saw them alike."""
    lock, a, b = pair(m)

    def writer():
        for n in (1, 2):
            spin_lock_update(lock)
            a.store(n)
            b.store(n)
            spin_unlock_update(lock)

    def reader():
        while True:
            update = spin_access_start(lock)
            seen = a.load(), b.load()
            if not spin_access_end(lock, update):
                break
        m.check(seen[0] == seen[1], "a reader sees whole updates")

    m.spawn(writer)
    m.spawn(reader)
    m.spawn(reader)
    m.join()


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_a_reader_sees_whole_updates(locks, sched):
    assert [] == vmsmp.explore(halves, sched=sched, schedules=300, locks=locks).failures


@DEPTHS
def test_a_reader_sees_whole_updates_of_parallel_cpus(locks):
    assert None is vmsmp.run(halves, engine="free", locks=locks).failure


@pytest.mark.parametrize(
    ("function", "old", "new"),
    [
        ("spin_access_end_only", "lock.update.load() != update", "False"),
        ("spin_access_start", "lock.spin.acquire_shared()", "pass"),
        ("_count", "lock.update.store(update)", "pass"),
    ],
)
def test_each_half_of_the_protocol_is_needed(function, old, new):
    also = ()
    if function == "spin_access_start":
        also = (Edit("vmsmp.sync.sequence:spin_access_end", "lock.spin.release_shared()", "pass"),)
    if function == "_count":
        also = (Edit("vmsmp.sync.sequence:_count", "if update & 1 != odd:", "if not odd and False:"),)
    mutant = Mutant("planted", f"vmsmp.sync.sequence:{function}", old, new, "", "", also=also)
    with mutant.plant():
        failure = vmsmp.explore(halves, sched="random", schedules=500, locks="exact").failure
    assert "a reader sees whole updates" == failure.message


@DEPTHS
def test_the_counter_is_odd_while_a_writer_is_inside(locks):
    def program(m, seen):
        lock, _, _ = pair(m)
        for step in (spin_lock_update, spin_unlock_update, spin_lock_update_only, spin_unlock_update_only):
            step(lock)
            seen.append((lock.update.peek(), lock.spin.held()))

    assert [(1, True), (2, False), (3, False), (4, False)] == alone(program, locks)


@DEPTHS
def test_a_reader_beside_a_writer_without_the_lock_takes_it_shared(locks):
    def program(m, seen):
        lock, _, _ = pair(m)
        spin_lock_update_only(lock)
        update = spin_access_start(lock)
        seen.append((update, lock.spin.held()))
        spin_unlock_update_only(lock)
        seen.append((spin_access_end(lock, update), lock.spin.held()))

    assert [(1, True), (False, False)] == alone(program, locks)


def test_a_reader_without_the_lock_asks_itself_whether_a_writer_is_or_was_inside():
    def program(m, seen):
        lock, _, _ = pair(m)
        before = spin_access_start_only(lock)
        spin_lock_update_only(lock)
        inside = spin_access_start_only(lock)
        seen.append((spin_access_check_inprog(before), spin_access_check_inprog(inside)))
        seen.append((spin_access_end_only(lock, before), spin_access_end_only(lock, inside)))

    assert [(False, True), (True, False)] == alone(program)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((spin_unlock_update_only,), "panic: s.update is odd where an update ends"),
        ((spin_lock_update_only, spin_lock_update_only), "panic: s.update is even where an update begins"),
    ],
)
def test_updates_that_do_not_alternate_panic(steps, message):
    def program(m):
        lock, _, _ = pair(m)
        for step in steps:
            step(lock)

    assert message == failure_of(program, "exact", schedules=1).message
