"""Repairs of the memory objects (sys/vm/vm_object.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_object"

#: A flag that the kernel does not have.
OBJ_FREEING = 0x8000

REPAIRS = (
    Repair(
        "hold-try-frees-once",
        f"{_MODULE}:_is_dead",
        "return not obj.ref_count.load() and bool(obj.flags.bits(OBJ_DEAD))",
        f"""
        if obj.ref_count.load() or not obj.flags.bits(OBJ_DEAD):
            return False
        return not obj.hold_count.load() and not obj.flags.setbits({OBJ_FREEING:#x}) & {OBJ_FREEING:#x}
        """,
        "a dead object is freed only if nobody holds it again, and by one of two CPUs that find it dead",
    ),
    Repair(
        "termination-allows-pageout",
        f"{_MODULE}:vm_object_terminate",
        """
        if obj.paging_in_progress.load():
            vm.panic("vm_object_terminate: pageout in progress")
        """,
        "pass",
        "a termination waits for activity that begins late with the page that it is about, and in the pager",
    ),
    Repair(
        "termination-waits-again",
        f"{_MODULE}:vm_object_terminate",
        """
        if obj.resident_page_count:
        """,
        """
        vm_object_pip_wait(obj, "objtrm3")
        if obj.resident_page_count:
        """,
        "a termination waits for activity that has begun while it was waiting for pages",
    ),
    Repair(
        "reference-asks-for-the-vnode",
        f"{_MODULE}:_vref",
        """
        if vp is None:
            obj.vm.panic("vref: page fault: the object has lost its vnode")
        vref(vp)
        """,
        """
        if vp is not None:
            vref(vp)
        """,
        "a reference to an object that has lost its vnode is the object's alone",
        also=(
            Edit(
                f"{_MODULE}:vm_object_deallocate",
                """
                if vp is None:
                    obj.vm.panic("vrele: page fault: the object has lost its vnode")
                vrele(vp)
                """,
                """
                if vp is not None:
                    vrele(vp)
                """,
            ),
        ),
    ),
    Repair(
        "sync-marks-a-range",
        f"{_MODULE}:vm_object_page_clean",
        """
        if start == 0 and last == obj.size - 1 & _LAST:
            pages.scan(pages.vm_object_page_clean_pass1)
            if not pages.failed:
        """,
        """
        if True:
            pages.scan(pages.vm_object_page_clean_pass1)
            if not pages.failed and start == 0 and last == obj.size - 1 & _LAST:
        """,
        "the pages of any range are marked, and the object's flags cleared after a whole one only",
    ),
    Repair(
        "sync-waits-for-bypass",
        f"{_MODULE}:_Cleaning.vm_object_page_clean_pass1",
        "vm_page_busy_try(m, False)",
        "vm_page_busy_try(m, True)",
        "a page that a fault has soft-busied keeps its flags, and the object says on that it may be dirty",
    ),
    Repair(
        "invalidation-leaves-wired-pages",
        f"{_MODULE}.remove:_Removal._remove",
        """
        if m.wire_count.load():
            vm_page_protect(m, VM_PROT_NONE)
            if not self.clean_only:
                m.publish("valid", 0)
        """,
        """
        if m.wire_count.load():
            if not self.clean_only:
                vm_page_protect(m, VM_PROT_NONE)
                m.publish("valid", 0)
        """,
        "a wired page that is only to be forgotten if it is clean keeps its mappings",
        also=(
            Edit(
                f"{_MODULE}.remove:vm_object_page_remove",
                "_remove_mappings(obj, start, last)",
                """
                if not clean_only:
                    _remove_mappings(obj, start, last)
                """,
            ),
        ),
    ),
    Repair(
        "only-strange-pages-go-by-address",
        f"{_MODULE}.remove:_remove_mappings",
        "for ba in obj.backing_list:",
        "for ba in obj.backing_list if obj.type == OBJT_MGTDEVICE else ():",
        "what is mapped at a page's address is forgotten by address only if the page is in no tree",
    ),
    Repair(
        "drop-asks-for-the-vnode",
        f"{_MODULE}:vm_object_vndeallocate",
        "vm_object_upgrade(obj)",
        """
        vm_object_upgrade(obj)
        if obj.type != OBJT_VNODE:
            vm_object_deallocate_locked(obj)
            return None
        """,
        "an object that has lost its vnode while the token was given up is dropped like any other",
    ),
    Repair(
        "sync-tolerates-invalidation",
        f"{_MODULE}:_Cleaning.vm_object_page_clean_pass2",
        "if m.object is not obj or obj.generation.load() != generation:",
        "if m.object is not obj:",
        "a change of the object's generation has the pass made again, and is no reason to stop",
    ),
    Repair(
        "advice-spares-copies",
        "vmsmp.vm.vm_map.madvise:_advise",
        "elif delta > 0:",
        "elif delta > 0 and not (behav == MADV_FREE and entry.ba.backing_ba is not None):",
        "memory with something behind it is left as it is",
    ),
    Repair(
        "sync-marks-what-it-writes",
        "vmsmp.vm.vm_object.clean:_Cleaning.vm_object_page_clean_pass1",
        "vm_page_flag_set(m, PG_CLEANCHK)",
        """
        if not (self.flags & OBJPC_NOSYNC and m.flags.load() & PG_NOSYNC):
            vm_page_flag_set(m, PG_CLEANCHK)
        """,
        "pages that a sync is to leave are not marked",
    ),
    Repair(
        "sync-tells-the-vnode-first",
        f"{_MODULE}.clean:vm_object_page_clean",
        """
        vm_object_clear_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
        vclrobjdirty(vp)
        """,
        """
        vclrobjdirty(vp)
        vm_object_clear_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
        """,
        "the vnode is said to be clean before the object is, so that who writes in between tells it",
    ),
    Repair(
        "nothing-is-committed-of-invalid-pages",
        f"{_MODULE}.clean:_Cleaning.vm_object_page_clean_pass2",
        """
        if m.hint("dirty") & m.valid or m.flags.bits(PG_NEED_COMMIT):
        """,
        """
        if m.valid == 0:
            vm_page_flag_clear(m, PG_NEED_COMMIT)
        if m.hint("dirty") & m.valid or m.flags.bits(PG_NEED_COMMIT):
        """,
        "a page that is not valid has nothing to be committed",
        also=(
            Edit(
                "vmsmp.vm.vm_pageout.page:vm_pageout_page",
                "committing = bool(m.flags.bits(PG_NEED_COMMIT))",
                """
                if m.valid == 0:
                    vm_page_flag_clear(m, PG_NEED_COMMIT)
                committing = bool(m.flags.bits(PG_NEED_COMMIT))
                """,
            ),
        ),
    ),
)
