"""The kernel's own mappings, and the growth of its tables."""

from __future__ import annotations

import pytest

from tables import MEMORY, new_pages
from vmsmp.mmu.entry import PG_RW, PG_V
from vmsmp.vm.pmap import (
    NBPDP,
    NBPDR,
    pmap_growkernel,
    pmap_kenter,
    pmap_kenter_noinval,
    pmap_kenter_quick,
    pmap_kextract,
    pmap_kmodify_rw,
    pmap_kremove,
    pmap_kremove_noinval,
    pmap_kremove_quick,
    pmap_kvtom,
    pmap_qenter,
    pmap_qenter_noinval,
    pmap_qremove,
    pmap_qremove_noinval,
    pmap_qremove_quick,
    vtopte,
)
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS

VA = VM_MIN_KERNEL_ADDRESS + 0x10_0000


@pytest.mark.parametrize("enter", [pmap_kenter, pmap_kenter_quick, pmap_kenter_noinval])
@pytest.mark.parametrize("remove", [pmap_kremove, pmap_kremove_quick, pmap_kremove_noinval])
def test_an_address_of_the_kernel_is_mapped_and_unmapped(alone, enter, remove):
    def program(vm):
        enter(vm, VA, 0x5000)
        mapped = vtopte(vm, VA).peek(), pmap_kextract(vm, VA + 9), pmap_kvtom(vm, VA).phys
        remove(vm, VA)
        return mapped, pmap_kextract(vm, VA)

    assert ((0x5000 | PG_RW | PG_V, 0x5009, 5), 0) == alone(program, **MEMORY)


@pytest.mark.parametrize(
    ("call", "arguments", "flushes", "commands"),
    [
        (pmap_kenter_quick, [VA, 0x5000], 1, 0),
        (pmap_kremove_quick, [VA], 1, 0),
        (pmap_kremove_noinval, [VA], 0, 0),
        (pmap_kremove, [VA], 1, 1),
        (pmap_qremove_quick, [VA, 2], 2, 0),
        (pmap_qremove_noinval, [VA, 2], 0, 0),
        (pmap_qremove, [VA, 2], 4, 1),
        (pmap_kmodify_rw, [VA], 1, 0),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_who_is_told_depends_on_the_function(rows, call, arguments, flushes, commands):
    found = rows(lambda vm: [vm, *arguments], call)
    assert flushes == sum(row.startswith("flush cpu0.tlb") for row in found)
    assert commands == sum(row == "settled all TLBs" for row in found)


@pytest.mark.parametrize("enter", [pmap_qenter, pmap_qenter_noinval])
@pytest.mark.parametrize("remove", [pmap_qremove, pmap_qremove_quick, pmap_qremove_noinval])
def test_pages_are_mapped_one_after_the_other(alone, enter, remove):
    def program(vm):
        _, pages = new_pages(vm, 2)
        enter(vm, VA, pages)
        found = [pmap_kvtom(vm, VA + n * 4096) is m for n, m in enumerate(pages)]
        remove(vm, VA, 2)
        return found, pmap_kextract(vm, VA), pmap_kextract(vm, VA + 4096)

    assert ([True, True], 0, 0) == alone(program, **MEMORY)


def test_the_right_to_write_can_be_given(alone):
    def program(vm):
        vtopte(vm, VA).value = 0x5000 | PG_V
        pmap_kmodify_rw(vm, VA)
        return vtopte(vm, VA).peek()

    assert 0x5000 | PG_V | PG_RW == alone(program, **MEMORY)


def test_the_kernel_s_tables_grow_as_far_as_is_asked_for(alone):
    def program(vm):
        base = VM_MIN_KERNEL_ADDRESS
        pmap_growkernel(vm, base, base + 4096)
        ends = [vm.pmap.kernel_vm_end - base]
        pmap_growkernel(vm, base + 2 * NBPDR, base + 2 * NBPDR + 1)
        ends.append(vm.pmap.kernel_vm_end - base)
        for far in (NBPDR, 2 * NBPDR):
            pmap_kenter_quick(vm, base + far, 0x5000)
        return ends, pmap_kextract(vm, base + NBPDR), pmap_kextract(vm, base + 2 * NBPDR)

    assert ([NBPDR, 3 * NBPDR], 0x5000, 0x5000) == alone(program, **MEMORY)


def test_a_directory_is_made_where_there_is_none(alone):
    def program(vm):
        far = VM_MIN_KERNEL_ADDRESS + NBPDP
        vm.pmap.kernel_vm_end = far  # as if all below were there
        pmap_growkernel(vm, far, far + 1)
        pmap_kenter_quick(vm, far, 0x5000)
        return pmap_kextract(vm, far)

    assert 0x5000 == alone(program, **MEMORY)


def test_without_memory_the_kernel_does_not_grow(panic, exhaust):
    def program(vm):
        exhaust(vm)
        pmap_growkernel(vm, VM_MIN_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS + 2 * NBPDR)

    assert "pmap_growkernel: no memory to grow kernel" == panic(program, **MEMORY)
