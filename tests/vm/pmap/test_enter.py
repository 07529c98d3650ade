"""Mapping a page at an address."""

from __future__ import annotations

import pytest

from tables import BASE, MEMORY, Space, at, busied
from vmsmp.mmu.entry import PG_A, PG_M, PG_NX, PG_RW, PG_U, PG_V, frame_of
from vmsmp.vm.pmap import PG_MANAGED, PG_W, pmap_enter, pmap_pte, vtopte
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS, VM_PROT_NOSYNC, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_REFERENCED,
    PG_WRITEABLE,
    VM_PAGE_BITS_ALL,
    vm_page_wakeup,
)

FLAGS = PG_MAPPED | PG_MAPPEDMULTI | PG_WRITEABLE


@pytest.mark.parametrize(
    ("prot", "wired", "bits", "flags"),
    [
        (VM_PROT_READ, False, PG_NX, PG_MAPPED),
        (VM_PROT_RW, False, PG_RW, PG_MAPPED | PG_WRITEABLE),
        (VM_PROT_RW, True, PG_RW | PG_W, PG_MAPPED | PG_WRITEABLE),
    ],
)
def test_an_entry_says_which_page_and_how(alone, prot, wired, bits, flags):
    def program(vm):
        space = Space(vm)
        m = space.enter(0, prot, wired)
        pte = pmap_pte(space.pmap, BASE + 5).peek()
        table = space.pmap.raw_pm_pvroot.peekitem(0)[1].raw_pv_m
        return pte, m.phys, m.flags.peek(), space.counts(), table.wire_count.peek()

    pte, frame, told, counts, wirings = alone(program, **MEMORY)
    assert frame == frame_of(pte)
    assert bits | PG_V | PG_A | PG_U | PG_MANAGED == pte & (PG_NX | 0xFFF)
    assert flags == told
    assert ((5, int(wired)), 2) == (counts, wirings)


def test_the_flags_are_set_before_the_entry(rows):
    def prepare(vm):
        space = Space(vm)
        space.enter(0)  # now the table is there
        return [space.pmap, at(1), busied(space.pages[0]), VM_PROT_RW, False, space.entry]

    found = rows(prepare, pmap_enter)
    swap = next(n for n, row in enumerate(found) if row.startswith("swap table["))
    flags = next(n for n, row in enumerate(found) if row.startswith("cmpset pg[") and row.endswith(".flags"))
    assert flags < swap
    assert found[-1].startswith("cmpset pv[")
    assert found[-2].startswith("swap pmap.placemark[")


def test_the_same_entry_again_changes_nothing(alone):
    def program(vm):
        space = Space(vm)
        m = space.enter()
        pmap_pte(space.pmap, at(0)).value &= ~PG_A
        space.enter()
        return bool(pmap_pte(space.pmap, at(0)).peek() & PG_A), m.flags.peek() & FLAGS, space.counts()

    assert (False, PG_MAPPED | PG_WRITEABLE, (5, 0)) == alone(program, **MEMORY)


def test_other_rights_at_the_same_place_count_as_one_more_mapping(alone):
    def program(vm):
        space = Space(vm)
        m = space.enter(0, VM_PROT_READ)
        space.enter(0, VM_PROT_RW, True)
        return m.flags.peek() & FLAGS, space.counts()

    assert (FLAGS, (5, 1)) == alone(program, **MEMORY)


@pytest.mark.parametrize("nosync", [0, VM_PROT_NOSYNC])
def test_a_page_that_is_replaced_learns_what_its_entry_said(alone, nosync):
    def program(vm):
        space = Space(vm, 2)
        old = space.enter(0)
        pmap_pte(space.pmap, at(0)).value |= PG_M
        space.enter(1, VM_PROT_RW | nosync, False, 0)
        return (
            old.flags.peek() & (FLAGS | PG_REFERENCED),
            old.peek("dirty"),
            old.interlock_count.peek(),
            space.counts(),
            frame_of(pmap_pte(space.pmap, at(0)).peek()) == space.pages[1].phys,
        )

    assert (PG_REFERENCED, VM_PAGE_BITS_ALL, 0, (5, 0), True) == alone(program, **MEMORY)


def test_the_kernel_s_own_mappings_are_not_counted_but_their_wirings_are(alone):
    def program(vm):
        space = Space(vm)
        kernel = vm.pmap.kernel_pmap
        m = busied(space.pages[0])
        va = VM_MIN_KERNEL_ADDRESS + 0x10_0000
        pmap_enter(kernel, va, m, VM_PROT_RW, True, space.entry)
        vm_page_wakeup(m)
        pte = vtopte(vm, va).peek()
        return kernel.peek("resident_count"), kernel.peek("wired_count"), bool(pte & PG_U), vm.console

    assert (0, 1, False, []) == alone(program, **MEMORY)


def test_an_address_of_the_wrong_half_is_told(alone):
    def program(vm):
        space = Space(vm)
        m = busied(space.pages[0])
        pmap_enter(space.pmap, at(0), m, VM_PROT_RW, False, space.entry)
        vm_page_wakeup(m)
        return vm.console

    assert [] == alone(program, **MEMORY)


def test_no_pmap_maps_nothing(alone):
    assert None is alone(lambda vm: pmap_enter(None, 0, None, 0, False, None), **MEMORY)


def test_a_page_that_nobody_has_busied_is_not_mapped(panic):
    def program(vm):
        space = Space(vm)
        pmap_enter(space.pmap, at(0), space.pages[0], VM_PROT_RW, False, space.entry)

    assert "pmap_enter: page not busied" == panic(program, **MEMORY)


def test_a_page_without_a_frame_is_not_mapped(panic):
    def program(vm):
        space = Space(vm)
        m = busied(vm.page.marker(PG_FICTITIOUS))
        pmap_enter(space.pmap, at(0), m, VM_PROT_RW, False, space.entry)

    assert "pmap_enter: page without a frame" == panic(program, **MEMORY)


def test_a_page_is_replaced_for_an_entry_of_a_map_only(panic):
    def program(vm):
        space = Space(vm, 2)
        space.enter(0)
        pmap_enter(space.pmap, at(0), busied(space.pages[1]), VM_PROT_RW, False, None)

    assert "pmap_enter: no entry for a page that is replaced" == panic(program, **MEMORY)
