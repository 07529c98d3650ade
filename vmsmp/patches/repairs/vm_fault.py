"""Repairs of faults (sys/vm/vm_fault.c), and of what forgets the mappings of wired pages."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_fault"
_CORE = f"{_MODULE}.object_fault:_Walk"


def _unwire_anywhere(pmap: str, va: str, raw: str = "") -> str:
    """Unwire the page at an address also if its file ends before it by now, and it is mapped no more.

    `raw`: before fields, where the map is not locked.
    """
    return f"""
        from vmsmp.vm.pmap.entries import pmap_pte
        from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
        from vmsmp.vm.vm_page.free import vm_page_free
        from vmsmp.vm.vm_page.lookup import vm_page_lookup

        ptep = pmap_pte({pmap}, {va})
        mapped = ptep is not None and ptep.load()
        _unwire({pmap}, {va}, fictitious)
        m = None
        for ba in () if mapped or entry.{raw}maptype != VM_MAPTYPE_NORMAL else entry.chain():
            obj = ba.{raw}object
            if m is None and obj is not None:
                vm_object_hold(obj)
                m = vm_page_lookup(obj, ba.{raw}offset + {va} - ba.{raw}start >> 12)
                if m is not None and (m.hint("valid") or not m.wire_count.load()):
                    m = None
                vm_object_drop(obj)
        if m is not None and not fictitious:
            vm_page_busy_wait(m, False, "vmwrpg")
            vm_page_unwire(m, True)
            if m.hint("valid") or m.wire_count.load():
                vm_page_wakeup(m)
            else:
                vm_page_free(m)
        """


#: Lock the vnode behind a chain, as `vnode_pager_lock` does; if that takes a wait, unlock the map first.
_VNODE_FIRST = """
from vmsmp.sync.errno import LK_CANRECURSE, LK_NOWAIT, LK_SHARED
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold_shared
from vmsmp.vm.vnode import vput, vref

last = fs.first_ba
while last.backing_ba is not None:
    last = last.backing_ba
lobject, vp = last.object, None
vm_object_hold_shared(lobject)
if lobject.hint("type") == OBJT_VNODE and not curthread(fs.vm.machine).td_flags & TDF_DEADLKTREAT:
    vp = lobject.hint("handle")
    vref(vp)
vm_object_drop(lobject)
if vp is not None and vp.v_lock.lock(LK_SHARED | LK_CANRECURSE | LK_NOWAIT):
    unlock_things(fs)
    vp.v_lock.lock(LK_SHARED | LK_CANRECURSE)
    vput(vp)
    {again}
if vp is not None and lobject.hint("handle") is not vp:
    vput(vp)
    vp = None
fs.vp = vp
hold_first(fs)
"""

REPAIRS = (
    Repair(
        "fault-begins-afresh",
        f"{_MODULE}.fault:vm_fault",
        """
        while result is None:
            result = fault.attempt()
        """,
        """
        while result is None:
            fault.fault_type = fault_type
            result = fault.attempt()
        """,
        "a fault that begins anew asks for what it was called for",
    ),
    Repair(
        "failed-read-ends-its-own",
        f"{_CORE}.readrest",
        "vm_object_pip_wakeup(obj)",
        "vm_object_pip_wakeup(fs.first_ba.object)",
        "a read that fails ends the activity of the first object; letting go ends that of the other one",
    ),
    Repair(
        "refused-page-is-let-go",
        f"{_MODULE}.page:_PageFault.success",
        """
        unlock_things(fs)
        return FaultPage(None, KERN_PROTECTION_FAILURE)
        """,
        """
        vm_page_wakeup(fs.m)
        unlock_things(fs)
        return FaultPage(None, KERN_PROTECTION_FAILURE)
        """,
        "a page that may not be written to is not busy any more when the refusal is returned",
    ),
    Repair(
        "copies-keep-their-rights",
        f"{_MODULE}.copy_entry:vm_fault_copy_entry",
        "prot = dst_entry.max_protection.load()",
        "prot = dst_entry.protection",
        "a copied page is mapped with the rights that its entry gives now",
    ),
    Repair(
        "mlock-leaves-closed-memory",
        f"{_MODULE}.fault:find_entry",
        """
        if not found.entry.protection & VM_PROT_WRITE:
            found.entry.max_protection.clearbits(VM_PROT_WRITE)
        """,
        """
        if not found.entry.protection:
            from vmsmp.vm.vm_map.lookup import vm_map_lookup_done

            vm_map_lookup_done(found.map, found.entry, None)
            return KERN_PROTECTION_FAILURE
        if not found.entry.protection & VM_PROT_WRITE:
            found.entry.max_protection.clearbits(VM_PROT_WRITE)
        """,
        "memory that gives no right is not wired for a user",
    ),
    Repair(
        "invalidation-spares-wirings",
        "vmsmp.vm.vm_map.madvise:_advise",
        "if entry.maptype == VM_MAPTYPE_NORMAL:",
        "if entry.maptype == VM_MAPTYPE_NORMAL and not (behav == MADV_INVAL and entry.wired_count):",
        "the mappings of a wired entry are not invalidated",
    ),
    Repair(
        "peeks-spare-wirings",
        f"{_MODULE}.page:_PageFault.success",
        "pmap_remove(fs.map.pmap, va, va + PAGE_SIZE)",
        """
        if not fs.wflags & FW_WIRED:
            pmap_remove(fs.map.pmap, va, va + PAGE_SIZE)
        """,
        "a look at a page of a wired entry leaves its mapping",
    ),
    Repair(
        "collapse-spares-wirings",
        f"{_MODULE}.collapse:vm_fault_collapse",
        "fs = Faultstate(vm, VM_FAULT_NORMAL, 0)",
        """
        if entry.wired_count:
            from vmsmp.vm.vm_map.flags import KERN_FAILURE

            return KERN_FAILURE
        fs = Faultstate(vm, VM_FAULT_NORMAL, 0)
        """,
        "the chain of a wired entry stays as it is",
    ),
    Repair(
        "copy-unmaps-the-old-page",
        f"{_CORE}._copy",
        "release_page(fs)",
        """
        from vmsmp.vm.vm_page.protect import vm_page_protect

        if fs.first_ba.object.ref_count.load() > 1:
            vm_page_protect(m, 0)
        release_page(fs)
        """,
        "where others share the first object, who has the page mapped that was copied faults again",
    ),
    Repair(
        "fault-asks-itself-first",
        f"{_MODULE}.fault:_Fault._done",
        'if first_ba is not None and first_ba.hint("object") is not None and self.fs.first_ba_held == 1:',
        "if first_ba is not None and self.fs.first_ba_held == 1:",
        "a fault that holds no object does not look at its entry any more",
    ),
    Repair(
        "munlock-spares-kernel-pages",
        f"{_MODULE}.wire:vm_fault_unwire",
        "fictitious = _of_device(entry)",
        "fictitious = entry.maptype == VM_MAPTYPE_UKSMAP or _of_device(entry)",
        "what a device shows by a function was not wired by a fault, and is not unwired",
    ),
    Repair(
        "prefault-looks-again",
        f"{_MODULE}.prefault:_Search.find",
        """
        if m is not None:
            return m
        """,
        """
        if m is not None:
            from vmsmp.vm.vm_page.lookup import vm_page_lookup

            behind = self.lobject is not self._object
            if behind and vm_page_lookup(self._object, self._index) is not None:
                if not self.error:
                    vm_page_wakeup(m)
                self.error = True
            return m
        """,
        "a page from behind is not mapped if the first object has one by then",
    ),
    Repair(
        "peek-begins-afresh",
        f"{_MODULE}.page:vm_fault_page",
        """
        while result is None:
            result = search.attempt()
        """,
        """
        while result is None:
            search._type = fault_type
            result = search.attempt()
        """,
        "a fault for a page that begins anew asks for what it was called for",
    ),
    Repair(
        "peek-asks-for-memory",
        f"{_MODULE}.page:_PageFault._device",
        "if not refused:",
        """
        refused = refused or fake.phys >= len(self._vm.page.vm_page_array)
        if not refused:
        """,
        "a frame that is none of the memory's has no page to be held",
    ),
    Repair(
        "peek-asks-for-an-owner",
        f"{_MODULE}.page:_PageFault._device",
        "vm_page_hold(self.shown)",
        """
        if self.shown.wire_count.load():
            vm_page_hold(self.shown)
        else:
            self.shown, refused = None, True
        """,
        "a page is held if it is kept from being free by being wired",
    ),
    Repair(
        "unwiring-looks-in-the-object",
        f"{_MODULE}.wire:vm_fault_unwire",
        "_unwire(map.pmap, va, fictitious)",
        _unwire_anywhere("map.pmap", "va"),
        "a wired page that was cut off its file is looked for in its object, and freed when it is not wired",
    ),
    Repair(
        "failed-wiring-looks-behind",
        f"{_MODULE}.wire:vm_fault_wire",
        """
        vm_map_lock(map)
        return rv
        """,
        """
        vm_map_lock(map)
        if rv != KERN_SUCCESS:
            for va in range(start, end, PAGE_SIZE):
                pmap_unwire(pmap, va)
        return rv
        """,
        "where a wiring has failed nothing stays mapped as wired, whoever has faulted it in meanwhile",
    ),
    Repair(
        "failed-wiring-looks-in-the-object",
        f"{_MODULE}.wire:vm_fault_wire",
        "_unwire(pmap, done, fictitious)",
        _unwire_anywhere("pmap", "done", "raw_"),
        "a page that was cut off its file while the next one was wired is looked for in its object",
    ),
    Repair(
        "fault-waits-for-a-vnode-unlocked",
        f"{_MODULE}.fault:_Fault._object",
        "hold_first(fs)",
        _VNODE_FIRST.format(again="return KERN_TRY_AGAIN"),
        "a fault that has to wait for a vnode unlocks the map first, and starts over",
        also=(
            Edit(
                f"{_MODULE}.page:_PageFault.attempt",
                "hold_first(fs)",
                "from vmsmp.vm.vm_object.object import OBJT_VNODE\n"
                + _VNODE_FIRST.format(again="self._retry += 1\n    return None"),
            ),
        ),
    ),
    Repair(
        "fork-copies-contents-only",
        f"{_MODULE}.copy_entry:vm_fault_copy_entry",
        "vm_page_copy(src_m, dst_m)",
        """
        from vmsmp.vm.vm_page.flags import VM_PAGE_BITS_ALL
        from vmsmp.vm.vm_page.validity import vm_page_zero_fill

        if src_m.hint("valid"):
            vm_page_copy(src_m, dst_m)
        else:
            vm_page_zero_fill(dst_m)
            dst_m.publish("valid", VM_PAGE_BITS_ALL)
        """,
        "a wired page that was cut off its file is copied as zeros",
    ),
    Repair(
        "peek-only-reads",
        f"{_MODULE}.page:_PageFault.success",
        "written = bool(self._type & VM_PROT_WRITE)",
        "written = bool(self._first_type & VM_PROT_WRITE)",
        "a page is to be written to if that was asked for, whatever the entry allows",
    ),
)
