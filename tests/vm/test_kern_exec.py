"""The pages of a program that are looked at before it is run."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import file_object, forget_file
from vmsmp.vm.kern_exec import exec_map_page
from vmsmp.vm.vm_page import VM_PAGE_BITS_ALL, vm_page_unhold
from vmsmp.vm.vnode import getnewvnode


@pytest.mark.parametrize("resident", [(0,), ()])
def test_a_page_is_held_and_read_if_it_is_not_there(alone, resident):
    def program(vm):
        vp, obj = file_object(vm, 1, resident)
        page = exec_map_page(vp, 0)
        state = page.peek("valid"), page.peek("hold_count"), page.peek("busy_count"), page.raw_object is obj
        vm_page_unhold(page)
        forget_file(vp, obj)
        return state

    assert (VM_PAGE_BITS_ALL, 1, 0, True) == alone(program)


def test_a_page_that_cannot_be_read_is_freed(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        vm.pager.device.failing = True
        page, left = exec_map_page(vp, 0), len(obj.raw_rb_memq)
        forget_file(vp, obj)
        return page, left

    assert (None, 0) == alone(program)


def test_there_is_nothing_behind_the_end_and_in_a_file_without_an_object(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        behind = exec_map_page(vp, 1)
        forget_file(vp, obj)
        other = getnewvnode(vm, "other")
        return behind, exec_map_page(other, 0)

    assert (None, None) == alone(program)
