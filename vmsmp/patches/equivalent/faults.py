"""Removals in faults that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

_OWN = "only the thread itself sees what it has found so far"
_ACTIVE = "the core has activated the page, which is busy since"
_ZEROED = "no CPU has pages of its own, and none is zeroed ahead"
_HINT = "a hint: a fault that guesses wrong begins anew, in the other mode"

EQUIVALENTS: Final = (
    # -- what a fault keeps for itself -----------------------------------------------------------
    Equivalent("vm.vm_fault.bypass.vm_fault_bypass-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.collapse.vm_fault_collapse-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.fault._Fault.attempt-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.fault._Fault._lookup-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.page._PageFault.attempt-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.page.vm_fault_object_page-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.prefault._Search.*-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.object_fault._Walk._copy-swap", " = ", _OWN),
    Equivalent("vm.vm_fault.object_fault._Walk._zero-swap", "self.pindex = ", _OWN),
    Equivalent("vm.vm_fault.page._FakeBacking.publish-gone", "", "nobody asks what is stored there"),
    Equivalent(
        "vm.vm_fault.*-always",
        "if fs.vp is None:",
        "it is so every time, for whoever begins anew has let the vnode go",
    ),
    Equivalent(
        "vm.vm_fault.collapse.vm_fault_collapse-gone",
        "fs.map = map",
        "the map stays locked by the caller, and nobody asks which one it is",
    ),
    # -- what is shown ---------------------------------------------------------------------------
    Equivalent("vm.vm_fault.fault._tell-*", "", "only what is printed"),
    Equivalent("vm.vm_fault.fault.vm_fault-gone", "_tell(", "only what is printed"),
    # -- hints -----------------------------------------------------------------------------------
    Equivalent("vm.vm_fault.fault._Fault._object-*", "VM_MAP_BACK_EXCL_HEUR", _HINT),
    Equivalent("vm.vm_fault.page._PageFault.attempt-*", "VM_MAP_BACK_EXCL_HEUR", _HINT),
    Equivalent("vm.vm_fault.object_fault._Walk.*-gone", "set_excl_heur(", _HINT),
    Equivalent("vm.vm_fault.faultstate.set_excl_heur-gone", "", _HINT),
    # -- done before, or by others ---------------------------------------------------------------
    Equivalent(
        "vm.vm_fault.object_fault._Walk.found-gone",
        "vm_page_activate(m)",
        "whoever gets the page activates it, too, now or as its wiring ends",
    ),
    Equivalent("vm.vm_fault.fault._Fault._success-gone", "vm_page_activate(m)", _ACTIVE),
    Equivalent("vm.vm_fault.page._PageFault.success-gone", "vm_page_activate(m)", _ACTIVE),
    Equivalent("vm.vm_fault.page._held-gone", "vm_page_activate(m)", _ACTIVE),
    Equivalent("vm.vm_fault.collapse.vm_fault_collapse-gone", "vm_page_activate(", _ACTIVE),
    Equivalent("vm.vm_fault.page._PageFault.success-swap", "vm_page_activate(m)", _ACTIVE),
    Equivalent("vm.vm_fault.page._held-swap", "", "the page is busy meanwhile, and counts are its own CPU's"),
    Equivalent(
        "vm.vm_fault.bypass.vm_fault_bypass-term1",
        "OBJ_DEAD",
        "a page of a dead object is unmapped by whoever ends it, who waits for its soft busy",
    ),
    # -- what cannot be --------------------------------------------------------------------------
    Equivalent(
        "vm.vm_fault.page.vm_fault_object_page-never",
        "not fs.prot & VM_PROT_WRITE",
        "an object alone has nothing behind it, so no right is lost on the way",
    ),
    Equivalent(
        "vm.vm_fault.page.vm_fault_object_page-gone",
        "unlock_things(fs)",
        "an object alone has nothing behind it, so no right is lost on the way",
    ),
    Equivalent(
        "vm.vm_fault.page.vm_fault_object_page-term1",
        "KERN_TRY_AGAIN and shared",
        "a fault that asks for the token exclusively is one that begins anew",
    ),
    Equivalent(
        "vm.vm_fault.page.vm_fault_object_page-term2",
        "KERN_TRY_AGAIN and shared",
        "the token may be lost here anyway, and the fault begins anew",
    ),
    Equivalent(
        "vm.vm_fault.page.vm_fault_object_page-term2",
        "VM_FAULT_UNSWAP and shared",
        "the token may be lost here anyway, and nothing was looked at yet",
    ),
    Equivalent(
        "vm.vm_fault.prefault.prefault_pages-term2",
        "entry.maptype",
        "what a device shows of itself is mapped on another way, which has no burst",
    ),
    Equivalent(
        "vm.vm_fault.prefault._Search.find-never",
        "below.offset & PAGE_MASK",
        "mappings begin at whole pages of their objects",
    ),
    Equivalent("vm.vm_fault.object_fault._Walk._absent-*", "fs.ba.backing_ba is None", _ZEROED),
    Equivalent("vm.vm_fault.object_fault._Walk._absent-flag?", "VM_ALLOC_USE_GD", _ZEROED),
    Equivalent("vm.vm_fault.prefault._Search._allocate-flag[24]", "VM_ALLOC_USE_GD", _ZEROED),
    # -- done once more, or for nothing ----------------------------------------------------------
    Equivalent(
        "vm.vm_fault.prefault_quick.vm_prefault_quick-gone",
        "continue",
        "it is entered once more, or left out",
    ),
    Equivalent("vm.vm_fault.prefault.vm_prefault-never", "if not pages:", "no neighbour is tried then"),
    Equivalent(
        "vm.vm_fault.prefault_quick.vm_prefault_quick-term1", "not pages or", "no neighbour is tried then"
    ),
    Equivalent(
        "vm.vm_fault.prefault*.vm_prefault*-never",
        "pmap_prefault_ok",
        "a page that is mapped is entered once more",
    ),
)
