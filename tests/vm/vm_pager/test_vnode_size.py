"""A file that becomes longer or shorter, and the pages of its object."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import file_object
from vmsmp.vm.vm_page import PAGE_SIZE as PAGE
from vmsmp.vm.vm_page import VM_PAGE_BITS_ALL, vm_page_busy_wait, vm_page_wakeup
from vmsmp.vm.vm_pager import nvnode_pager_setsize, vnode_pager_setsize
from vmsmp.vm.vnode import vn_lock, vn_unlock


def resized(vm, nsize, dirty=0, valid=VM_PAGE_BITS_ALL):
    """A file of three pages, the first one that dirty, gets a size; return it, its object, the page."""
    vp, obj = file_object(vm, 3, range(3))
    m = obj.peek("rb_memq")[0]
    vm_page_busy_wait(m, True)
    vm.memory.write_pieces(m.phys, dict.fromkeys(range(8), "x"))
    m.publish("dirty", dirty)
    m.publish("valid", valid)
    vm_page_wakeup(m)
    vn_lock(vp)
    vnode_pager_setsize(vp, nsize)
    vn_unlock(vp)
    return vp, obj, m


@pytest.mark.parametrize(
    ("nsize", "pages", "left"),
    [
        (0, 0, []),
        (100, 1, [0]),
        (PAGE, 1, [0]),
        (PAGE + 1, 2, [0, 1]),
        (3 * PAGE, 3, [0, 1, 2]),
        (5 * PAGE, 5, [0, 1, 2]),
    ],
)
def test_what_is_behind_the_end_goes(alone, nsize, pages, left):
    def program(vm):
        vp, obj, _ = resized(vm, nsize)
        return vp.peek("v_filesize"), obj.peek("size"), sorted(obj.peek("rb_memq"))

    assert (nsize, pages, left) == alone(program)


@pytest.mark.parametrize(
    ("nsize", "zero"), [(PAGE, []), (1024, [2, 3, 4, 5, 6, 7]), (1025, [3, 4, 5, 6, 7]), (PAGE - 1, [])]
)
def test_what_is_behind_the_end_in_the_last_page_is_zero(alone, nsize, zero):
    def program(vm):
        m = resized(vm, nsize)[2]
        return [n for n in range(8) if vm.memory.read_pieces(m.phys).get(n, 0) != "x"]

    assert zero == alone(program)


@pytest.mark.parametrize(
    ("dirty", "valid", "left"),
    [
        (0, VM_PAGE_BITS_ALL, 0),
        (1, VM_PAGE_BITS_ALL, VM_PAGE_BITS_ALL),
        (1 << 7, VM_PAGE_BITS_ALL, 0),
        (1 << 7, 0, 1 << 7),
    ],
)
def test_the_last_page_is_all_dirty_if_something_before_the_end_is(alone, dirty, valid, left):
    def program(vm):
        return resized(vm, 1024, dirty, valid)[2].peek("dirty")

    assert left == alone(program)


def test_a_file_without_an_object_has_nothing_to_be_changed(alone):
    def program(vm):
        vp, _ = file_object(vm, 1)
        vp.publish("v_object", None)
        vnode_pager_setsize(vp, 0)
        return vp.peek("v_filesize")

    assert PAGE == alone(program)


@pytest.mark.parametrize(
    ("length", "size", "left"),
    [
        (100, 2, [0, 1]),
        (2 * PAGE, 2, [0, 1]),
        (2 * PAGE + 1, 4, [0, 1, 2]),
        (3 * PAGE, 3, [0, 1, 2]),
        (0, 0, []),
        (5 * PAGE, 6, [0, 1, 2]),
    ],
)
def test_an_object_has_all_of_the_last_buffer(alone, length, size, left):
    def program(vm):
        vp, obj = file_object(vm, 3, range(3))
        vn_lock(vp)
        nvnode_pager_setsize(vp, length, 2 * PAGE)
        vn_unlock(vp)
        return vp.peek("v_filesize"), obj.peek("size"), sorted(obj.peek("rb_memq"))

    assert (length, size, left) == alone(program)


def test_a_file_of_buffers_without_an_object_has_nothing_to_be_changed(alone):
    def program(vm):
        vp, _ = file_object(vm, 1)
        vp.publish("v_object", None)
        nvnode_pager_setsize(vp, 0, PAGE)
        return vp.peek("v_filesize")

    assert PAGE == alone(program)
