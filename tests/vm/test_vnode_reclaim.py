"""Reclaiming a vnode."""

from __future__ import annotations

from vmsmp.scenarios._kit import file_object, idle_pages
from vmsmp.vm.vm_object import OBJT_DEAD, vm_object_deallocate
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_dirty, vm_page_wakeup
from vmsmp.vm.vnode import VOBJDIRTY, VRECLAIMED, getnewvnode, vn_lock, vn_unlock
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def reclaim(vp):
    vn_lock(vp)
    vclean_vxlocked(vp)
    vn_unlock(vp)


def test_the_object_of_a_vnode_that_nobody_maps_ends_with_it(alone):
    def program(vm):
        vp, obj = file_object(vm, 1, [0])
        vm_object_deallocate(obj)
        reclaim(vp)
        return obj.freed, vp.peek("v_object"), bool(vp.peek("v_flag") & VRECLAIMED)

    assert (True, None, True) == alone(program)


def test_an_object_that_is_mapped_is_parted_from_its_vnode_and_keeps_its_dirty_pages(alone):
    def program(vm):
        vp, obj = file_object(vm, 2)
        pages = idle_pages(vm, obj, range(2))
        vm_page_busy_wait(pages[0], True)
        vm_page_dirty(pages[0])
        vm_page_wakeup(pages[0])
        reclaim(vp)
        return (
            obj.peek("type"),
            obj.peek("handle"),
            sorted(obj.peek("rb_memq")),
            vp.peek("v_flag") & VOBJDIRTY,
        )

    assert (OBJT_DEAD, None, [0], 0) == alone(program)


def test_a_vnode_is_reclaimed_once(steps):
    def prepare(vm):
        vp = getnewvnode(vm, "file")
        reclaim(vp)
        return [vp]

    assert ["load file.v_flag"] == steps(prepare, vclean_vxlocked)
