"""Neighbours of a page that was faulted, through chains and with new pages."""

from __future__ import annotations

import pytest

from faults import entries, filled, mapped, new_process, page_of, private, shared, write
from maps import ANON, at, entry_at
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios._kit import run_in
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import Neighbours, prefault_pages, vm_prefault
from vmsmp.vm.vm_map import VM_FAULT_BURST, VM_FAULT_DIRTY, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import OBJT_SWAP, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import VM_PAGE_BITS_ALL, vm_page_busy_wait, vm_page_wakeup


def prefault(vm, map, page, prot=VM_PROT_RW, flags=VM_FAULT_DIRTY):
    """Prefault around a page, with what a fault holds."""
    v.vm_map_lock_read(map)
    entry = entry_at(map, page)
    obj = entry.ba.object
    vm_object_hold(obj)
    vm_prefault(map.pmap, at(page), entry, prot, flags)
    vm_object_drop(obj)
    v.vm_map_unlock(map)
    return mapped(map)


@pytest.mark.parametrize(
    ("page", "pages", "order"),
    [
        (3, 8, [4, 2, 5, 1, 6, 0, 7]),
        (0, 8, [1, 2, 3, 4]),
        (7, 8, [6, 5, 4, 3]),
        (3, 2, [4, 2]),
        (3, 0, []),
    ],
)
def test_neighbours_come_nearest_first_inside_the_entry(alone, page, pages, order):
    def program(vm):
        entry = entry_at(new_process(vm, 8), 0)
        return [(va - at(0)) // 4096 for _, va in Neighbours(at(page), entry, pages)]

    assert order == alone(program)


def test_a_side_that_has_ended_is_left_out(alone):
    def program(vm):
        around = Neighbours(at(3), entry_at(new_process(vm, 8), 0), 8)
        found = []
        for above, va in around:
            found.append((va - at(0)) // 4096)
            around.ends[above] = above
        return found

    assert [4, 2, 1, 0] == alone(program)


def test_others_run_at_every_eighth_try(alone):
    def program(vm):
        told = []
        list(Neighbours(at(20), entry_at(new_process(vm, 40), 0), 17, lambda: told.append(1)))
        return len(told)

    assert 2 == alone(program, pages=4)


def test_somebody_else_s_page_tables_and_what_is_no_memory_are_left_alone(alone):
    def program(vm):
        map = new_process(vm, 2)
        mine = prefault_pages(map.pmap, entry_at(map, 0))
        vm.sysctl["vm.prefault_pages"] = 5000
        most = prefault_pages(map.pmap, entry_at(map, 0))
        other = new_process(vm, 2)
        theirs = prefault_pages(map.pmap, entry_at(map, 0))
        entry_at(other, 0).maptype = v.VM_MAPTYPE_UKSMAP
        return mine, most, theirs, prefault_pages(other.pmap, entry_at(other, 0))

    assert (8, 1024, 0, 0) == alone(program)


def test_new_pages_of_zeros_are_mapped_around_a_write(alone):
    def program(vm):
        map = new_process(vm, 4)
        write(map, 1)
        found = prefault(vm, map, 1)
        m = page_of(map, 0)
        return found, m.raw_dirty, m.raw_valid, vm.page.queue_type(m.raw_queue), vm.mycpu().v_zfod

    assert ([0, 1, 2, 3], 0xFF, VM_PAGE_BITS_ALL, "inactive", 4) == alone(program)


@pytest.mark.parametrize(("prot", "fast"), [(VM_PROT_READ, 1), (VM_PROT_RW, 0)])
def test_no_new_pages_come_of_a_read_or_without_the_switch(alone, prot, fast):
    def program(vm):
        vm.sysctl["vm.fast_fault"] = fast
        map = new_process(vm, 4)
        write(map, 1)
        return prefault(vm, map, 1, prot)

    assert [1] == alone(program)


def test_a_lower_object_s_pages_are_mapped_read_only(alone):
    def program(vm):
        map = new_process(vm)
        private(map, 0, filled(vm, 5, 6, 7, 8))
        write(map, 1)
        found = prefault(vm, map, 1)
        return found, [bool(pte & PG_RW) for _, pte in entries(map)]

    assert ([0, 1, 2, 3], [False, True, False, False]) == alone(program)


def test_an_object_with_a_pager_ends_the_search(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6)
        private(map, 0, obj)
        write(map, 1)
        obj.raw_type = OBJT_SWAP
        return prefault(vm, map, 1)

    assert [1] == alone(program)


def test_a_page_that_is_busy_is_passed_over(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6, 7, 8)
        shared(map, 0, obj)
        write(map, 1)
        m = obj.raw_rb_memq[2]
        vm_page_busy_wait(m, True)
        found = prefault(vm, map, 1)
        vm_page_wakeup(m)
        return found

    assert [0, 1, 3] == alone(program)


def test_a_page_that_is_not_all_valid_is_not_mapped(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6, 7)
        shared(map, 0, obj, 3)
        write(map, 1)
        obj.raw_rb_memq[2].raw_valid = 1
        return prefault(vm, map, 1), obj.raw_rb_memq[2].busy_count.value

    assert ([0, 1], 0) == alone(program)


def test_bursts_among_each_other_lose_no_page(together):
    def program(vm):
        vm.fault.vm_shared_fault = 0
        map = new_process(vm, 3, ANON)
        vmspace = vm.mycpu().proc.p_vmspace
        m = vm.machine

        def user(page):
            run_in(vm, vmspace)
            write(map, page, VM_FAULT_BURST | VM_FAULT_DIRTY)

        m.spawn(user, 0)
        m.spawn(user, 2)
        m.join()
        m.check(mapped(map) == [0, 1, 2], "all pages are mapped")

    together(program, schedules=15)
