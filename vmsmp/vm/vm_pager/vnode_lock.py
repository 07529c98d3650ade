"""Locking the vnode behind a chain, which a fault does before it reads; and freeing pages not read.

Models: vnode_pager_lock and vnode_pager_freepage of sys/vm/vnode_pager.c.
Locks: the map, which keeps the chain; the token of the first object.  The vnode is locked shared, since a
truncation locks it exclusively.  No CPU may wait for it with activity raised on the object, since a
truncation waits for that activity.
The kernel sleeps on what the object names by then, which is nothing once it has lost its vnode.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.sync.errno import LK_CANRECURSE, LK_SHARED
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold_shared
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_VNODE
from vmsmp.vm.vm_page.activity import vm_page_activate
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.flags import PBUSY_MASK, PG_NEED_COMMIT
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vnode import vget, vput

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapBacking
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vnode import Vnode


def vnode_pager_lock(ba: VmMapBacking | None) -> Vnode | None:
    """Reference and lock the vnode of the chain's last object; return it, or None if that is no file.

    Locks: the first object's token, and the map.  Sleeps: for the vnode, or a second if that is gone.
    """
    if ba is None:
        return None
    lba = ba
    while lba.backing_ba is not None:
        lba = lba.backing_ba
    lobject: VmObject | None = lba.object
    if lobject is None:
        return None
    if lba is not ba:
        vm_object_hold_shared(lobject)
    vp = _lock(lobject)
    if lba is not ba:
        vm_object_drop(lobject)
    return vp


def _lock(lobject: VmObject) -> Vnode | None:
    """Lock the object's vnode; look at the object again after each wait."""
    vm = lobject.vm
    while lobject.hint("type") == OBJT_VNODE and not lobject.flags.bits(OBJ_DEAD):
        vp: Vnode = lobject.hint("handle")
        if vget(vp, LK_SHARED | LK_CANRECURSE):
            vm.kprintf(f"vnode_pager_lock: vnode {vp.name} cannot be had")
            handle: Vnode | None = lobject.hint("handle")
            if handle is None:
                vm.panic("tsleep: no ident")
            vm.machine.tsleep(handle, 0, "vnpgrl", HZ, overdue=lambda: None)
            continue
        current: bool = lobject.hint("handle") is vp
        if current:
            return vp
        vput(vp)
    return None


def vnode_pager_freepage(m: VmPage) -> None:
    """Free a page that could not be read, unless it is in use.  Locks: the page hard-busied."""
    if m.busy_count.load() & PBUSY_MASK or m.wire_count.load() or m.flags.bits(PG_NEED_COMMIT):
        vm_page_activate(m)
        vm_page_wakeup(m)
    else:
        vm_page_free(m)
