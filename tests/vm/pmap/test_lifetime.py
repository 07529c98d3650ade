"""The life of a user's pmap."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at, new_pmap
from vmsmp.vm.pmap import (
    PML4_BASE,
    PT_BASE,
    pmap_allocpte,
    pmap_kextract,
    pmap_pinit,
    pmap_pinit0,
    pmap_puninit,
    pmap_release,
    pmap_remove,
    pv_get,
    pv_put,
)
from vmsmp.vm.vm_page import PG_MAPPED


def free_pages(vm):
    return sum(vm.page.queue_type(m.peek("queue")) == "free" for m in vm.page.vm_page_array)


def test_a_new_pmap_has_a_top_table_with_the_kernel_s_part(alone):
    def program(vm):
        pmap = new_pmap(vm)
        kernel = vm.pmap.kernel_pmap
        shared = [vm.memory.peek_entry(root, 496) for root in (pmap.root, kernel.root)]
        return pmap.peek("resident_count"), shared, pmap_kextract(vm, pmap.pm_pml4) == pmap.root << 12

    resident, shared, named = alone(program, **MEMORY)
    assert 1 == resident
    assert shared[0] == shared[1] != 0
    assert named


def test_the_first_process_has_the_kernel_s_tables(alone):
    def program(vm):
        pmap = vm.pmap.make("pmap0")
        pmap_pinit0(pmap)
        return pmap.root == vm.pmap.kernel_pmap.root

    assert alone(program, **MEMORY)


def test_a_released_pmap_has_its_top_table_and_nothing_else(alone):
    def program(vm):
        pmap = new_pmap(vm)
        free = free_pages(vm)
        for pindex in (PT_BASE, PT_BASE + 1, PT_BASE + 513):
            pv_put(pmap_allocpte(pmap, pindex))
        used = free - free_pages(vm)
        pmap_release(pmap)
        again = pmap_pinit(pmap) is pmap
        return used, free - free_pages(vm), list(pmap.raw_pm_pvroot), again, pmap.peek("resident_count")

    assert (6, 0, [PML4_BASE], True, 1) == alone(program, **MEMORY)


def test_the_end_of_a_pmap_gives_everything_back(alone):
    def program(vm):
        pmap_puninit(new_pmap(vm, "first"))  # the kernel's map has what it needs now
        free = free_pages(vm)
        pmap = new_pmap(vm)
        address = pmap.pm_pml4
        pmap_puninit(pmap)
        return free - free_pages(vm), pmap.root, pmap.pm_pml4, pmap_kextract(vm, address)

    assert (0, -1, 0, 0) == alone(program, **MEMORY)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda space: space.enter(), "pmap_release_pv: table page is in use"),
        (lambda space: space.pmap.pm_active.setbits(2), "pmap still active!"),
        (lambda space: space.pmap.wired_count.fetchadd(1), "pmap_release: something is left in the pmap"),
    ],
)
def test_a_pmap_in_use_is_not_released(panic, spoil, message):
    def program(vm):
        space = Space(vm)
        spoil(space)
        pmap_release(space.pmap)

    assert message == panic(program, **MEMORY)


def test_a_pmap_that_is_active_does_not_end(panic):
    def program(vm):
        pmap = new_pmap(vm)
        pmap.pm_active.setbits(2)
        pmap_puninit(pmap)

    assert "pmap_puninit: pmap is active" == panic(program, **MEMORY)


def test_a_cached_top_table_is_mapped(panic):
    def program(vm):
        pmap = new_pmap(vm)
        pmap.pm_pmlpv.raw_pv_m.flags.clearbits(PG_MAPPED)
        pmap_pinit(pmap)

    assert "pmap_pinit: the cached top table is not mapped" == panic(program, **MEMORY)


def test_a_release_waits_for_who_has_a_table_locked(together):
    def program(vm):
        space = Space(vm)
        space.enter()
        pmap_remove(space.pmap, at(0), at(1))

        def look():
            pv, _ = pv_get(space.pmap, PT_BASE)
            if pv is not None:
                pv_put(pv)

        vm.machine.spawn(look)
        vm.machine.spawn(pmap_release, space.pmap)
        vm.machine.join()
        assert 1 == space.pmap.peek("resident_count")

    together(program, schedules=20, **MEMORY)
