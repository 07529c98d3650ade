"""Rules of address spaces and range interlocks.

INV-VS1: the counts of an address space are those of the ledger, and every reference has a hold.  Stage 1
begins with the end of the last reference; each stage comes once, and the second without holds; only then is
the memory reused.
INV-M11: the ranges of a map's interlocks do not overlap, and each names the map.
INV-B3: an object has a reference for each element of a chain that is on its list.  INV-B6: if an object is
marked as mapped once, no two of these elements have the same page.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_map.flags import VM_REF_DELETED, VMSPACE_EXIT1, VMSPACE_EXIT2
from vmsmp.vm.vm_map.interlock import VmMapIlock
from vmsmp.vm.vm_map.vmspace import VMSPACE_HOLD, VMSPACE_REF, Vmspace
from vmsmp.vm.vm_object.object import OBJ_ONEMAPPING, VmObject

# -- address spaces -------------------------------------------------------------------------------


def broken_counts(vmspace: Vmspace, books: Books) -> Broken | None:
    """Whether the counts of references and holds differ from those of the ledger."""
    out = books.counts(vmspace)
    refs, holds = vmspace.vm_refcnt.value & ~VM_REF_DELETED, vmspace.vm_holdcnt.value
    if vmspace.vm_refcnt.value < 0 or refs != out.get(VMSPACE_REF, 0):
        text = f"its word counts {refs} references, and {out.get(VMSPACE_REF, 0)} are out"
        return Broken("INV-VS1", text)
    if holds != out.get(VMSPACE_HOLD, 0):
        return Broken("INV-VS1", f"its word counts {holds} holds, and {out.get(VMSPACE_HOLD, 0)} are out")
    return None


def broken_vmspace(vmspace: Vmspace, books: Books) -> Broken | None:
    """Whether it has fewer holds than references, or its flags do not fit its counts."""
    refs, holds = vmspace.vm_refcnt.value, vmspace.vm_holdcnt.value
    flags = vmspace.raw_vm_flags
    if holds < refs & ~VM_REF_DELETED:
        return Broken("INV-VS1", "it has fewer holds than references")
    if flags & VMSPACE_EXIT1 and not refs & VM_REF_DELETED:
        return Broken("INV-VS1", "stage 1 has begun, and it is not said to be without references")
    if flags & VMSPACE_EXIT2 and (holds or not flags & VMSPACE_EXIT1):
        return Broken("INV-VS1", "stage 2 has begun, and it is held or was never in stage 1")
    return broken_counts(vmspace, books)


def freed_wrongly(vmspace: Vmspace, _books: Books) -> Broken | None:
    """Whether memory is freed before stage 2, or a second time."""
    if vmspace.freed:
        return Broken("INV-VS1", "its memory is given back twice")
    if not vmspace.raw_vm_flags & VMSPACE_EXIT2 or vmspace.vm_holdcnt.value:
        return Broken("INV-VS1", "its memory is given back before stage 2, or while it is held")
    return None


def never_freed(vm: VmSystem) -> Iterator[tuple[Vmspace, Broken]]:
    """Yield the address spaces without references and holds whose memory was not freed."""
    for vmspace in vm.map.vmspaces.pool:
        if not (vmspace.freed or vmspace.vm_holdcnt.value or vmspace.vm_refcnt.value & ~VM_REF_DELETED):
            yield vmspace, Broken("INV-VS1", "nobody uses it, and its memory was not given back")


# -- interlocks -----------------------------------------------------------------------------------


def broken_interlock(il: VmMapIlock, _books: Books) -> Broken | None:
    """Whether interlocks of the same map overlap, or one is not on its map's list exactly once."""
    map = il.map
    if map is None or map.ilock_spin.holders:
        return None
    seen: list[VmMapIlock] = []
    scan: VmMapIlock | None = map.peek("ilock_base")
    while scan is not None:
        if scan.map is not map or scan in seen:
            return Broken("INV-M11", "the list of its map has one that is not on it, or twice")
        if any(scan.raw_ran_end > o.raw_ran_beg and scan.raw_ran_beg < o.raw_ran_end for o in seen):
            return Broken("INV-M11", "it overlaps another one of its map")
        seen.append(scan)
        scan = scan.raw_next
    return None if il in seen else Broken("INV-M11", "it is not on the list of its map")


# -- objects --------------------------------------------------------------------------------------


def too_few_references(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether an object has fewer references than elements on its list (INV-B3)."""
    for obj in vm.objects:
        listed = len(obj.raw_backing_list)
        if obj.ref_count.value < listed:
            text = f"it has {obj.ref_count.value} references, and {listed} backings are on its list"
            return obj, Broken("INV-B3", text)
    return None


def mapped_twice(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether an object is marked as mapped once, and a page of it is in two elements (INV-B6)."""
    for obj in vm.objects:
        if obj.freed or not obj.flags.value & OBJ_ONEMAPPING:
            continue
        backings: list[Any] = [*obj.raw_backing_list]
        parts = sorted((ba.raw_offset, ba.raw_offset + ba.raw_end - ba.raw_start) for ba in backings)
        if any(start < end for (_, end), (start, _) in pairwise(parts)):
            return obj, Broken("INV-B6", "it says that it is mapped once, and two backings have a page of it")
    return None


RULES: Final = (
    Rules(
        Vmspace,
        written={
            "vm_refcnt": (broken_counts, broken_vmspace),
            "vm_holdcnt": (broken_counts, broken_vmspace),
        },
        at_rest=(broken_vmspace,),
        freed=freed_wrongly,
    ),
    Rules(
        VmMapIlock,
        written={"": (broken_interlock,), "flags": (broken_interlock,)},
        at_rest=(broken_interlock,),
    ),
)
SYSTEM: Final = SystemRules(leaks=(never_freed,), sums=(too_few_references, mapped_twice))
