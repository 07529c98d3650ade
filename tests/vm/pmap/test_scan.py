"""The machinery of ranges."""

from __future__ import annotations

import pytest

from tables import MEMORY, Space, at
from vmsmp.mmu.entry import PG_RW
from vmsmp.vm.pmap import (
    PM_NOPLACEMARK,
    PmapScanInfo,
    pmap_pte,
    pmap_scan,
    pv_get,
    pv_placemarker_wakeup,
    pv_put,
    vtopte,
)
from vmsmp.vm.pmap.bits import NBPDP, NBPDR, pmap_pd_pindex, pmap_pt_pindex
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS


def visiting(seen):
    """A scan's function that writes down the addresses."""

    def visit(info, pmark, pt_pv, va, ptep):
        seen.append(va)
        assert pmark.mark.peek() != PM_NOPLACEMARK
        pv_placemarker_wakeup(pmark)

    return visit


def scanned(pmap, start, end, stop_at=None):
    """The addresses that a scan visits, and the scan."""
    seen = []
    visit = visiting(seen)

    def once(info, pmark, pt_pv, va, ptep):
        visit(info, pmark, pt_pv, va, ptep)
        info.stop = va == stop_at

    info = PmapScanInfo(pmap, start, end, once)
    pmap_scan(info, False)
    return seen, info


@pytest.mark.parametrize(
    ("first", "last", "pages"),
    [(0, 1, [0]), (1, 2, []), (0, 4, [0, 2]), (2, 4, [2]), (1, 3, [2]), (3, 3, [])],
)
def test_a_scan_visits_the_entries_of_its_range(alone, first, last, pages):
    def program(vm):
        space = Space(vm, 3)
        space.enter(0)
        space.enter(2)
        return scanned(space.pmap, at(first), at(last))[0]

    assert [at(page) for page in pages] == alone(program, **MEMORY)


def test_a_scan_asks_for_the_next_table_once_and_passes_entries_that_nobody_has_looked_at(rows):
    def prepare(vm):
        space = Space(vm, 3)
        for n, page in enumerate((0, 2, 100 * NBPDR // 4096)):
            space.enter(n, at_page=page)
        return (space.pmap,)

    steps = rows(prepare, lambda pmap: scanned(pmap, 0, NBPDP), pages=40, l2_size=1)
    assert 6 == sum(step.startswith("load table") for step in steps)  # three entries, twice each
    assert 100 > len(steps)  # of 512 tables


def test_a_scan_goes_on_in_the_next_tables(alone):
    far = [0, NBPDR // 4096, NBPDP // 4096, 2 * NBPDP // 4096]

    def program(vm):
        space = Space(vm)
        for page in far:
            space.enter(0, at_page=page)
        marks = [space.pmap.placemark(pindex(at(0))) for pindex in (pmap_pt_pindex, pmap_pd_pindex)]
        seen, _ = scanned(space.pmap, 0, 4 * NBPDP)
        return seen, [mark.mark.peek() for mark in marks], [pv.pv_hold.peek() for pv in _pvs(space)]

    seen, marks, holds = alone(program, pages=40, l2_size=1)
    assert [at(page) for page in far] == seen
    assert {PM_NOPLACEMARK} == {*marks}
    assert {1} == {*holds}


def _pvs(space):
    return space.pmap.raw_pm_pvroot.values()


def test_a_scan_of_a_page_without_tables_lets_both_placemarks_go(alone):
    def program(vm):
        space = Space(vm)
        seen, _ = scanned(space.pmap, at(0), at(1))
        return seen, {pmark.mark.peek() for pmark in space.pmap.pm_placemarks}

    assert ([], {PM_NOPLACEMARK}) == alone(program, **MEMORY)


def test_a_scan_can_be_stopped(alone):
    def program(vm):
        space = Space(vm, 3)
        for n in range(3):
            space.enter(n)
        return scanned(space.pmap, at(0), at(3), stop_at=at(1))[0]

    assert [at(0), at(1)] == alone(program, **MEMORY)


def test_the_kernel_s_addresses_are_scanned_without_pv_entries(alone):
    def program(vm):
        base = VM_MIN_KERNEL_ADDRESS + 0x10_0000
        for n in (0, 2):
            vtopte(vm, base + n * 4096).swap(0x5003)
        kernel = vm.pmap.kernel_pmap
        found = [
            [va - base >> 12 for va in scanned(kernel, base, base + size)[0]] for size in (4096, 3 * 4096)
        ]
        return found, scanned(kernel, base, base + 3 * 4096, stop_at=base)[0] == [base]

    assert ([[0], [0, 2]], True) == alone(program, **MEMORY)


def test_an_entry_that_is_neither_valid_nor_empty_panics(panic):
    def program(vm):
        space = Space(vm)
        space.enter()
        pmap_pte(space.pmap, at(0)).value = PG_RW
        scanned(space.pmap, at(0), at(1))

    assert "pmap_scan: entry is neither valid nor empty" == panic(program, **MEMORY)


def test_a_scan_waits_for_a_table_that_somebody_has_locked(alone):
    def program(vm):
        space = Space(vm)
        space.enter()
        pv, _ = pv_get(space.pmap, pmap_pt_pindex(at(0)))
        seen = []
        info = PmapScanInfo(space.pmap, at(0), at(2), visiting(seen))
        cpu = vm.machine.spawn(pmap_scan, info, False)
        vm.machine.yield_()
        before = cpu.done, [*seen]
        pv_put(pv)
        cpu.join()
        return before, seen

    assert ((False, []), [at(0)]) == alone(program, **MEMORY)


def test_a_scan_holds_nothing_while_it_waits_for_a_placemark(alone):
    def program(vm):
        space = Space(vm)
        space.enter()
        _, pmark = pv_get(space.pmap, at(0) >> 12, mark=True)
        seen = []
        info = PmapScanInfo(space.pmap, at(0), at(2), visiting(seen))
        cpu = vm.machine.spawn(pmap_scan, info, False)
        vm.machine.yield_()
        held = [pv.pv_hold.peek() for pv in _pvs(space)]
        pv_placemarker_wakeup(pmark)
        cpu.join()
        return held, seen

    held, seen = alone(program, **MEMORY)
    assert {1} == {*held}
    assert [at(0)] == seen
