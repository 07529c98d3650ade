"""What holds for every page queue whose spinlock is free, and for every object's tree.

INV-Q1: the list is well formed, and every member says that it is on it.  INV-Q2: lcnt is its length.
INV-O1, O2, O3: a tree's pages name the object and their index, and are counted.  INV-O4: references and
holds are those that are out.  INV-O5: memory goes when nobody needs it any more, and once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJECT_HOLD, REF, VmObject
from vmsmp.vm.vm_page.page import Vpgqueues, is_marker

if TYPE_CHECKING:
    from vmsmp.check.ledger import Ledger
    from vmsmp.check.pages import Broken

#: Longer lists are walked when all stands still only.
WALK = 128


def broken_queue(pq: Vpgqueues, *, walk_all: bool = False) -> Broken | None:
    """The first rule that the queue breaks, or None.  Nobody may have its spinlock."""
    if pq._spin is not None and pq._spin.holders:
        return None
    if pq.peek("lcnt") > WALK and not walk_all:
        return None
    length = 0
    last = None
    for m in pq.pages():
        if m.peek("tqe_prev") is not last:
            return "INV-Q1", f"the link back from {m.klass} does not lead where it came from"
        if m.peek("queue") != pq.index:
            return "INV-Q1", f"it lists {m.klass}, which says it is on {m.vm.queue_name(m.peek('queue'))}"
        last = m
        length += not is_marker(m)
    if pq.peek("tqh_last") is not last:
        return "INV-Q1", "its tail is not its last page"
    if pq.peek("lcnt") != length:
        return "INV-Q2", f"it counts {pq.peek('lcnt')} pages and lists {length}"
    return None


def broken_object(obj: VmObject, ledger: Ledger) -> Broken | None:
    """The first rule that the object breaks, or None."""
    memq = obj.peek("rb_memq")
    if obj.peek("resident_page_count") != len(memq):
        return "INV-O2", f"it counts {obj.peek('resident_page_count')} resident pages and has {len(memq)}"
    for pindex, m in memq.items():
        moving = m._spin is not None and m._spin.holders
        if not moving and (m.peek("object") is not obj or m.peek("pindex") != pindex):
            return "INV-O1", f"its tree has {m.klass} at an index, which says it is elsewhere"
    refs, holds = ledger.count(obj, REF), sum(mode == OBJECT_HOLD for _, mode in obj.holders)
    if obj.peek("ref_count") != refs:
        return "INV-O4", f"its word counts {obj.peek('ref_count')} references, and {refs} are out"
    if obj.peek("hold_count") != holds:
        return "INV-O4", f"its word counts {obj.peek('hold_count')} holds, and {holds} are out"
    return None


def broken_freeing(obj: VmObject) -> Broken | None:
    """Whether the memory of an object goes that somebody still needs, or has gone before (INV-O5)."""
    if obj.freed:
        return "INV-O5", "it is freed twice"
    if obj.peek("hold_count") or obj.peek("ref_count") or obj.peek("rb_memq"):
        return "INV-O5", "it is freed, and held, referenced or not empty"
    if not obj.peek("flags") & OBJ_DEAD:
        return "INV-O5", "it is freed and not dead"
    return None
