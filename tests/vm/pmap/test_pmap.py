"""struct pmap, struct pv_entry, placemarks."""

from __future__ import annotations

from tables import MEMORY
from vmsmp.vm.pmap import (
    PM_NOPLACEMARK,
    PM_PLACEMARK_WAKEUP,
    PT_BASE,
    PV_HOLD_LOCKED,
    hold_format,
    mark_format,
    pmap_reference,
    pmap_resident_count,
    pmap_resident_tlnw_count,
)


def test_an_index_shares_its_slot_with_others_of_its_zone_alone(alone):
    def program(vm):
        pmap = vm.pmap.make("pmap")
        slots = [pmap.placemark(n).slot for n in (0, 15, 16, 17, PT_BASE, PT_BASE + 33)]
        return slots, pmap.placemark(1) is pmap.placemark(17), pmap.placemark(17).name

    assert ([0, 15, 0, 1, 16, 17], True, "pmap.placemark[1]") == alone(program, **MEMORY)


def test_a_slot_says_who_owns_it():
    assert "none" == mark_format(PM_NOPLACEMARK)
    assert ["pte[0x12]", "pte[0x12]|WAKEUP"] == [mark_format(0x12), mark_format(0x12 | PM_PLACEMARK_WAKEUP)]


def test_a_hold_says_whether_it_is_locked():
    assert ["2", "LOCKED|2"] == [hold_format(2), hold_format(PV_HOLD_LOCKED | 2)]


def test_counts_and_references(alone):
    def program(vm):
        pmap = vm.pmap.make("pmap")
        pmap.resident_count.value, pmap.wired_count.value = 5, 2
        pmap_reference(pmap)
        pmap_reference(None)
        counts = pmap_resident_count(pmap), pmap_resident_tlnw_count(pmap), pmap.pm_count.peek()
        pmap.resident_count.value = pmap.wired_count.value = 0
        return counts

    assert (5, 3, 2) == alone(program, **MEMORY)


def test_a_pv_entry_shows_what_it_is_of_and_whether_it_is_gone(alone):
    def program(vm):
        pv = vm.pmap.new_pv_entry()
        before = pv.state()
        pv.freed = True
        return before, pv.state(), pv.name.startswith("pv[")

    assert ("no pmap, 0", "no pmap, 0, freed", True) == alone(program, **MEMORY)


def test_cr3_is_made_of_the_top_table_s_frame(alone):
    def program(vm):
        pmap = vm.pmap.make("pmap")
        pmap.root = 7
        return pmap.cr3, pmap.pm_spin is pmap.spin, pmap.state()

    assert (0x7000, True, "0 resident, 0 wired, active 0x0") == alone(program, **MEMORY)
