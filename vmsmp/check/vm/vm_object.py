"""The invariants of objects: tree, counts, lists, and end.

INV-O1, O2, O3: the pages in a tree name the object and their index, are counted, and at the end of the run
lie within its size.  INV-O4: the counts match the outstanding references and holds.  INV-O5: memory is freed
once, and only when unused.  INV-O6: a dead object is not referenced again.  INV-O7: activity is never below
zero, and none is left when memory is freed or the run ends.  INV-O8: the buckets list the objects that are
published and not terminated, each once.  INV-O9: a file's object with something to be written is marked as
possibly dirty, once no CPU is at work on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.check.vm.pmap import entries_of
from vmsmp.check.vm.vm_pager import behind_the_end
from vmsmp.mmu.entry import PG_RW
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_object.object import (
    ANONYMOUS,
    OBJ_DEAD,
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJECT_HOLD,
    OBJT_VNODE,
    REF,
    VmObject,
    VmObjectHash,
)
from vmsmp.vm.vm_page.flags import PG_NEED_COMMIT

#: Larger trees are walked only when all CPUs are stopped.
WALK: Final = 64


def broken_object(obj: VmObject, books: Books) -> Broken | None:
    """Return the first rule that the object breaks, or None."""
    return broken_tree(obj, books) or walked_tree(obj, books) or broken_counts(obj, books)


def broken_tree(obj: VmObject, _books: Books) -> Broken | None:
    """Whether the count of the tree's pages is wrong; for a small tree also `walked_tree`."""
    memq = obj.raw_rb_memq
    if obj.raw_resident_page_count != len(memq):
        text = f"it counts {obj.raw_resident_page_count} resident pages and has {len(memq)}"
        return Broken("INV-O2", text)
    return walked_tree(obj, _books) if len(memq) <= WALK else None


def walked_tree(obj: VmObject, _books: Books) -> Broken | None:
    """Whether a page in the object's tree names another object or index."""
    for pindex, m in obj.raw_rb_memq.items():
        if (m.raw_object is not obj or m.raw_pindex != pindex) and not m.spin_held():
            return Broken("INV-O1", f"its tree has {m.klass} at an index, which says it is elsewhere")
    return None


def broken_counts(obj: VmObject, books: Books) -> Broken | None:
    """Whether the counts of references and holds differ from the outstanding ones."""
    out = books.counts(obj)
    refs, holds = out.get(REF, 0), out.get(OBJECT_HOLD, 0)
    if obj.ref_count.value != refs:
        return Broken("INV-O4", f"its word counts {obj.ref_count.value} references, and {refs} are out")
    if obj.hold_count.value != holds:
        return Broken("INV-O4", f"its word counts {obj.hold_count.value} holds, and {holds} are out")
    return None


def broken_references(obj: VmObject, books: Books) -> Broken | None:
    """Whether the counts are wrong, or a dead object has references (INV-O6)."""
    if obj.flags.value & OBJ_DEAD and obj.ref_count.value > 0:
        return Broken("INV-O6", "it is dead, and referenced")
    return broken_counts(obj, books)


def broken_activity(obj: VmObject, _books: Books) -> Broken | None:
    """Whether more activities have ended than begun (INV-O7)."""
    if obj.paging_in_progress.value < 0:
        return Broken("INV-O7", "more activities have ended than begun")
    return None


def misplaced(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether an object is on no list, or on a wrong one (INV-O8).  Only at the end of a run."""
    for obj in vm.objects:
        bucket = obj.raw_object_entry
        if bucket is None and not obj.flags.value & OBJ_DEAD:
            return obj, Broken("INV-O8", "it is alive, and on no list")
        if bucket is not None and bucket.raw_list.get(obj.code) is not obj:
            return obj, Broken("INV-O8", "it says that it is on a list, which does not have it")
    return None


def beyond_size(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether anonymous memory or a file has a page beyond its size (INV-O2).  Only at the end of a run."""
    for obj in vm.objects:
        known = not obj.freed and obj.raw_type in (*ANONYMOUS, OBJT_VNODE)
        if known and any(pindex >= obj.raw_size for pindex in obj.raw_rb_memq):
            return obj, Broken("INV-O2", f"it has a page beyond its size, which is {obj.raw_size}")
    return None


def broken_bucket(bucket: VmObjectHash, _books: Books) -> Broken | None:
    """Whether the bucket's list has an object that is freed, or that names another list (INV-O8)."""
    if bucket.token.holders:
        return None
    for obj in bucket.raw_list.values():
        if obj.freed:
            return Broken("INV-O8", "an object on its list is freed")
        if obj.raw_object_entry is not bucket:
            return Broken("INV-O8", "an object on its list says that it is on another")
    return None


def freed_wrongly(obj: VmObject, _books: Books) -> Broken | None:
    """Return the rule broken by freeing an object that is still in use or already freed (INV-O5)."""
    if obj.freed:
        return Broken("INV-O5", "it is freed twice")
    if obj.hold_count.value or obj.ref_count.value or obj.peek("rb_memq"):
        return Broken("INV-O5", "it is freed, and held, referenced or not empty")
    if obj.raw_object_entry is not None:
        return Broken("INV-O5", "it is freed, and on the list of all objects")
    if obj.paging_in_progress.value:
        return Broken("INV-O7", "it is freed while something is in progress on it")
    if not obj.flags.value & OBJ_DEAD:
        return Broken("INV-O5", "it is freed and not dead")
    return None


def never_freed(vm: VmSystem) -> Iterator[tuple[VmObject, Broken]]:
    """Yield objects that are dead at the end of a run but whose memory was never freed (INV-O5)."""
    for obj in vm.objects:
        if obj.flags.value & OBJ_DEAD and not obj.freed:
            yield obj, Broken("INV-O5", "it is dead and nobody freed it")


def active_for_good(vm: VmSystem) -> Iterator[tuple[VmObject, Broken]]:
    """Yield objects with an activity that was begun and never ended (INV-O7)."""
    for obj in vm.objects:
        if obj.paging_in_progress.value and not obj.freed:
            yield obj, Broken("INV-O7", "an activity on it was begun and never ended")


def unknown_to_be_dirty(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether a file's object has a page to be written, and is not marked (INV-O9).  Only at the end."""
    both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
    for obj in vm.objects:
        if obj.freed or obj.raw_type != OBJT_VNODE or obj.flags.value & both == both:
            continue
        for m in obj.raw_rb_memq.values():
            if m.raw_dirty & m.raw_valid or m.flags.value & PG_NEED_COMMIT:
                return obj, Broken("INV-O9", "it has a dirty page, and says that it cannot have one")
            if any(pte & PG_RW for pte in entries_of(m)):
                return obj, Broken("INV-O9", "it has a page mapped writeable, and says that it has none")
    return None


RULES: Final = (
    Rules(
        VmObject,
        written={
            **dict.fromkeys(("", *VmObject.fields), (broken_tree,)),
            "ref_count": (broken_references,),
            "hold_count": (broken_counts,),
            "paging_in_progress": (broken_activity,),
            "swblock_count": (broken_tree, behind_the_end),
        },
        at_rest=(broken_object,),
        freed=freed_wrongly,
        stored=False,
    ),
    Rules(VmObjectHash, at_rest=(broken_bucket,)),
)
SYSTEM: Final = SystemRules(
    leaks=(never_freed, active_for_good), sums=(misplaced, beyond_size, unknown_to_be_dirty)
)
