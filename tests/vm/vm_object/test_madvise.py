"""Advice on the pages of an object."""

from __future__ import annotations

import pytest

from page_layer import made, on, poke
from vmsmp.mmu.entry import PG_M
from vmsmp.scenarios._kit import Space, idle_pages, mappings, write_fault
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    vm_page_busy_try,
    vm_page_flag_set,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pager import swp_pager_meta_build


def dirty_page(vm, obj):
    (page,) = idle_pages(vm, obj, [0])
    poke(page, dirty=0xFF, act_count=9)
    return page


@pytest.mark.parametrize(
    ("advise", "queue"), [(o.MADV_WILLNEED, "active"), (o.MADV_DONTNEED, "inactive"), (o.MADV_NORMAL, "none")]
)
def test_advice_moves_a_page_and_leaves_what_it_holds(alone, advise, queue):
    def program(vm):
        obj = made(vm)
        page = dirty_page(vm, obj)
        vm.page.dnweight.store(0x20)
        o.vm_object_madvise(obj, 0, 3, advise)
        return on(page) if page.peek("queue") else "none", page.peek("dirty"), page.peek("busy_count")

    assert (queue, 0xFF, 0) == alone(program)


def test_memory_that_is_of_no_use_is_clean_unused_and_without_swap(alone):
    def program(vm):
        obj = made(vm)
        page = dirty_page(vm, obj)
        space = Space(vm, obj, 1, reference=False)
        write_fault(space, page)
        poke(page, act_count=9)
        space.store(0)
        o.vm_object_hold(obj)
        for pindex in (0, 2, 5):
            swp_pager_meta_build(obj, pindex, pindex)
        o.vm_object_drop(obj)
        o.vm_object_madvise(obj, 0, 4, o.MADV_FREE)
        return (
            page.peek("dirty"),
            mappings(page, PG_M),
            page.peek("act_count"),
            sorted(obj.peek("swblock_root")),
        )

    assert (0, 0, 0, [5]) == alone(program)


@pytest.mark.parametrize(
    ("objt", "mapping"), [(o.OBJT_DEFAULT, 0), (o.OBJT_VNODE, o.OBJ_ONEMAPPING), (o.OBJT_PHYS, 0)]
)
def test_what_others_may_see_is_not_discarded(alone, objt, mapping):
    def program(vm):
        obj = o.vm_object_allocate(vm, 4, objt=objt)
        obj.flags.value = mapping
        page = dirty_page(vm, obj)
        o.vm_object_madvise(obj, 0, 1, o.MADV_FREE)
        return page.peek("dirty")

    assert 0xFF == alone(program)


@pytest.mark.parametrize("flag", [PG_FICTITIOUS, PG_UNQUEUED, PG_NEED_COMMIT])
def test_a_page_that_is_not_like_others_is_left_alone(alone, flag):
    def program(vm):
        obj = made(vm)
        page = dirty_page(vm, obj)
        vm_page_flag_set(page, flag)
        o.vm_object_madvise(obj, 0, 1, o.MADV_FREE)
        return page.peek("dirty"), page.peek("busy_count")

    assert (0xFF, 0) == alone(program)


def test_no_object_needs_no_advice(steps):
    assert [] == steps(lambda _vm: [None, 0, 1, o.MADV_FREE], o.vm_object_madvise)


def test_a_busy_page_is_waited_for_and_looked_up_again(together):
    def program(vm):
        obj = made(vm)
        page = dirty_page(vm, obj)

        def owner():
            if not vm_page_busy_try(page, True):
                vm.machine.yield_()
                vm_page_wakeup(page)

        vm.machine.spawn(owner)
        vm.machine.spawn(o.vm_object_madvise, obj, 0, 1, o.MADV_FREE)
        vm.machine.join()
        vm.machine.check(not page.peek("dirty"), "it was discarded")

    together(program)
