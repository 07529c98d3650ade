"""What holds when a page is mapped, and when a fault returns.

INV-F4: the CPU that maps a page has the map locked; pmap_enter asserts that the page is busied.
INV-PM2: a page that is mapped is wholly valid.
INV-C1: it is mapped writeable only if it is in the first object of an entry that needs no copy.
INV-M7: it is mapped with no right that its entry does not give.
INV-F2: a fault returns with the locks, tokens and busied pages that its thread had before.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Broken, Rules, SystemRules
from vmsmp.engine.cpu import Cpu
from vmsmp.records.record import Record, has
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.observer import FaultEnds, PageEntered
from vmsmp.vm.vm_map.flags import MAP_ENTRY_NEEDS_COPY, VM_MAPTYPE_UKSMAP, VM_PROT_ALL, VM_PROT_WRITE
from vmsmp.vm.vm_page.flags import VM_PAGE_BITS_ALL


def entered_wrongly(cpu: Cpu, event: PageEntered) -> tuple[Record, Broken] | None:
    """Whether a page is about to be mapped against one of these rules."""
    broken = _unlocked(cpu, event) or _forbidden(event)
    return None if broken is None else (event.page, broken)


def _unlocked(cpu: Cpu, event: PageEntered) -> Broken | None:
    m, entry = event.page, event.entry
    if not has(cpu, entry.map.lock, EXCLUSIVE, SHARED):
        return Broken("INV-F4", "it is mapped, and the map is not locked")
    if m.raw_valid != VM_PAGE_BITS_ALL and m.raw_object is not m.vm.objects.kernel_object:
        return Broken("INV-PM2", "it is mapped, and not valid")
    return None


def _forbidden(event: PageEntered) -> Broken | None:
    m, entry = event.page, event.entry
    rights = event.prot & VM_PROT_ALL
    shown = entry.raw_maptype == VM_MAPTYPE_UKSMAP  # a device's memory, which is in no object
    if rights & VM_PROT_WRITE and not shown and m.raw_object is not entry.ba.raw_object:
        return Broken("INV-C1", "it is mapped writeable, and not the first object's")
    if rights & VM_PROT_WRITE and entry.raw_eflags & MAP_ENTRY_NEEDS_COPY:
        return Broken("INV-C1", "it is mapped writeable, and its entry needs a copy")
    if rights & ~entry.raw_protection:
        return Broken("INV-M7", "it is mapped with a right that its entry does not give")
    if not entry.raw_protection & VM_PROT_ALL:
        return Broken("INV-M7", "it is mapped, and so can be read, where nothing may be read")
    return None


def fault_keeps(cpu: Cpu, event: FaultEnds) -> tuple[Record, Broken] | None:
    """Whether a fault returns with more locks, tokens or pages than its thread had, or fewer."""
    if len(cpu.held) == event.held:
        return None
    return event.map, Broken(
        "INV-F2", f"a fault returns with {len(cpu.held) - event.held:+d} locks and pages"
    )


RULES: Final[tuple[Rules, ...]] = ()
SYSTEM: Final = SystemRules(events={PageEntered: entered_wrongly, FaultEnds: fault_keeps})
