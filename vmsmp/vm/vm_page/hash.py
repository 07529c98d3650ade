"""The page hash: a guess at which page an object has at an index, without the object's token.

Models: the vm_page_hash functions of sys/vm/vm_page.c.
Locks: none.  The four words of an element are stored one by one, so a reader may see a mix of two
entries.  It trusts nothing until it has soft-busied the page and compared the page's own identity
again.
Deviations: those of `hash_table`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.observer import PageFound
from vmsmp.vm.vm_object.object import OBJT_VNODE
from vmsmp.vm.vm_page.busy import vm_page_sbusy_drop, vm_page_sbusy_try
from vmsmp.vm.vm_page.flags import PG_MAPPEDMULTI
from vmsmp.vm.vm_page.page import NO_COLOUR

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_hash_enter(m: VmPage) -> None:
    """Enter the page's identity, replacing an element of its set that has not been used lately.

    The element replaced is the last one that was used earlier than the first, or whose time is more than a
    tick in the future; if there is none, the first.
    Locks: the page busied by the caller, or its object's token.  Only pages with PG_MAPPEDMULTI set are
    entered, and with vm.page_hash_vnode_only only those of vnodes.
    """
    vm = m.vm
    if not m.flags.bits(PG_MAPPEDMULTI) or m.phys < 0 or m.pc == NO_COLOUR:
        return
    obj, pindex = m.object, m.pindex
    if obj is None or (vm.page.vm_page_hash_vnode_only and obj.hint("type") != OBJT_VNODE):
        return
    elements = vm.page.vm_page_hash.set_of(obj, pindex)
    best = elements[0]
    first = vm.machine.ticks - best.hint("ticks")
    for mp in elements:
        if mp.hint("m") is m and mp.hint("object") is obj and mp.hint("pindex") == pindex:
            if mp.hint("ticks") != vm.machine.ticks:
                mp.publish("ticks", vm.machine.ticks)
            return
        delta = vm.machine.ticks - mp.hint("ticks")
        if delta < -1 or first < delta:
            best = mp
    best.publish("m", m)
    best.publish("object", obj)
    best.publish("pindex", pindex)
    best.publish("ticks", vm.machine.ticks)


def vm_page_hash_get(vm: VmSystem, obj: VmObject, pindex: int) -> VmPage | None:
    """Return the object's page at that index, soft-busied, if the hash has it.

    Locks: none; reads before the busy are guesses, checked again after it.
    """
    for mp in vm.page.vm_page_hash.set_of(obj, pindex):
        if mp.hint("object") is not obj or mp.hint("pindex") != pindex:
            continue
        m = mp.hint("m")
        if m is None or m.hint("object") is not obj or m.hint("pindex") != pindex:
            continue
        if vm_page_sbusy_try(m):
            continue
        if m.object is obj and m.pindex == pindex:
            if mp.hint("ticks") != vm.machine.ticks:
                mp.publish("ticks", vm.machine.ticks)
            found: VmPage = m
            for hook in vm.hooks.event:
                hook(vm.engine.current, PageFound(found, obj, pindex))
            return found
        vm_page_sbusy_drop(m)
    return None
