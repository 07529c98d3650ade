"""Inserting pages into objects, removing and renaming them.

Models: sys/vm/vm_page.c.
Locks: a change of (object, pindex) needs the page hard-busied and the object's token exclusively; the
page's spinlock is held around the change of the tree.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD_EXCL, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PG_NEED_COMMIT, PG_WRITEABLE
from vmsmp.vm.vm_page.queues import vm_page_spin_lock, vm_page_spin_unlock
from vmsmp.vm.vm_pager.swap_meta import swap_pager_page_inserted

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

# -- in and out of objects ------------------------------------------------------------------------


def vm_page_rb_tree_RB_INSERT(obj: VmObject, m: VmPage) -> VmPage | None:
    """Insert the page into the object's tree; if its index is taken, return the page there."""
    memq = obj.changing("rb_memq")
    there: VmPage | None = memq.get(m.peek("pindex"))
    if there is None:
        memq[m.peek("pindex")] = m
    return there


def vm_page_rb_tree_RB_REMOVE(obj: VmObject, m: VmPage) -> None:
    """Remove the page from the object's tree."""
    memq = obj.changing("rb_memq")
    if memq.get(m.peek("pindex")) is not m:
        obj.vm.panic(f"{obj.klass}: RB_REMOVE of a page that is not in its tree")
    del memq[m.peek("pindex")]


def vm_page_insert(m: VmPage, obj: VmObject, pindex: int) -> bool:
    """Insert the page into the object at that index; return False if the index is taken.

    The object's generation counts the attempt, even one that fails.
    Locks: the page hard-busied, the object's token exclusively.
    """
    ASSERT_OBJECT_HELD_EXCL(obj)
    if m.object is not None:
        m.vm.panic("vm_page_insert: already inserted")
    obj.generation.fetchadd(1)
    vm_page_spin_lock(m)
    m.publish("object", obj)
    m.publish("pindex", pindex)
    if vm_page_rb_tree_RB_INSERT(obj, m) is not None:
        m.publish("object", None)
        m.publish("pindex", 0)
        vm_page_spin_unlock(m)
        return False
    obj.resident_page_count += 1
    m.vm.mycpu().t_rm += 1
    vm_page_spin_unlock(m)
    if m.valid & m.hint("dirty") or m.flags.load() & (PG_WRITEABLE | PG_NEED_COMMIT):
        vm_object_set_writeable_dirty(obj)
    swap_pager_page_inserted(m)
    return True


def vm_page_remove(m: VmPage) -> None:
    """Remove the page from its object, if it is in one.

    Locks: the page hard-busied; takes the object's token.  Sleeps: while that is contended.
    """
    obj = m.object
    if obj is None:
        return
    if not m.busy_count.bits(PBUSY_LOCKED):
        m.vm.panic("vm_page_remove: page not busy")
    vm_object_hold(obj)
    vm_page_spin_lock(m)
    vm_page_rb_tree_RB_REMOVE(obj, m)
    obj.resident_page_count -= 1
    m.vm.mycpu().t_rm -= 1
    m.publish("object", None)
    obj.generation.fetchadd(1)
    vm_page_spin_unlock(m)
    vm_object_drop(obj)


def vm_page_rename(m: VmPage, new_object: VmObject, new_pindex: int) -> None:
    """Move the page to another object or index, and mark it dirty.

    Locks: the page hard-busied, both objects' tokens exclusively.
    """
    if not m.busy_count.bits(PBUSY_LOCKED):
        m.vm.panic("vm_page_rename: page not busy")
    ASSERT_OBJECT_HELD_EXCL(new_object)
    obj = m.object
    if obj is not None:
        ASSERT_OBJECT_HELD_EXCL(obj)
        vm_page_remove(m)
    if not vm_page_insert(m, new_object, new_pindex):
        m.vm.panic("vm_page_rename: target exists")
    if m.queue_base() == m.vm.page.PQ_CACHE:
        vm_page_deactivate(m)
    vm_page_dirty(m)
