"""Neighbours that the first object has, under a token in any mode."""

from __future__ import annotations

import pytest

from faults import filled, mapped, new_process, page_of, private, shared, write
from maps import at, entry_at
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import vm_prefault_quick
from vmsmp.vm.vm_map import VM_FAULT_DIRTY, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PG_SWAPPED,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_wakeup,
)


def prefault(vm, map, page, prot=VM_PROT_RW, flags=VM_FAULT_DIRTY):
    """Prefault around a page, with what a fault holds."""
    v.vm_map_lock_read(map)
    entry = entry_at(map, page)
    obj = entry.ba.object
    vm_object_hold_shared(obj)
    vm_prefault_quick(map.pmap, at(page), entry, prot, flags)
    vm_object_drop(obj)
    v.vm_map_unlock(map)
    return mapped(map)


def ready(vm, pages=4):
    """A map of an object with these pages, of which page 1 is mapped."""
    map, obj = new_process(vm), filled(vm, *range(5, 5 + pages))
    shared(map, 0, obj)
    write(map, 1)
    return map, obj


@pytest.mark.parametrize("prot", [VM_PROT_READ, VM_PROT_RW])
def test_pages_that_are_there_are_mapped(alone, prot):
    def program(vm):
        map, _ = ready(vm)
        return prefault(vm, map, 1, prot), page_of(map, 0).busy_count.value

    assert ([0, 1, 2, 3], 0) == alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, VM_PROT_RW])
def test_a_page_that_is_absent_ends_it(alone, prot):
    def program(vm):
        map, _ = ready(vm, 2)
        return prefault(vm, map, 1, prot)

    assert [1] == alone(program)


def test_a_chain_is_left_alone(alone):
    def program(vm):
        map = new_process(vm)
        private(map, 0, filled(vm, 5, 6, 7))
        write(map, 1)
        return prefault(vm, map, 1)

    assert [1] == alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, VM_PROT_RW])
def test_a_page_that_is_busy_ends_it(alone, prot):
    def program(vm):
        map, obj = ready(vm)
        vm_page_busy_wait(obj.raw_rb_memq[2], True)
        found = prefault(vm, map, 1, prot)
        vm_page_wakeup(obj.raw_rb_memq[2])
        return found

    assert [1] == alone(program)


def test_swap_is_not_given_back_here(alone):
    def program(vm):
        map, obj = ready(vm)
        obj.raw_rb_memq[2].flags.value |= PG_SWAPPED
        written = prefault(vm, map, 1)
        return written, prefault(vm, map, 1, flags=0), obj.raw_rb_memq[2].busy_count.value

    assert ([1], [0, 1, 2, 3], 0) == alone(program)


@pytest.mark.parametrize("prot", [VM_PROT_READ, VM_PROT_RW])
def test_a_cached_page_is_taken_off_its_queue(alone, prot):
    def program(vm):
        map, obj = ready(vm)
        m = obj.raw_rb_memq[2]
        m.raw_dirty = 0
        vm_page_busy_wait(m, True)
        vm_page_deactivate(m)
        vm_page_cache(m)
        return prefault(vm, map, 1, prot), vm.page.queue_type(m.raw_queue)

    assert ([0, 1, 2, 3], "inactive") == alone(program)
