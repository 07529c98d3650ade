"""What becomes of an inactive page that is to be written: of files, in swap, and with those around it."""

from __future__ import annotations

import pytest

from page_layer import on
from vmsmp.scenarios._kit import file_object
from vmsmp.sync.errno import EWOULDBLOCK, LK_NOWAIT, LK_TIMELOCK
from vmsmp.vm import vm_pageout as d
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJPC_ALLOW_ACTIVE,
    OBJPC_TRY_TO_CACHE,
    vm_object_allocate,
)
from vmsmp.vm.vm_page import (
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WINATCFLS,
    vm_page_activate,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import page
from vmsmp.vm.vnode import VLKTIMEOUT, VRECLAIMED, vn_lock, vn_unlock


def launder(m, *, flags=OBJPC_TRY_TO_CACHE, most=8, passes=1):
    """Dispose of the page as a scan does that may write so many; return what that says."""
    vm_page_busy_wait(m, True)
    return d.vm_pageout_page(m, d.Laundering(most), passes, flags)


def dirty_page(page_on, vm, obj, pindex, kind="inactive"):
    m = page_on(vm, kind, obj, pindex)
    m.dirty = 1
    return m


# -- files ----------------------------------------------------------------------------------------


def inactive_file(vm):
    """A vnode, its object, and a dirty inactive page of it."""
    vp, obj = file_object(vm, 1, range(1))
    m = obj.raw_rb_memq[0]
    vm_page_busy_wait(m, True)
    vm_page_dirty(m)
    vm_page_deactivate(m)
    m.flags.setbits(PG_WINATCFLS)
    vm_page_wakeup(m)
    return vp, obj, m


def test_a_dirty_page_of_a_file_is_written_out_with_the_vnode_locked(alone, monkeypatch):
    held = []

    def program(vm):
        vp, _obj, m = inactive_file(vm)
        written = page.vm_pageout_flush

        def flush(pages, flags):
            held.append((bool(vp.v_lock.holders), m.hold_count.peek()))
            return written(pages, flags)

        monkeypatch.setattr(page, "vm_pageout_flush", flush)
        before = vp.v_refcnt.peek()
        said = launder(m), on(m), m.dirty, vp.v_refcnt.peek() - before, bool(vp.v_lock.holders)
        monkeypatch.undo()
        return said

    assert (1, "cache", 0, 0, False) == alone(program, check=True)
    assert {(True, 0)} == set(held)


@pytest.mark.parametrize("how", ["reclaimed", "moved", "busied", "cleaned", "wired"])
def test_a_page_of_a_file_is_left_if_it_is_another_one_once_the_vnode_is_locked(alone, monkeypatch, how):
    def program(vm):
        vp, _obj, m = inactive_file(vm)
        vget = page.vget

        def locked_late(vnode, flags):
            if how == "reclaimed":
                vnode.v_flag.setbits(VRECLAIMED)
            if how == "moved":
                vm_page_activate(m)
            if how == "busied":
                vm_page_busy_try(m, True)
            if how == "cleaned":
                m.dirty = 0
            if how == "wired":
                m.wire_count.value += 1
            return vget(vnode, flags)

        monkeypatch.setattr(page, "vget", locked_late)
        said = (
            launder(m),
            m.hold_count.peek(),
            bool(vp.v_lock.holders),
            vm.pageout.vnodes_skipped,
        )
        monkeypatch.undo()
        return said

    skipped = how in ("reclaimed", "moved", "cleaned")
    assert (0, 0, False, int(skipped)) == alone(program)


def test_a_page_of_a_file_whose_vnode_is_gone_stops_the_kernel(panic):
    def program(vm):
        _vp, obj, m = inactive_file(vm)
        obj.publish("handle", None)
        launder(m)

    assert "vget: page fault: the object has lost its vnode" == panic(program)


def test_a_vnode_that_others_have_locked_is_waited_for_a_while(together):
    """Who waits for it in vain does not wait for it again in the same scan."""

    def program(vm):
        vp, _obj, m = inactive_file(vm)
        laundering = d.Laundering(8)
        asked = []

        def owner():
            vn_lock(vp)
            vm.machine.tsleep("owner", 0, "owner", 10 * VLKTIMEOUT, overdue=lambda: None)
            vn_unlock(vp)

        def pagedaemon():
            for _ in range(2):
                vm_page_busy_wait(m, True)
                before = vm.machine.ticks
                done = d.vm_pageout_page(m, laundering, 1, OBJPC_TRY_TO_CACHE)
                asked.append((done, laundering.vpfailed is vp, vm.machine.ticks - before))

        vm.machine.spawn(owner)
        while not vp.v_lock.holders:
            vm.machine.pause()
        vm.machine.spawn(pagedaemon)
        vm.machine.join()
        vm.machine.check(asked == [(0, True, VLKTIMEOUT), (0, True, 0)], f"{asked}")
        vm.machine.check(vm.sysctl["vm.pageout_lock_miss"] == 2, "both are counted")
        vm.machine.check(m.hold_count.peek() == 0 and vp.v_refcnt.peek() == 2, "nothing is kept")

    together(program, sched="random", schedules=1)


@pytest.mark.parametrize(("failed", "flag"), [(False, LK_TIMELOCK), (True, LK_NOWAIT)])
def test_a_vnode_is_asked_for_with_a_limit(alone, monkeypatch, failed, flag):
    seen = []

    def program(vm):
        vp, _obj, m = inactive_file(vm)
        monkeypatch.setattr(page, "vget", lambda _vp, flags: seen.append(flags) or EWOULDBLOCK)
        vm_page_busy_wait(m, True)
        done = d.vm_pageout_page(m, d.Laundering(8, vp if failed else None), 1, 0)
        monkeypatch.undo()
        return done

    assert 0 == alone(program)
    assert [flag] == [flags & (LK_TIMELOCK | LK_NOWAIT) for flags in seen]


# -- whether it is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disable", "defer", "short", "done"),
    [(0, 0, False, 1), (1, 0, True, 0), (0, 1, False, 0), (0, 1, True, 1), (1, 1, True, 0)],
)
def test_pages_may_have_to_wait_for_swap(alone, page_on, disable, defer, short, done):
    def program(vm):
        vm.sysctl["vm.disable_swapspace_pageouts"] = disable
        vm.sysctl["vm.defer_swapspace_pageouts"] = defer
        vm.meter.limits.v_free_min = 1000 * short
        return launder(dirty_page(page_on, vm, vm_object_allocate(vm, 1), 0))

    assert done == alone(program)


def test_files_do_not_wait_for_swap(alone):
    def program(vm):
        vm.sysctl["vm.disable_swapspace_pageouts"] = 1
        _vp, _obj, m = inactive_file(vm)
        return launder(m)

    assert 1 == alone(program)


def test_a_page_that_may_not_be_written_any_more_stays_in_its_place(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [dirty_page(page_on, vm, obj, 2 * n) for n in range(2)]
        done = launder(pages[0], most=0)
        return done, [m is pages[0] for m in vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()]

    assert (0, [True, False]) == alone(program)


def test_a_dead_object_s_page_is_marked_and_stays(alone, page_on):
    def program(vm):
        m = dirty_page(page_on, vm, vm_object_allocate(vm, 1), 0)
        m.object.flags.setbits(OBJ_DEAD)
        return launder(m), on(m), bool(m.flags.peek() & PG_WINATCFLS)

    assert (0, "inactive", True) == alone(program)


# -- with those around it -------------------------------------------------------------------------


def test_dirty_pages_around_it_are_written_with_it(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [dirty_page(page_on, vm, obj, n) for n in range(5)]
        pages[2].act_count = 3
        done = launder(pages[2])
        return done, [(on(m), m.dirty, m.act_count) for m in pages]

    assert (5, [("cache", 0, 3)] * 5) == alone(program, pages=8)


def test_a_cluster_ends_at_its_boundary_and_with_the_object(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 66)
        pages = [dirty_page(page_on, vm, obj, n) for n in (62, 63, 64, 65)]
        return launder(pages[1]), launder(pages[3]), [m.dirty for m in pages]

    assert (2, 2, [0, 0, 0, 0]) == alone(program, pages=8)


SPOILT = {
    "busy": lambda m: vm_page_busy_try(m, True),
    "clean": lambda m: setattr(m, "dirty", 0),
    "wired": lambda m: m.wire_count.fetchadd(1),
    "held": lambda m: m.hold_count.fetchadd(1),
    "on no queue": lambda m: m.flags.setbits(PG_UNQUEUED),
    "not valid": lambda m: setattr(m, "valid", 0),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_page_that_is_not_to_be_written_ends_the_cluster(alone, page_on, how):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [dirty_page(page_on, vm, obj, n) for n in range(3)]
        SPOILT[how](pages[1])
        busy = pages[1].busy_count.peek()
        done = launder(pages[2])
        return done, bool(pages[0].dirty), pages[1].busy_count.peek() == busy

    assert (1, True, True) == alone(program, pages=8)


def test_a_page_to_be_committed_goes_along_though_it_is_clean(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [dirty_page(page_on, vm, obj, n) for n in range(2)]
        pages[1].dirty = 0
        pages[1].flags.setbits(PG_NEED_COMMIT)
        return launder(pages[0])

    assert 2 == alone(program, pages=8)


@pytest.mark.parametrize(("flags", "done"), [(0, 1), (OBJPC_ALLOW_ACTIVE, 2)])
def test_active_pages_go_along_if_that_is_allowed(alone, page_on, flags, done):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = dirty_page(page_on, vm, obj, 0)
        dirty_page(page_on, vm, obj, 1, "active")
        return launder(m, flags=flags)

    assert done == alone(program, pages=8)


def test_a_held_page_is_not_written_by_the_helper_either(alone, page_on):
    def program(vm):
        m = dirty_page(page_on, vm, vm_object_allocate(vm, 1), 0)
        vm_page_busy_wait(m, True)
        m.hold_count.fetchadd(1)
        return d.vm_pageout_clean_helper(m, 0), m.dirty, m.busy_count.peek()

    assert (0, 1, 0) == alone(program)
