"""Rules of maps that are not locked exclusively, and of the entries that CPUs keep.

INV-M1: the entries are in order, inside the map and counted.  INV-M2: an entry in transition is in exactly
one CPU's range, and every entry of such a range is in transition.  INV-M3: only such an entry is waited for.
INV-M4: a user's wiring is counted.  INV-M5: only memory of an object that is copied on write needs a copy.
INV-M7: no entry gives a right that it may never give.
INV-M8: the size is the sum of the entries' sizes.  INV-M9: every exclusive section changes the timestamp.
INV-M10: no hole that a search would take lies below the address where its hint tells it to begin.
INV-M13: the room below a stack is not negative.
INV-B1, B2, B4: each element of an entry's chain is on its object's list once, has the bounds of its entry,
and counts the elements below it; no freed element is on a list.  INV-B7: anonymous memory is mapped within
its object.  INV-B5: whenever the lock of an object's list is free, a scan of the list finds every address at
which a page of the object is mapped.
INV-M15: a CPU's free entries are those available and those reserved; at the end of the run all others are in
maps, and all elements in chains.
INV-M14, that no entry or element is used after it is freed, is checked at every access.
A map with many entries is checked only when all CPUs are stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.check.vm.pmap import mapped
from vmsmp.check.vm.rights import broken_rights
from vmsmp.engine.cpu import Cpu
from vmsmp.records.record import Record
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.observer import LockObserver
from vmsmp.vm.observer import MapSectionEnds
from vmsmp.vm.pmap.bits import PG_MANAGED
from vmsmp.vm.pmap.entries import page_named
from vmsmp.vm.pmap.pmap import Pmap
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
from vmsmp.vm.vm_map.flags import (
    MAP_ENTRY_COW,
    MAP_ENTRY_IN_TRANSITION,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NEEDS_WAKEUP,
    MAP_ENTRY_STACK,
    MAP_ENTRY_USER_WIRED,
    PAGE_MASK,
    PAGE_SHIFT,
    VM_MAPTYPE_NORMAL,
    VM_PROT_ALL,
)
from vmsmp.vm.vm_map.map import VmMap
from vmsmp.vm.vm_map.supply import VmMapEntrySupply
from vmsmp.vm.vm_object.object import ANONYMOUS, VmObject
from vmsmp.vm.vm_page.page import VmPage

#: A map with more entries is walked only when all CPUs are stopped.
WALK: Final = 64

# -- a map ----------------------------------------------------------------------------------------


def broken_map(map: VmMap, _books: Books) -> Broken | None:
    """Return the first rule that the map breaks, or None; also None while it is locked exclusively."""
    if any(mode == EXCLUSIVE for _, mode in map.lock.holders):
        return None
    return walked_map(map)


def walked_map(map: VmMap) -> Broken | None:
    """Return the first rule that the map breaks, or None."""
    return (
        broken_tree(map)
        or broken_transitions(map)
        or broken_entries(map)
        or broken_copies(map)
        or broken_rights(map)
        or broken_hints(map)
        or broken_chains(map)
    )


def broken_tree(map: VmMap) -> Broken | None:
    """Whether the entries are in order, inside the map, counted and summed (INV-M1, INV-M8)."""
    entries = [*map.raw_rb_root]
    at, size = map.min_addr, 0
    for entry in entries:
        start, end = entry.ba.raw_start, entry.ba.raw_end
        if (start | end) & PAGE_MASK:
            return Broken("INV-M1", "an entry does not begin and end with a page")
        if not at <= start < end <= map.max_addr:
            return Broken("INV-M1", "its entries are out of order, overlap or reach beyond its bounds")
        if map.raw_rb_root.at_or_before(start) is not entry:
            return Broken("INV-M1", "an entry is not found where it begins")
        at = end
        size += end - start
    if map.raw_nentries != len(entries):
        return Broken("INV-M1", f"it counts {map.raw_nentries} entries and has {len(entries)}")
    if map.raw_size != size:
        return Broken("INV-M8", f"its size is {map.raw_size:#x}, and its entries have {size:#x}")
    return None


def broken_transitions(map: VmMap) -> Broken | None:
    """Whether others than the entries of ranges in transition are marked so (INV-M2, INV-M3)."""
    for entry in map.raw_rb_root:
        start, end = entry.ba.raw_start, entry.ba.raw_end
        owners = [t for t in map.transitions if t.start < end and start < t.end]
        marked = bool(entry.raw_eflags & MAP_ENTRY_IN_TRANSITION)
        if entry.raw_eflags & MAP_ENTRY_NEEDS_WAKEUP and not marked:
            return Broken("INV-M3", "an entry is waited for and not in transition")
        if marked != bool(owners):
            who = "which is nobody's" if marked else "and an entry of it is not marked so"
            return Broken("INV-M2", f"there is a range in transition, {who}")
        if len(owners) > 1:
            return Broken("INV-M2", "an entry is in transition for two CPUs at once")
        if owners and not owners[0].start <= start < end <= owners[0].end:
            return Broken("INV-M2", "an entry in transition reaches beyond the range of its CPU")
    return None


def broken_entries(map: VmMap) -> Broken | None:
    """Whether a wiring is not counted, a right not allowed, or a stack too large (INV-M4, M7, M13)."""
    for entry in map.raw_rb_root:
        if entry.raw_eflags & MAP_ENTRY_USER_WIRED and not entry.raw_wired_count:
            return Broken("INV-M4", "an entry is wired for a user, and that is not counted")
        if entry.raw_protection & VM_PROT_ALL & ~entry.max_protection.value:
            return Broken("INV-M7", "an entry gives a right that it may never give")
        if entry.raw_eflags & MAP_ENTRY_STACK and entry.raw_aux < 0:
            return Broken("INV-M13", "a stack has grown beyond the room that it had")
    return None


def broken_copies(map: VmMap) -> Broken | None:
    """Whether an entry is marked to need a copy, and cannot need one (INV-M5)."""
    for entry in map.raw_rb_root:
        if not entry.raw_eflags & MAP_ENTRY_NEEDS_COPY:
            continue
        if entry.raw_maptype != VM_MAPTYPE_NORMAL or entry.ba.raw_object is None:
            return Broken("INV-M5", "an entry without an object needs a copy of it")
        if not entry.raw_eflags & MAP_ENTRY_COW:
            return Broken("INV-M5", "an entry needs a copy, and is not copied on write")
    return None


def broken_hints(map: VmMap) -> Broken | None:
    """Whether a search that begins at its hint would miss a hole that it wants (INV-M10)."""
    for hint in map.raw_freehint:
        align = hint.align or 1  # a hint that was never set has 0
        if hint.whole and any(
            -(-low // align) * align + hint.length <= high
            for low, high in _holes(map)
            if -(-low // align) * align < hint.start
        ):
            return Broken("INV-M10", "a search would begin behind a hole that it wants")
    return None


def _holes(map: VmMap) -> Iterator[tuple[int, int]]:
    """Yield the free ranges in order, without the room of stacks."""
    low = map.min_addr
    for entry in map.raw_rb_root:
        room = entry.raw_aux if entry.raw_eflags & MAP_ENTRY_STACK else 0
        yield low, entry.ba.raw_start - room
        low = entry.ba.raw_end
    yield low, map.max_addr


def broken_chains(map: VmMap) -> Broken | None:
    """Whether the chain of an entry breaks a rule (INV-B1, INV-B2, INV-B4, INV-B7)."""
    for entry in map.raw_rb_root:
        if entry.raw_maptype == VM_MAPTYPE_NORMAL:
            broken = _broken_chain(map, entry)
            if broken is not None:
                return broken
    return None


def _broken_chain(map: VmMap, entry: VmMapEntry) -> Broken | None:
    chain = entry.chain()
    obj: object = entry.ba.raw_object  # it may be anything if a rule is broken
    last = entry.ba.raw_offset + entry.ba.raw_end - entry.ba.raw_start >> PAGE_SHIFT
    if isinstance(obj, VmObject) and obj.raw_type in ANONYMOUS and last > obj.raw_size:
        return Broken("INV-B7", "an entry reaches beyond the end of its anonymous object")
    for ba, left in zip(chain, range(len(chain) - 1, -1, -1), strict=True):
        if (ba.raw_start, ba.raw_end) != (entry.ba.raw_start, entry.ba.raw_end):
            return Broken("INV-B2", "an element of a chain says other bounds than its entry")
        if ba.raw_pmap is not map.pmap or ba.raw_offset & PAGE_MASK:
            return Broken("INV-B2", "an element of a chain is another pmap's, or not at a page")
        if ba.raw_backing_count != left:
            return Broken(
                "INV-B4", f"an element of a chain counts {ba.raw_backing_count} below it, of {left}"
            )
        if ba.raw_object is not None and _times_listed(ba) != 1:
            return Broken(
                "INV-B1", f"an element of a chain is {_times_listed(ba)} times on its object's list"
            )
    return None


def _times_listed(ba: VmMapBacking) -> int:
    """How often an element is on the list of its object; 0 if it has no object."""
    return sum(other is ba for other in getattr(ba.raw_object, "raw_backing_list", ()))


def broken_section(_cpu: Cpu, event: MapSectionEnds) -> tuple[Record, Broken] | None:
    """Whether an exclusive section ends with a rule broken, or with the timestamp unchanged (INV-M9)."""
    map = event.map
    if map.raw_timestamp == map.ended_at:
        return map, Broken("INV-M9", "an exclusive section ends and its timestamp has not changed")
    broken = walked_map(map) if map.raw_nentries <= WALK else None
    return None if broken is None else (map, broken)


# -- elements, entries, supplies ------------------------------------------------------------------


def stray_backing(ba: VmMapBacking, _books: Books) -> Broken | None:
    """Whether a freed element is on an object's list (INV-B1)."""
    obj = ba.listed
    if obj is None or any(mode == EXCLUSIVE for _, mode in ba.map.lock.holders):
        return None
    if ba.freed:
        return Broken("INV-B1", "it is freed and still on an object's list")
    return None


def key_out_of_order(ba: VmMapBacking, _books: Books) -> Broken | None:
    """Whether the start of an entry in the tree has moved past a neighbour's (INV-M1)."""
    tree = ba.map.raw_rb_root
    if ba.map.raw_nentries > WALK:
        return None
    starts = [entry.ba.raw_start for entry in tree]
    if all(one < other for one, other in pairwise(starts)):
        return None
    return Broken("INV-M1", "the starts of entries in the tree are out of order")


def freed_entry(entry: VmMapEntry, _books: Books) -> Broken | None:
    """Whether an entry is freed while it is in a tree, or a second time (INV-M14)."""
    if entry.freed or entry.linked:
        return Broken("INV-M14", "it is freed, and linked or freed already")
    return None


def freed_backing(ba: VmMapBacking, _books: Books) -> Broken | None:
    """Whether an element is freed while it is on a list, or a second time (INV-M14)."""
    if ba.freed or ba.listed is not None:
        return Broken("INV-M14", "it is freed, and listed or freed already")
    return None


def broken_supply(gd: VmMapEntrySupply, _books: Books) -> Broken | None:
    """Whether a CPU has lost entries, or has too many (INV-M15)."""
    difference = gd.gd_vme_base - gd.gd_vme_avail - gd.reserved()
    if difference != gd.booted:
        return Broken("INV-M15", f"it has {difference - gd.booted:+d} entries that nobody accounts for")
    return None


def reserved_for_good(vm: VmSystem) -> Iterator[tuple[VmMapEntrySupply, Broken]]:
    """Yield the supplies of CPUs with a reservation that was never given back (INV-M15)."""
    for gd in vm.map.supplies:
        if gd.outstanding:
            yield gd, Broken("INV-M15", "a reservation of its entries was never given back")


def lost(vm: VmSystem) -> Iterator[tuple[VmMapEntry | VmMapBacking, Broken]]:
    """Yield entries that are in no map, and elements in no chain, that were not freed (INV-M15)."""
    chained: set[int] = set()
    for entry in vm.map.entries:
        if entry.linked:
            chained.update(ba.code for ba in entry.chain())
        elif not entry.freed:
            yield entry, Broken("INV-M15", "it is in no map, and was not given back")
    for ba in vm.map.backings:
        if not ba.freed and ba.code not in chained:
            yield ba, Broken("INV-M15", "it is in no entry's chain, and was not given back")


# -- what a scan of an object's backings finds ----------------------------------------------------


def hidden_mapping(obj: VmObject) -> Broken | None:
    """Whether a page of the object is mapped at an address that a scan of its list would miss (INV-B5)."""
    vm: VmSystem = obj.vm
    for pmap in vm.pmap.pmaps:
        for va, pte in mapped(pmap):
            if not pte & PG_MANAGED:
                continue
            m = page_named(vm, pte)
            if m.raw_object is obj and not any(_leads(ba, pmap, va, m) for ba in obj.raw_backing_list):
                return Broken("INV-B5", "a page of it is mapped where no backing on its list says it is")
    return None


def _leads(ba: Any, pmap: Pmap, va: int, m: VmPage) -> bool:
    inside = ba.raw_pmap is pmap and ba.raw_start <= va < ba.raw_end
    return inside and m.raw_pindex == ba.raw_offset + va - ba.raw_start >> PAGE_SHIFT


class Backings(LockObserver):
    """Checks an object's backings whenever the lock of their list is released (INV-B5)."""

    free = False  # it reads mappings while all other CPUs are stopped

    def released(self, cpu: Cpu, lock: Any, mode: str) -> None:
        obj = lock.guards
        if obj is not None and mode is EXCLUSIVE and isinstance(obj, VmObject) and lock is obj.backing_lk:
            machine: Any = cpu.machine
            broken = hidden_mapping(obj)
            if broken is not None and machine.violation is None:
                machine.fail("accounting", f"{broken.invariant}: {obj.klass}: {broken.text}", [obj.dump()])


RULES: Final = (
    Rules(VmMap, at_rest=(broken_map,)),
    Rules(VmMapEntry, freed=freed_entry),
    Rules(
        VmMapBacking,
        written={"start": (key_out_of_order,)},
        at_rest=(stray_backing,),
        freed=freed_backing,
    ),
    Rules(VmMapEntrySupply, at_rest=(broken_supply,)),
)
SYSTEM: Final = SystemRules(events={MapSectionEnds: broken_section}, leaks=(reserved_for_good, lost))
