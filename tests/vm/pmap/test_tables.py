"""Making table pages."""

from __future__ import annotations

from tables import MEMORY, new_pmap
from vmsmp.mmu.entry import frame_of
from vmsmp.vm.pmap import (
    PD_BASE,
    PDP_BASE,
    PML4_BASE,
    PT_BASE,
    new_table_page,
    pmap_allocpte,
    pmap_zero_page,
    pv_put,
)
from vmsmp.vm.pmap.bits import TABLE_BITS
from vmsmp.vm.vm_page import PG_MAPPED, PG_UNQUEUED, PG_WRITEABLE, VM_PAGE_BITS_ALL


def test_a_table_page_comes_with_all_above_it(alone):
    def program(vm):
        pmap = new_pmap(vm)
        pv_put(pmap_allocpte(pmap, PT_BASE + 513))
        pages = {pindex: pv.raw_pv_m for pindex, pv in pmap.raw_pm_pvroot.items()}
        pt = pages[PT_BASE + 513]
        entry = vm.memory.peek_entry(pages[PD_BASE + 1].phys, 1)
        return (
            list(pages),
            [m.wire_count.peek() for m in pages.values()],
            (frame_of(entry), entry & 0xFFF) == (pt.phys, TABLE_BITS),
            pt.flags.peek(),
            pt.peek("valid"),
            pt.busy_count.peek(),
        )

    indexes, wirings, named, flags, valid, busy = alone(program, **MEMORY)
    assert [PT_BASE + 513, PD_BASE + 1, PDP_BASE, PML4_BASE] == indexes
    assert [1, 2, 2, 2] == wirings
    assert (True, PG_MAPPED | PG_WRITEABLE | PG_UNQUEUED, VM_PAGE_BITS_ALL, 0) == (named, flags, valid, busy)


def test_a_table_page_that_is_there_is_locked_alone(rows):
    def prepare(vm):
        pmap = new_pmap(vm)
        pv_put(pmap_allocpte(pmap, PT_BASE))
        return [pmap, PT_BASE]

    found = [row.split()[0] for row in rows(prepare, pmap_allocpte)]
    assert ["load", "cmpset"] == [kind for kind in found if kind in ("load", "cmpset")]


def test_a_page_that_becomes_a_table_has_no_entries(alone):
    def program(vm):
        m = new_table_page(vm, 0)
        vm.memory.word(m.phys, 7).value = 99
        vm.memory.poke(m.phys, 0, "left")
        pmap_zero_page(vm, m.phys)
        return vm.memory.peek_entry(m.phys, 7), vm.memory.peek(m.phys)

    assert (0, 0) == alone(program, **MEMORY)


def test_who_needs_a_table_waits_for_memory(panic, exhaust):
    def program(vm):
        pmap = new_pmap(vm)
        exhaust(vm)
        cpu = vm.machine.spawn(lambda: pv_put(pmap_allocpte(pmap, PT_BASE)))
        vm.machine.yield_()
        vm.panic(f"done: {cpu.done}, pv entries: {len(pmap.raw_pm_pvroot)}")

    assert "done: False, pv entries: 4" == panic(program, **MEMORY)
