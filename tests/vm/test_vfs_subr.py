"""Throwing away what a file has in memory."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import file_object, idle_pages
from vmsmp.vm.vfs_subr import V_SAVE, bio_track_wait, vinvalbuf
from vmsmp.vm.vm_object import vm_object_pip_add, vm_object_pip_wakeup
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_dirty, vm_page_wakeup
from vmsmp.vm.vnode import getnewvnode, track_ident


@pytest.mark.parametrize(("flags", "left"), [(V_SAVE, [1]), (0, [])])
def test_dirty_pages_are_spared_only_if_they_are_to_be_saved(alone, flags, left):
    def program(vm):
        vp, obj = file_object(vm, 2)
        pages = idle_pages(vm, obj, range(2))
        vm_page_busy_wait(pages[1], True)
        vm_page_dirty(pages[1])
        vm_page_wakeup(pages[1])
        vinvalbuf(vp, flags)
        return sorted(obj.peek("rb_memq")), vp.v_token.holders

    assert (left, []) == alone(program)


def test_a_vnode_without_an_object_has_nothing_to_throw_away(alone):
    assert 0 == alone(lambda vm: vinvalbuf(getnewvnode(vm, "file"), V_SAVE))


def test_activity_of_the_object_is_waited_for(together):
    def program(vm):
        vp, obj = file_object(vm, 1)
        idle_pages(vm, obj, [0])
        vm_object_pip_add(obj, 1)

        def thrower():
            vinvalbuf(vp, 0)
            vm.machine.check(not obj.peek("paging_in_progress"), "nothing is in progress")

        vm.machine.spawn(thrower)
        vm.machine.spawn(vm_object_pip_wakeup, obj)
        vm.machine.join()

    together(program)


def test_writes_under_way_are_waited_for(together):
    def program(vm):
        vp = getnewvnode(vm, "file")
        vp.v_track_write.fetchadd(1)

        def writer():
            if vp.v_track_write.fetchadd(-1) == 1:
                vm.machine.wakeup(track_ident(vp))

        vm.machine.spawn(bio_track_wait, vp)
        vm.machine.spawn(writer)
        vm.machine.join()

    together(program)


def test_a_wait_that_nobody_will_end_is_told(found):
    def program(vm):
        vp = getnewvnode(vm, "file")
        vp.v_track_write.fetchadd(1)
        vm.machine.spawn(bio_track_wait, vp)
        vm.machine.spawn(vp.v_track_write.fetchadd, -1)
        vm.machine.join()

    kind, message = found(program, sched="dfs:3", schedules=300)
    assert ("lost-wakeup", True) == (kind, "no write is under way" in message)
