"""What the debugger shows of page tables."""

from __future__ import annotations

import pytest

import vmsmp
from tables import MEMORY, Space, at
from vmsmp.vm.pmap import pv_get, pv_placemarker_wakeup, show_pmap
from vmsmp.vm.vm_map import VM_PROT_RW


def test_a_pmap_shows_its_counts_its_locks_its_tables_and_its_entries(alone):
    def program(vm):
        space = Space(vm)
        m = space.enter(0, VM_PROT_RW, True)
        _, pmark = pv_get(space.pmap, at(1) >> 12, mark=True)
        shown = show_pmap(vm, "pmap").splitlines()
        pv_placemarker_wakeup(pmark)
        return shown, m.phys

    lines, frame = alone(program, **MEMORY)
    assert lines[0].startswith("pmap: 5 resident, 1 wired, active 0x0, invalidation free, pm_spin free, cr3 ")
    assert "  placemark 1: pte[0x11]" == lines[1]
    assert lines[2].startswith("  pt[0]: pv[")
    assert lines[2].endswith(" wired 2")
    assert f"    {at(0):#x}  frame {frame} rwuA wired managed" == lines[3]
    assert ["pd[0]", "pdp[0]", "pml4[0]"] == [line.split(":")[0].strip() for line in lines[4:]]


def test_all_pmaps_are_shown_in_order(alone):
    def program(vm):
        Space(vm)
        return [line.split(":")[0] for line in show_pmap(vm).splitlines() if not line.startswith(" ")]

    assert ["kernel_pmap", "pmap"] == alone(program, **MEMORY)


def test_a_pmap_that_there_is_not_is_told_those_there_are(alone):
    def program(vm):
        with pytest.raises(vmsmp.UsageError, match="no pmap 'x': there are kernel_pmap"):
            show_pmap(vm, "x")

    alone(program, **MEMORY)
