"""Removing the pages of a range."""

from __future__ import annotations

import pytest

from page_layer import made, poke
from vmsmp.scenarios._kit import Space, idle_pages, mappings, write_fault
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_NEED_COMMIT,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_flag_set,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pager import swp_pager_meta_build


class Backing:
    def __init__(self, start, pages, offset=0):
        self.start, self.end, self.offset = start, start + pages * PAGE_SIZE, offset
        self.pmap = None


@pytest.mark.parametrize(
    ("start", "end", "left"), [(0, 0, []), (1, 3, [0, 3]), (2, 0, [0, 1]), (4, 9, [0, 1, 2, 3])]
)
def test_the_pages_of_the_range_are_freed(alone, start, end, left):
    def program(vm):
        obj = made(vm)
        idle_pages(vm, obj, range(4))
        free = vm.meter.count("v_free_count")
        o.vm_object_page_remove(obj, start, end, False)
        gone = vm.meter.count("v_free_count") - free
        return sorted(obj.peek("rb_memq")), gone, obj.hold_count.peek(), obj.paging_in_progress.peek()

    assert (left, 4 - len(left), 0, 0) == alone(program)


@pytest.mark.parametrize(("clean_only", "left"), [(False, []), (True, [1, 2])])
def test_what_is_to_be_written_is_spared_if_only_clean_pages_are_to_go(alone, clean_only, left):
    def program(vm):
        obj = made(vm)
        pages = idle_pages(vm, obj, range(3))
        poke(pages[1], dirty=0x01)
        vm_page_flag_set(pages[2], PG_NEED_COMMIT)
        o.vm_object_page_remove(obj, 0, 0, clean_only)
        return sorted(obj.peek("rb_memq"))

    assert left == alone(program)


@pytest.mark.parametrize(("clean_only", "valid"), [(False, 0), (True, 0xFF)])
def test_a_wired_page_stays_unmapped_and_is_invalid_unless_only_clean_pages_go(alone, clean_only, valid):
    def program(vm):
        obj = made(vm)
        (page,) = idle_pages(vm, obj, [0])
        write_fault(Space(vm, obj, 1), page)
        vm_page_busy_wait(page, True)
        vm_page_wire(page)
        vm_page_wakeup(page)
        o.vm_object_page_remove(obj, 0, 0, clean_only)
        return (
            page.peek("object") is obj,
            page.peek("valid"),
            mappings(page),
            page.peek("busy_count"),
        )

    assert (True, valid, 0, 0) == alone(program)


def test_an_object_without_pages_or_swap_is_left_at_once(steps):
    rows = steps(lambda vm: [made(vm), 0, 0, False], o.vm_object_page_remove)
    assert "fetchadd obj[0].paging_in_progress" not in rows


def test_physical_memory_is_never_removed(panic):
    def program(vm):
        obj = o.vm_object_allocate(vm, 4, objt=o.OBJT_PHYS)
        idle_pages(vm, obj, [0])
        o.vm_object_page_remove(obj, 0, 0, False)

    assert "vm_object_page_remove: pages of physical memory" == panic(program)


@pytest.mark.parametrize(
    ("objt", "clean_only", "start", "left"),
    [
        (o.OBJT_SWAP, False, 0, []),
        (o.OBJT_SWAP, False, 2, [1]),
        (o.OBJT_SWAP, True, 0, [1, 3]),
        (o.OBJT_VNODE, True, 0, []),
    ],
)
def test_swap_goes_too_but_not_that_of_memory_whose_clean_pages_go(alone, objt, clean_only, start, left):
    def program(vm):
        obj = o.vm_object_allocate(vm, 4, objt=objt)
        o.vm_object_hold(obj)
        for pindex in (1, 3):
            swp_pager_meta_build(obj, pindex, pindex)
        o.vm_object_drop(obj)
        o.vm_object_page_remove(obj, start, 0, clean_only)
        return sorted(obj.peek("swblock_root"))

    assert left == alone(program)


@pytest.mark.parametrize(
    ("start", "end", "removed"),
    [
        (0, 0, [(16, 20)]),
        (2, 4, [(16, 18)]),
        (3, 4, [(17, 18)]),
        (0, 2, []),
        (6, 9, []),
        (5, 0, [(19, 20)]),
    ],
)
@pytest.mark.parametrize("objt", [o.OBJT_DEFAULT, o.OBJT_MGTDEVICE])
def test_backings_lose_what_they_map_of_the_range(alone, monkeypatch, objt, start, end, removed):
    """Also those of a device whose pages are in no tree."""

    told = []
    monkeypatch.setattr("vmsmp.vm.vm_object.remove.pmap_remove", lambda _pmap, *pages: told.append(pages))

    def program(vm):
        obj = o.vm_object_allocate(vm, 8, objt=objt)
        if objt == o.OBJT_DEFAULT:
            idle_pages(vm, obj, [7])
        ba = Backing(16 * PAGE_SIZE, 4, 2 * PAGE_SIZE)
        o.vm_object_backing_insert(obj, ba)
        o.vm_object_page_remove(obj, start, end, False)
        return [(sva // PAGE_SIZE, eva // PAGE_SIZE) for sva, eva in told], obj.backing_lk.holders

    assert (removed, []) == alone(program)


def test_a_busy_page_is_waited_for(together):
    def program(vm):
        obj = made(vm)
        (page,) = idle_pages(vm, obj, [0])

        def owner():
            if not vm_page_busy_try(page, True):
                vm.machine.yield_()
                vm_page_wakeup(page)

        vm.machine.spawn(owner)
        vm.machine.spawn(o.vm_object_page_remove, obj, 0, 0, False)
        vm.machine.join()
        vm.machine.check(not obj.peek("rb_memq"), "it is gone")

    together(program)
