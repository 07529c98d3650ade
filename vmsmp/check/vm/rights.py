"""The rights that page tables give, compared with those of the map.

Evaluated for a user's map when an exclusive section of it ends, and while it is not locked exclusively.
INV-C1: a page is mapped writeable only if it is in the first object of its entry.  INV-C2: no page is mapped
writeable that a chain shows in an anonymous object behind its first one.  INV-M4: every page of a wired entry
is mapped as wired and is wired, and no other page is mapped as wired.  INV-M6: no page of an entry that needs
a copy is mapped writeable.  INV-M7: a page is mapped with no right that its entry does not give.
Not judged is memory that was shared before a later fork copied it: its sharers write to it behind the copy.
INV-M4 leaves out entries in transition, which are being wired or unwired; pages of devices, which are never
wired; pages that were cut off their file; and machines whose fault function was replaced (`vm.map.fault`).
"""

from __future__ import annotations

from vmsmp.check.rules import Broken
from vmsmp.check.vm.pmap import mapped
from vmsmp.mmu.entry import PAGE_SHIFT, PG_RW
from vmsmp.vm.pmap.bits import PG_MANAGED, PG_W
from vmsmp.vm.pmap.entries import page_named
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_fault.fault import vm_fault
from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
from vmsmp.vm.vm_map.flags import (
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NEEDS_COPY,
    VM_MAPTYPE_NORMAL,
    VM_PROT_ALL,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.map import VmMap
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJT_DEVICE, OBJT_MGTDEVICE, OBJT_VNODE, VmObject
from vmsmp.vm.vm_page.flags import PAGE_SIZE
from vmsmp.vm.vm_page.page import VmPage


def broken_rights(map: VmMap) -> Broken | None:
    """Return the first of the rules that a user's map breaks, or None."""
    vm: VmSystem = map.vm
    if map.pmap is None or map.pmap is vm.pmap.kernel_pmap:
        return None
    wirings: dict[int, int] = {}
    for va, pte in mapped(map.pmap):
        entry = map.raw_rb_root.at_or_before(va)
        if entry is None or va >= entry.ba.raw_end:
            continue  # a mapping outside of all entries breaks INV-B5
        broken = _too_much(entry, pte) or _behind(vm, entry, pte)
        if broken is not None:
            return broken
        if pte & PG_W:
            wirings[va] = pte
    return _broken_wirings(map, wirings) if vm.map.fault is vm_fault else None


def _too_much(entry: VmMapEntry, pte: int) -> Broken | None:
    """Whether an entry of a page table gives more than the map's entry (INV-M6, INV-M7)."""
    if pte & PG_RW and entry.raw_eflags & MAP_ENTRY_NEEDS_COPY:
        return Broken("INV-M6", "an entry needs a copy, and a page of it is mapped writeable")
    if pte & PG_RW and not entry.raw_protection & VM_PROT_WRITE:
        return Broken("INV-M7", "a page is mapped writeable that its entry does not let be written to")
    if not entry.raw_protection & VM_PROT_ALL:
        return Broken("INV-M7", "a page is mapped, and so can be read, where nothing may be read")
    return None


def _behind(vm: VmSystem, entry: VmMapEntry, pte: int) -> Broken | None:
    """Whether a page is mapped writeable that others see through a chain (INV-C1, INV-C2)."""
    if not (pte & PG_RW and pte & PG_MANAGED) or entry.raw_maptype != VM_MAPTYPE_NORMAL:
        return None
    m = page_named(vm, pte)
    obj = m.raw_object
    if obj is not entry.ba.raw_object:
        return Broken("INV-C1", "a page is mapped writeable, and not the first object's")
    behind = [_lies_behind(ba) for ba in obj.raw_backing_list if _shows(ba, m)]
    if obj.raw_type in ANONYMOUS and any(behind) and behind.count(False) == 1:
        return Broken("INV-C2", "a page is mapped writeable whose object lies behind another one")
    return None


def _shows(ba: VmMapBacking, m: VmPage) -> bool:
    """Whether the part of its object that a backing maps has the page."""
    first = ba.raw_offset // PAGE_SIZE
    return bool(first <= m.raw_pindex < first + (ba.raw_end - ba.raw_start) // PAGE_SIZE)


def _lies_behind(ba: VmMapBacking) -> bool:
    """Whether the element is in an entry's chain, and is not its head."""
    entry = ba.map.raw_rb_root.at_or_before(ba.raw_start)
    return entry is not None and entry.ba is not ba and ba in entry.chain()


def _broken_wirings(map: VmMap, wirings: dict[int, int]) -> Broken | None:
    """Whether the pages of wired entries are not exactly those mapped as wired (INV-M4)."""
    for va, pte in wirings.items():
        entry = map.raw_rb_root.at_or_before(va)
        if entry is None or not _wires(entry) or va < _first(entry):
            continue
        if not entry.raw_wired_count:
            return Broken("INV-M4", "a page of what is wired is mapped so and is not")
        if pte & PG_MANAGED and not page_named(map.vm, pte).wire_count.value:
            return Broken("INV-M4", "a page is mapped as wired, and is not")
    for entry in map.raw_rb_root:
        if entry.raw_wired_count > 0 and _wires(entry):
            for va in range(_first(entry), entry.ba.raw_end, PAGE_SIZE):
                if va not in wirings and not _is_cut_off(entry, va):
                    return Broken("INV-M4", "a page of what is wired is not mapped so")
    return None


def _is_cut_off(entry: VmMapEntry, va: int) -> bool:
    """Whether a file ends before what the entry shows there, and no object in front of it has a page."""
    for ba in entry.chain():
        obj: object = ba.raw_object
        if not isinstance(obj, VmObject):
            return False
        pindex = ba.raw_offset + va - ba.raw_start >> PAGE_SHIFT
        if obj.raw_type == OBJT_VNODE:
            return bool(pindex >= obj.raw_size)
        if pindex in obj.raw_rb_memq:
            return False
    return False


def _first(entry: VmMapEntry) -> int:
    """The address of the first page of an entry that can be mapped."""
    start: int = entry.ba.raw_start
    return start + PAGE_SIZE * bool(entry.raw_eflags & MAP_ENTRY_KSTACK)


def _wires(entry: VmMapEntry) -> bool:
    """Whether INV-M4 applies to the entry: it is not in transition, and maps pages of memory."""
    obj: object = entry.ba.raw_object  # it may be anything if another rule is broken
    settled = not entry.raw_eflags & MAP_ENTRY_IN_TRANSITION and entry.raw_maptype == VM_MAPTYPE_NORMAL
    device = isinstance(obj, VmObject) and obj.raw_type in (OBJT_DEVICE, OBJT_MGTDEVICE)
    return settled and not device
