"""The vnode behind a chain, locked while its pages are read, and pages that were not read."""

from __future__ import annotations

import pytest

from faults import filled, new_process, private
from maps import entry_at
from vmsmp.vm.vm_map import vm_map_entry_shadow, vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_object import OBJ_DEAD, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import PAGE_SIZE, PG_NEED_COMMIT, vm_page_busy_wait, vm_page_io_start, vm_page_wire
from vmsmp.vm.vm_pager import vnode_pager_alloc, vnode_pager_freepage, vnode_pager_lock
from vmsmp.vm.vnode import VRECLAIMED, getnewvnode, vclrflags, vn_lock, vn_unlock, vput, vsetflags
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def of_file(vm, *, shadowed):
    """The first backing of a private mapping of a file, and its vnode."""
    vp = getnewvnode(vm, "file")
    obj = vnode_pager_alloc(vp, 4 * PAGE_SIZE)
    map = new_process(vm)
    private(map, 0, obj)
    if shadowed:
        vm_map_lock(map)
        vm_map_entry_shadow(entry_at(map, 0))
        vm_map_unlock(map)
    return entry_at(map, 0).ba, vp


@pytest.mark.parametrize("shadowed", [False, True])
def test_the_vnode_at_the_end_of_the_chain_is_locked_shared(alone, shadowed):
    def program(vm):
        ba, vp = of_file(vm, shadowed=shadowed)
        vm_object_hold(ba.object)
        refs = vp.v_refcnt.value
        found = vnode_pager_lock(ba)
        state = found is vp, vp.v_refcnt.value - refs, [mode for _, mode in vp.v_lock.holders]
        vput(vp)
        vm_object_drop(ba.object)
        return state, vp.v_refcnt.value - refs

    assert ((True, 1, ["shared"]), 0) == alone(program)


def test_memory_that_is_no_file_has_no_vnode(alone):
    def program(vm):
        map = new_process(vm)
        private(map, 0, filled(vm, 5))
        without = new_process(vm, 1)
        return (
            vnode_pager_lock(entry_at(map, 0).ba),
            vnode_pager_lock(entry_at(without, 0).ba),
            vnode_pager_lock(None),
        )

    assert (None, None, None) == alone(program)


def test_a_dead_object_s_vnode_is_left_alone(alone):
    def program(vm):
        ba, _ = of_file(vm, shadowed=False)
        ba.object.flags.value |= OBJ_DEAD
        return vnode_pager_lock(ba)

    assert None is alone(program)


def test_a_vnode_that_is_being_reclaimed_is_waited_for(alone):
    def program(vm):
        ba, vp = of_file(vm, shadowed=False)
        vsetflags(vp, VRECLAIMED)
        told = []

        def fault():
            vm_object_hold(ba.object)
            told.append(vnode_pager_lock(ba) is vp)
            vput(vp)
            vm_object_drop(ba.object)

        vm.machine.spawn(fault)
        vm.machine.yield_()
        vclrflags(vp, VRECLAIMED)
        vm.machine.join()
        return told, len(vm.console) > 0

    assert ([True], True) == alone(program)


def test_a_fault_that_waits_for_a_vnode_that_its_object_has_lost_by_then_has_nothing_to_sleep_on(panic):
    def program(vm):
        ba, vp = of_file(vm, shadowed=False)
        vn_lock(vp)

        def fault():
            vm_object_hold(ba.object)
            vnode_pager_lock(ba)

        vm.machine.spawn(fault)
        vm.machine.yield_()
        vclean_vxlocked(vp)
        vn_unlock(vp)
        vm.machine.join()

    assert "tsleep: no ident" == panic(program)


def spoil(how, m):
    if how == "io":
        vm_page_io_start(m)
    elif how == "wired":
        vm_page_wire(m)
    elif how == "commit":
        m.flags.value |= PG_NEED_COMMIT


@pytest.mark.parametrize(
    ("how", "queue"), [("idle", "free"), ("io", "active"), ("wired", "active"), ("commit", "active")]
)
def test_a_page_that_was_not_read_is_freed_unless_it_is_needed(alone, how, queue):
    def program(vm):
        m = filled(vm, 5).raw_rb_memq[0]
        vm_page_busy_wait(m, True)
        spoil(how, m)
        vnode_pager_freepage(m)
        return vm.page.queue_type(m.raw_queue)

    assert queue == alone(program)
