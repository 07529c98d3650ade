"""Page tables, their locks and their counts.

INV-R4 and R5, for a placemark or a pv entry whenever its word was written: they agree with the ledger.
INV-R8: a user's pmap is active on the CPUs that run in it, the kernel's on all CPUs for ever.  At the end:
INV-P9 and R4 (nothing is owned any more), INV-R1, R2 and R3 (the counts).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.mmu.entry import PAGE_SHIFT, PG_V, TABLE_SHIFT, frame_of
from vmsmp.vm.pmap.bits import PD_BASE, PG_MANAGED, PG_W, PT_BASE, pindex_format
from vmsmp.vm.pmap.pmap import (
    ALL_CPUS,
    PLACEMARK,
    PM_NOPLACEMARK,
    PV_HOLD,
    PV_HOLD_LOCKED,
    PV_HOLD_MASK,
    PV_LOCK,
    Placemark,
    Pmap,
    PvEntry,
    hold_format,
    mark_format,
)
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_page.page import VmPage

_MANAGED: Final = PG_V | PG_MANAGED


# -- pages ----------------------------------------------------------------------------------------


def entries_of(m: VmPage) -> list[int]:
    """The managed leaf entries that name a page, of all pmaps."""
    memory = m.vm.memory
    return [pte for _, _, pte in memory.entries() if pte & _MANAGED == _MANAGED and frame_of(pte) == m.phys]


def interlocked_pages(vm: VmSystem) -> Iterator[tuple[VmPage, Broken]]:
    """Yield the pages of which an entry is still being removed at the end of the run (P9)."""
    for m in vm.page.vm_page_array:
        if m.interlock_count.value:
            yield m, Broken("INV-P9", "its interlock_count is not 0 at the end")


# -- locks ----------------------------------------------------------------------------------------


def broken_placemark(pmark: Placemark, books: Books) -> Broken | None:
    """Whether a slot is marked as owned and is not, or the other way round (R4)."""
    owners = books.counts(pmark).get(PLACEMARK, 0)
    if owners != (pmark.mark.value != PM_NOPLACEMARK):
        return Broken("INV-R4", f"it says {mark_format(pmark.mark.value)}, and {owners} CPUs own it")
    return None


def broken_hold(pv: PvEntry, books: Books) -> Broken | None:
    """Whether pv_hold and the ledger disagree (R5)."""
    out = books.counts(pv)
    hold = pv.pv_hold.value
    if hold & PV_HOLD_MASK != out.get(PV_HOLD, 0) or bool(hold & PV_HOLD_LOCKED) != out.get(PV_LOCK, 0):
        text = f"its word says {hold_format(hold)}, and {out.get(PV_HOLD, 0)} holds are out"
        return Broken("INV-R5", text)
    return None


def freed_in_use(pv: PvEntry, _books: Books) -> Broken | None:
    """Whether a pv entry is freed while it is held, or while it has a pmap (R5)."""
    if pv.pv_hold.value or pv.raw_pv_pmap is not None:
        return Broken("INV-R5", "freed while it is held, or while it has a pmap", joint=" ")
    return None


# -- pmaps ----------------------------------------------------------------------------------------


def broken_active(pmap: Pmap, _books: Books) -> Broken | None:
    """Whether pm_active differs from the set of CPUs that use the pmap (R8).

    A CPU that goes from one pmap to another is in a critical section meanwhile.
    """
    vm: VmSystem = pmap.vm
    active = pmap.pm_active.value
    if pmap is vm.pmap.kernel_pmap:
        return None if active == ALL_CPUS else Broken("INV-R8", "the kernel's pm_active has changed")
    for cpu in vm.machine.cpus:
        lp = vm.switch.lwp(cpu.index)
        if lp is None or (cpu.td is not None and cpu.td.td_critcount):
            continue
        vmspace = lp.lwp_vmspace
        runs = vmspace is not None and vmspace.vm_pmap is pmap and not lp.away
        if runs != bool(active >> cpu.index & 1):
            return Broken("INV-R8", f"pm_active is {active:#b}, and CPU {cpu.index} does not stand so")
    return None


def owned_placemarks(vm: VmSystem) -> Iterator[tuple[Placemark, Broken]]:
    """Yield the placemarks that are owned at the end of the run (R4)."""
    for pmap in vm.pmap.pmaps:
        for pmark in pmap.pm_placemarks:
            if pmark.mark.value != PM_NOPLACEMARK:
                yield pmark, Broken("INV-R4", f"it is left {mark_format(pmark.mark.value)}")


def leaf_entries(pmap: Pmap) -> list[int]:
    """The valid leaf entries of a user's pmap."""
    return [pte for _, pte in mapped(pmap)]


def mapped(pmap: Pmap) -> Iterator[tuple[int, int]]:
    """The valid leaf entries of a user's pmap, by address."""
    memory = pmap.vm.memory
    for pindex, pv in pmap.raw_pm_pvroot.items():
        if PT_BASE <= pindex < PD_BASE and pv.raw_pv_m is not None:
            first = pindex - PT_BASE << TABLE_SHIFT
            for index, pte in memory.table(pv.raw_pv_m.phys):
                if pte & PG_V:
                    yield first + index << PAGE_SHIFT, pte


def wrong_counts(vm: VmSystem) -> tuple[Pmap, Broken] | None:
    """Whether a user's pmap counts its entries wrongly (R1, R2), or wires a table page wrongly (R3)."""
    for pmap in vm.pmap.pmaps:
        if pmap is vm.pmap.kernel_pmap:
            continue
        entries = leaf_entries(pmap)
        resident = len(entries) + len(pmap.raw_pm_pvroot)
        if pmap.resident_count.value != resident:
            text = f"it counts {pmap.resident_count.value} resident, and there are {resident}"
            return pmap, Broken("INV-R1", text)
        wired = sum(bool(pte & PG_W) for pte in entries)
        if pmap.wired_count.value != wired:
            return pmap, Broken("INV-R2", f"it counts {pmap.wired_count.value} wired, and there are {wired}")
        broken = _wrong_wiring(pmap)
        if broken is not None:
            return pmap, broken
    return None


def _wrong_wiring(pmap: Pmap) -> Broken | None:
    """Whether a table page is not wired once, and once more for each entry of a user's table (R3)."""
    memory = pmap.vm.memory
    kernel = {pte for _, pte in memory.table(pmap.vm.pmap.kernel_pmap.root)}
    for pindex, pv in pmap.raw_pm_pvroot.items():
        m = pv.raw_pv_m
        if m is None:
            return Broken("INV-R5", f"{pindex_format(pindex)} has no page")
        due = 1 + sum(bool(pte & PG_V) and pte not in kernel for _, pte in memory.table(m.phys))
        if m.wire_count.value != due:
            text = f"the page of {pindex_format(pindex)} is wired {m.wire_count.value} times, not {due}"
            return Broken("INV-R3", text)
    return None


RULES: Final = (
    Rules(Placemark, written={"mark": (broken_placemark,)}, at_rest=(broken_placemark,), stored=False),
    Rules(
        PvEntry,
        written={"pv_hold": (broken_hold,)},
        at_rest=(broken_hold,),
        freed=freed_in_use,
        stored=False,
    ),
    Rules(Pmap, written={"pm_active": (broken_active,)}, stored=False),
)
SYSTEM: Final = SystemRules(leaks=(interlocked_pages, owned_placemarks), sums=(wrong_counts,))
