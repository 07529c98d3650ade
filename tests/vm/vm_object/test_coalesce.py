"""An object that grows over the range behind a part of it."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.scenarios._kit import idle_pages
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import swp_pager_meta_build


def grow(obj, pindex, prev, following):
    return o.vm_object_coalesce(obj, pindex, prev * PAGE_SIZE, following * PAGE_SIZE)


def test_without_an_object_there_is_nothing_in_the_way(alone):
    assert True is alone(lambda _vm: grow(None, 0, 1, 1))


@pytest.mark.parametrize(
    ("refs", "prev", "grows", "size"),
    [(1, 8, True, 11), (1, 4, True, 8), (1, 6, True, 9), (2, 8, True, 11), (2, 4, False, 8)],
)
def test_an_object_that_others_use_grows_behind_its_end_only(alone, refs, prev, grows, size):
    def program(vm):
        obj = made(vm, refs)
        return grow(obj, 0, prev, 3), obj.peek("size"), obj.hold_count.peek()

    assert (grows, size, 0) == alone(program)


@pytest.mark.parametrize("objt", [o.OBJT_VNODE, o.OBJT_DEVICE, o.OBJT_PHYS, o.OBJT_DEAD])
def test_only_anonymous_memory_grows(alone, objt):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8, objt=objt)
        return grow(obj, 0, 8, 1), obj.peek("size"), obj.hold_count.peek()

    assert (False, 8, 0) == alone(program)


def test_what_was_behind_is_discarded_with_its_swap(alone):
    def program(vm):
        obj = made(vm)
        idle_pages(vm, obj, range(4))
        o.vm_object_hold(obj)
        for pindex in (1, 2, 6):
            swp_pager_meta_build(obj, pindex, pindex)
        o.vm_object_drop(obj)
        grow(obj, 0, 2, 3)
        return sorted(obj.peek("rb_memq")), sorted(obj.peek("swblock_root"))

    assert ([0, 1], [1, 6]) == alone(program)
