"""Mutexes taken as spinlocks, at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, failure_of
from vmsmp.sync.thread import curthread


@DEPTHS
@SCHEDULES
def test_it_keeps_others_out(locks, sched):
    def program(m):
        mtx, data = m.mutex("mtx"), m.cell(0, "data")

        def worker():
            mtx.spinlock()
            data.store(data.load() + 1)
            mtx.spinunlock()

        for _ in range(3):
            m.spawn(worker)
        m.join()
        m.check(data.load() == 3, "each counts")

    assert [] == vmsmp.explore(program, sched=sched, schedules=200, locks=locks, races=True).failures


@DEPTHS
def test_it_is_a_critical_section_with_a_spinlock_more(locks):
    def program(m, seen):
        mtx, td = m.mutex("mtx"), curthread(m)
        mtx.spinlock()
        seen.append((td.td_critcount, td.gd_spinlocks))
        mtx.spinunlock()
        seen.append((td.td_critcount, td.gd_spinlocks))

    assert [(1, 1), (0, 0)] == alone(program, locks)


@DEPTHS
def test_its_owner_may_take_it_again(locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        mtx.spinlock()
        mtx.spinlock()
        mtx.spinunlock()
        seen.append(mtx.held())
        mtx.spinunlock()
        seen.append(mtx.held())

    assert [True, False] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize(("taken", "got"), [("spinlock", False), (None, True)])
def test_a_try_takes_it_if_it_is_free(taken, got, locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        if taken:
            mtx.spinlock()

        def tries():
            seen.append(mtx.try_spinlock())
            if seen[0]:
                mtx.spinunlock()
            seen.append(curthread(m).td_critcount)

        m.spawn(tries).join()
        if taken:
            mtx.spinunlock()

    assert [got, 0] == alone(program, locks)


@DEPTHS
def test_nobody_sleeps_with_it(locks):
    def program(m):
        m.mutex("mtx").spinlock()
        m.tsleep("x", 0, "x", 1)

    assert "spinlock held" in failure_of(program, locks, schedules=1).message


@DEPTHS
def test_what_was_not_taken_by_spinning_is_not_released_so(locks):
    def program(m):
        mtx = m.mutex("mtx")
        mtx.lock()
        mtx.spinunlock()

    assert "mtx_spinunlock: mutex 'mtx' was not taken as a spinlock" in failure_of(program, locks).message


@DEPTHS
def test_it_may_wait_for_one_that_is_held_asleep(locks):
    def program(m):
        mtx = m.mutex("mtx")

        def spinner():
            mtx.spinlock()
            mtx.spinunlock()

        with mtx:
            m.spawn(spinner)
            m.yield_()
        m.join()

    assert None is failure_of(program, locks, schedules=100)
