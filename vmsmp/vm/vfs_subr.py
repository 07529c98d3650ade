"""Discarding a file's buffers, and with them its pages that are not dirty.

Models: vinvalbuf of sys/kern/vfs_subr.c, for a vnode whose buffers are all clean.
Locks: takes the vnode's token.  Sleeps: for writes under way and for the object's activity.
Deviations:
  * there are no buffers: the two trees are empty, and only writes in progress are waited for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from vmsmp.engine.clock import HZ
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_object.paging import vm_object_pip_wait
from vmsmp.vm.vm_object.remove import vm_object_page_remove
from vmsmp.vm.vnode import track_ident

if TYPE_CHECKING:
    from vmsmp.vm.vnode import Vnode

V_SAVE: Final = 0x0001


def vinvalbuf(vp: Vnode, flags: int) -> int:
    """Discard the buffers of a vnode and the pages behind them; with V_SAVE keep dirty pages.

    Locks: the vnode's lock held, or its object's token.  Sleeps: yes; tokens are lost.
    """
    vp.v_token.acquire()
    bio_track_wait(vp)
    obj = vp.hint("v_object")
    if obj is not None:
        vm_object_pip_wait(obj, "vnvlbx")
        vm_object_page_remove(obj, 0, 0, clean_only=bool(flags & V_SAVE))
    vp.v_token.release()
    return 0


def bio_track_wait(vp: Vnode) -> None:
    """Wait until no write to the vnode is in progress.  Sleeps: yes; tokens are lost."""
    machine = vp.vm.machine
    while vp.v_track_write.load():
        machine.tsleep_interlock(track_ident(vp))
        if vp.v_track_write.load():
            machine.tsleep(track_ident(vp), PINTERLOCKED, "iowait", HZ, overdue=partial(_overdue, vp))


def _overdue(vp: Vnode) -> str | None:
    """Return why a wait should be over, or None if it should not."""
    if vp.peek("v_track_write"):
        return None
    return "no write is under way, and nobody will wake the waiter"
