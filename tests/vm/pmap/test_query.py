"""Questions about addresses."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at
from vmsmp.mmu.entry import PG_A, PG_M
from vmsmp.vm.pmap import (
    MINCORE_INCORE,
    MINCORE_MODIFIED,
    MINCORE_MODIFIED_OTHER,
    MINCORE_REFERENCED,
    MINCORE_REFERENCED_OTHER,
    pmap_addr_hint,
    pmap_extract,
    pmap_extract_done,
    pmap_fault_page_quick,
    pmap_mincore,
    pmap_prefault_ok,
    pmap_pte,
)
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import OBJT_DEVICE, vm_object_allocate
from vmsmp.vm.vm_page import PG_REFERENCED, VM_PAGE_BITS_ALL

MODIFIED = MINCORE_MODIFIED | MINCORE_MODIFIED_OTHER
REFERENCED = MINCORE_REFERENCED | MINCORE_REFERENCED_OTHER


def test_an_address_has_a_physical_one_if_it_is_mapped(alone):
    def program(vm):
        space = Space(vm, 2)
        nothing = pmap_extract(space.pmap, at(0))
        m = space.enter()
        found = pmap_extract(space.pmap, at(0) + 5)[0] - m.phys * 4096, pmap_extract(space.pmap, at(1))
        return nothing, found, pmap_extract(vm.pmap.kernel_pmap, space.pmap.pm_pml4)[0]

    nothing, found, top = alone(program, **MEMORY)
    assert ((0, None), (5, (0, None))) == (nothing, found)
    assert 0 < top


def test_an_address_can_be_kept_as_it_is(alone):
    def program(vm):
        space = Space(vm)
        space.enter()
        _, handle = pmap_extract(space.pmap, at(0), keep=True)
        locked = bool(handle.pv_hold.peek() & 0x80000000)
        pmap_extract_done(handle)
        pmap_extract_done(None)
        return locked, handle.pv_hold.peek()

    assert (True, 1) == alone(program, **MEMORY)


@pytest.mark.parametrize("mapped", [False, True])
def test_no_page_is_found_quickly_for_want_of_leaf_pv_entries(alone, mapped):
    def program(vm):
        space = Space(vm)
        if mapped:
            space.enter()
        found = pmap_fault_page_quick(space.pmap, at(0), VM_PROT_RW)
        return found, {pv.pv_hold.peek() for pv in space.pmap.raw_pm_pvroot.values()}

    assert (None, {1}) == alone(program, **MEMORY)


def test_what_is_not_mapped_may_be_entered_ahead_of_a_fault(alone):
    def program(vm):
        space = Space(vm, 2)
        before = pmap_prefault_ok(space.pmap, at(0))
        space.enter()
        return before, pmap_prefault_ok(space.pmap, at(0)), pmap_prefault_ok(space.pmap, at(1))

    assert (True, False, True) == alone(program, **MEMORY)


@pytest.mark.parametrize(
    ("bits", "dirty", "flags", "found"),
    [
        (PG_A | PG_M, 0, 0, MODIFIED | REFERENCED),
        (PG_A, VM_PAGE_BITS_ALL, 0, MINCORE_MODIFIED_OTHER | REFERENCED),
        (0, 0, PG_REFERENCED, MINCORE_REFERENCED_OTHER),
        (0, 0, 0, 0),
    ],
)
def test_an_address_tells_what_was_done_there(alone, bits, dirty, flags, found):
    def program(vm):
        space = Space(vm)
        m = space.enter()
        m.raw_dirty = dirty
        m.flags.value |= flags
        word = pmap_pte(space.pmap, at(0))
        word.value = word.value & ~(PG_A | PG_M) | bits
        return pmap_mincore(space.pmap, at(0))

    assert found | MINCORE_INCORE == alone(program, **MEMORY)


def test_nothing_was_done_where_nothing_is_mapped(alone):
    assert 0 == alone(lambda vm: pmap_mincore(Space(vm).pmap, at(0)), **MEMORY)


def test_large_mappings_of_devices_begin_at_a_large_page(alone):
    def program(vm):
        device = vm_object_allocate(vm, 1024)
        device.raw_type = OBJT_DEVICE
        memory = vm_object_allocate(vm, 1024)
        return [
            pmap_addr_hint(obj, 0x1000, size)
            for obj, size in ((device, 4 << 20), (device, 4096), (memory, 4 << 20), (None, 4 << 20))
        ]

    assert [2 << 20, 0x1000, 0x1000, 0x1000] == alone(program, check=False, **MEMORY)


def test_a_read_needs_no_right_to_write(alone):
    def program(vm):
        space = Space(vm)
        space.enter(0, VM_PROT_READ)
        return pmap_fault_page_quick(space.pmap, at(0), VM_PROT_READ)

    assert None is alone(program, **MEMORY)
