"""An address space's page table: entering, storing, removing and protecting by ranges."""

from __future__ import annotations

import pytest

from vmsmp.vm.pmap_range import (
    NBPDR,
    pmap_enter,
    pmap_growkernel,
    pmap_kenter_noinval,
    pmap_kextract,
    pmap_pinit,
    pmap_protect,
    pmap_qremove,
    pmap_release,
    pmap_remove,
    pmap_remove_pages,
    pmap_store,
)
from vmsmp.vm.vm_map.flags import VM_MAX_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import VM_ALLOC_NORMAL, VM_PAGE_BITS_ALL, vm_page_alloc, vm_page_wakeup

READ, RW, NONE = 1, 3, 0


def mapped(vm, *addresses, prot=RW):
    """A pmap with a page of one object at each of these addresses."""
    pmap, obj = pmap_pinit(vm, "pmap"), vm_object_allocate(vm, 8)
    vm_object_hold(obj)
    for pindex, va in enumerate(addresses):
        m = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
        m.valid = VM_PAGE_BITS_ALL
        pmap_enter(pmap, va, m, prot)
        vm_page_wakeup(m)
    vm_object_drop(obj)
    return pmap


def where(pmap):
    return sorted(va for va, _ in pmap.mapped())


@pytest.mark.parametrize("remove", [pmap_remove, pmap_remove_pages])
def test_the_mappings_of_a_range_are_removed_and_no_others(alone, remove):
    def program(vm):
        pmap = mapped(vm, 0x1000, 0x2000, 0x3000, 0x9000)
        remove(pmap, 0x2000, 0x9000)
        return where(pmap)

    assert [0x1000, 0x9000] == alone(program)


def test_a_written_page_is_dirty_when_its_mapping_is_removed(alone):
    def program(vm):
        pmap = mapped(vm, 0x1000, 0x2000)
        pages = dict(pmap.mapped())
        stored = pmap_store(pmap, 0x2000)
        pmap.remove(0, 0x10000)
        return stored, [bool(m.peek("dirty")) for _, m in sorted(pages.items())]

    assert (True, [False, True]) == alone(program)


def test_a_protected_page_is_mapped_read_only_and_what_was_written_is_known(alone):
    def program(vm):
        pmap = mapped(vm, 0x1000)
        (m,) = dict(pmap.mapped()).values()
        pmap_store(pmap, 0x1000)
        pmap_protect(pmap, 0, 0x2000, READ)
        return where(pmap), pmap_store(pmap, 0x1000), bool(m.peek("dirty"))

    assert ([0x1000], False, True) == alone(program)


@pytest.mark.parametrize(("prot", "left", "stored"), [(RW, [0x1000], True), (NONE, [], False)])
def test_all_rights_change_nothing_and_none_removes(alone, prot, left, stored):
    def program(vm):
        pmap = mapped(vm, 0x1000)
        pmap_protect(pmap, 0, 0x2000, prot)
        return where(pmap), pmap_store(pmap, 0x1000)

    assert (left, stored) == alone(program)


def test_nothing_is_stored_where_nothing_is_mapped(alone):
    assert not alone(lambda vm: pmap_store(mapped(vm, 0x1000), 0x2000))


def test_a_page_may_be_mapped_at_two_addresses_and_goes_from_both(alone):
    def program(vm):
        pmap = mapped(vm, 0x1000)
        pmap.table[0x5000] = pmap.table[0x1000]
        pmap_remove(pmap, 0x1000, 0x2000)
        return where(pmap)

    assert [] == alone(program)


@pytest.mark.parametrize("change", [pmap_remove, lambda *range: pmap_protect(*range, READ)])
def test_tokens_are_lost_while_a_range_changes(steps, change):
    def prepare(vm):
        pmap = mapped(vm, 0x1000)
        obj = next(iter(vm.objects))
        vm_object_hold(obj)
        return pmap, 0, 0x2000

    assert "release obj[0].token" in steps(prepare, change)


def test_a_pmap_ends(alone):
    def program(vm):
        pmap = pmap_pinit(vm, "pmap")
        there = pmap in vm.pmap.pmap_list
        pmap_release(pmap)
        return there, pmap in vm.pmap.pmap_list

    assert (True, False) == alone(program)


def test_a_pmap_with_a_wired_page_cannot_end(panic):
    def program(vm):
        pmap = pmap_pinit(vm, "pmap")
        pmap.wired_count = 1
        pmap_release(pmap)

    assert "pmap_release: pmap has wired pages" == panic(program)


def test_the_kernel_s_page_tables_grow_in_steps_and_never_shrink(alone):
    def program(vm):
        ends = []
        for end in (4096, NBPDR + 1, 4096):
            pmap_growkernel(vm, VM_MIN_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS + end)
            ends.append((vm.pmap.kernel_vm_end - VM_MIN_KERNEL_ADDRESS) // NBPDR)
        return ends

    assert [1, 2, 2] == alone(program)


def test_the_kernel_s_addresses_end(panic):
    def program(vm):
        pmap_growkernel(vm, 0, VM_MAX_KERNEL_ADDRESS + 1)

    assert "pmap_growkernel: out of kernel addresses" == panic(program)


def test_the_kernel_s_own_mappings_leave_no_trace_in_their_pages(alone):
    def program(vm):
        m = vm.page.vm_page_array[3]
        pmap_kenter_noinval(vm, 0x5000, m)
        there = pmap_kextract(vm, 0x5000) is m, m.peek("md"), vm.pmap.kernel_pmap.mapped()
        pmap_qremove(vm, 0x5000, 1)
        return there, vm.pmap.kernel_pmap.table

    assert ((True, 0, []), {}) == alone(program)


def test_an_address_of_the_kernel_without_a_page_is_a_panic(panic):
    assert "pmap_kextract: nothing is mapped" == panic(lambda vm: pmap_kextract(vm, 0x5000))
