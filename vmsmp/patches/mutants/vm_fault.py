"""Mutants of faults (sys/vm/vm_fault.c).

Some sites have none.  FLT-04: no allocation of a fault loses its token, so nobody else fills the slot
meanwhile.  COW-08: the token of a lower object keeps its page until it is copied, whether it is busy or not.
COW-10: no pager says of a page that is valid that it has no data, so none that is reserved is valid.  FLT-15:
the page is busy either way.  The other two tests of FLT-17: a page that is cached is activated before it is
mapped, and one of a dead object is unmapped by who ends that.  FLT-19: the slot of a page that is written to
through its mapping is old, and the page dirty.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_fault"
_CORE = f"{_MODULE}.object_fault:_Walk"

MUTANTS = (
    # -- the core
    Mutant(
        "FLT-01",
        f"{_CORE}._sleep_busy",
        """
        self._leave(KERN_TRY_AGAIN)
        vm_page_sleep_busy(m, True, "vmpfw")
        """,
        """
        from vmsmp.vm.vm_page.busy import vm_page_busy_wait

        vm_page_busy_wait(m, True)
        self.m = m
        return self._resident(m)
        """,
        "INV-AL1",
        "a page that was waited for is taken for that of the address, and has been freed meanwhile",
        "faults_against_pageout",
    ),
    Mutant(
        "FLT-08",
        f"{_CORE}.look",
        "if fs.ba.object.flags.bits(OBJ_DEAD):",
        "if False:",
        "INV-O5",
        "a page is put into an object whose termination has begun, and is left in it",
        "pages_of_an_object_that_ends",
    ),
    Mutant(
        "FLT-09",
        f"{_CORE}._absent",
        'if self.pindex >= obj.hint("size"):',
        "if False:",
        "INV-C3",
        "a file gets a page behind its new end",
        "file_that_shrinks",
    ),
    Mutant(
        "FLT-14",
        f"{_CORE}._writeable",
        "if fs.first_shared if self.at_first else fs.shared:",
        "if False:",
        "INV-TK8",
        "swap is given back under a shared token, which cannot be taken exclusively beside that",
        "faults_against_pageout",
    ),
    Mutant(
        "FLT-29",
        f"{_CORE}._wait_for_memory",
        "if self.vm.mycpu().proc.p_flags.load() & P_LOWMEMKILL:",
        "if False:",
        "INV-F7",
        "a process that is killed for memory waits for the memory that only its end can give",
        "faults_without_memory",
    ),
    Mutant(
        "FLT-33",
        f"{_CORE}._writeable",
        "vm_object_set_writeable_dirty(m.object)",
        "pass",
        "INV-O9",
        "a page of a file is mapped writeable, and the file is not said to have been written to",
        "file_that_is_read_in",
    ),
    Mutant(
        "COW-07",
        f"{_CORE}.found",
        "fs.prot &= ~VM_PROT_WRITE",
        "pass",
        "INV-C1",
        "a page that others share is mapped writeable by who reads it",
        "copies_of_one_memory",
    ),
    # -- neighbours
    Mutant(
        "FLT-24",
        f"{_MODULE}.prefault:vm_prefault",
        "if not search.error:",
        "if True:",
        "INV-PB1",
        "a neighbour that is busy is mapped and woken up by who has not busied it",
        "neighbours_that_are_busy",
    ),
    Mutant(
        "FLT-26",
        f"{_MODULE}.prefault:_Search.find",
        "self.prot &= ~VM_PROT_WRITE",
        "pass",
        "INV-C1",
        "a neighbour that others share is mapped writeable",
        "neighbours_below",
    ),
    Mutant(
        "FLT-27",
        f"{_MODULE}.prefault:_Search.find",
        """
        if self.lobject.hint("type") != OBJT_DEFAULT:
            return None
        """,
        "pass",
        "INV-C3",
        "a page of zeros hides a neighbour that is in swap",
        "neighbours_below",
    ),
    # -- wiring
    Mutant(
        "FLT-21",
        f"{_MODULE}.wire:_unwire",
        """
        vm_page_busy_wait(m, False, "vmwrpg")
        vm_page_unwire(m, True)
        vm_page_wakeup(m)
        """,
        "vm_page_unwire(m, True)",
        "INV-HW2",
        "a page is unwired by who has not busied it",
        "wirings_of_used_memory",
    ),
    Mutant(
        "FLT-22",
        f"{_MODULE}.wire:vm_fault_wire",
        "_unwire(pmap, done, fictitious)",
        "pass",
        "INV-HW2",
        "a wiring that fails leaves the pages wired that it has had",
        "wirings_of_used_memory",
    ),
    Mutant(
        "FLT-23",
        f"{_MODULE}.wire:vm_fault_wire",
        """
        vm_map_unlock(map)
        rv = KERN_SUCCESS
        """,
        "rv = KERN_SUCCESS",
        "INV-F7",
        "a wiring faults with the map locked, which the fault waits for",
        "wirings_of_used_memory",
    ),
    # -- forks and debuggers
    Mutant(
        "COW-11",
        f"{_MODULE}.collapse:vm_fault_collapse",
        "if not all_shadowed:",
        "if False:",
        "INV-B5",
        "pages of objects that are not behind the entry any more stay mapped",
        "collapse_among_users",
    ),
    Mutant(
        "COW-12",
        f"{_MODULE}.collapse:vm_fault_collapse",
        """
        if rv == KERN_TRY_AGAIN:
            continue
        """,
        """
        if rv == KERN_TRY_AGAIN:
            rv = KERN_SUCCESS
            scan += PAGE_SIZE
            continue
        """,
        "INV-C3",
        "a page that was busy stays behind as its chain is cut",
        "collapse_among_users",
    ),
    Mutant(
        "COW-18",
        f"{_MODULE}.page:_PageFault.success",
        "va = trunc_page(self._vaddr)",
        "va = trunc_page(self._vaddr) - PAGE_SIZE",
        "INV-C3",
        "a process goes on reading the page that its debugger has copied and written to",
        "peeks_and_pokes",
    ),
    # -- pagers, limits and copies
    Mutant(
        "FLT-05",
        f"{_CORE}.readrest",
        """
        m = vm_page_lookup(obj, self.pindex)
        if m is not None:
            vm_page_activate(m)
            vm_page_wakeup(m)
        return self._leave(KERN_TRY_AGAIN)
        """,
        "return FOUND",
        "INV-PB1",
        "the page that a device's pager was given is mapped, which has been freed and may be another's",
        "device_against_faults",
    ),
    Mutant(
        "FLT-17",
        f"{_MODULE}.bypass:_usable",
        "m.valid == VM_PAGE_BITS_ALL",
        "m.valid in (0, VM_PAGE_BITS_ALL)",
        "INV-PM2",
        "a page that was removed while it was in a buffer is mapped without a look at what of it is valid",
        "truncation_of_buffered_pages",
    ),
    Mutant(
        "FLT-18",
        f"{_MODULE}.bypass:_may_write",
        'return flags & both == both and m.hint("dirty") == VM_PAGE_BITS_ALL',
        'return m.hint("dirty") == VM_PAGE_BITS_ALL',
        "INV-O5",
        "a dirty page is mapped writeable, and its object not told, so that no sync looks for what is stored",
        "stores_behind_failed_writes",
        mended_by=("failed-write-is-remembered", "write-cleans-before-transfer"),
    ),
    Mutant(
        "FLT-32",
        f"{_MODULE}.copy_entry:vm_fault_copy_entry",
        "vm_object_hold(dst_object)",
        "pass",
        "INV-O1",
        "pages are put into the object of a copy, whose token the copier does not have",
        "wired_memory_of_forks",
        also=(
            Edit(
                f"{_MODULE}.copy_entry:vm_fault_copy_entry",
                "vm_object_drop(dst_object)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "FLT-34",
        f"{_MODULE}.fault:_Fault._success",
        "if self.fault_flags & VM_FAULT_BURST and not wiring and not wired:",
        """
        if self.fault_flags & VM_FAULT_USERMODE:
            _limit_resident(self.map)
        if self.fault_flags & VM_FAULT_BURST and not wiring and not wired:
        """,
        "INV-TK8",
        "mappings are taken away, and pages written, with the map and the object locked",
        "resident_pages_are_limited",
    ),
    Mutant(
        "FLT-35",
        f"{_MODULE}.page:_PageFault.success",
        """
        vm_page_hold(m)
        vm_page_wakeup(m)
        """,
        """
        vm_page_wakeup(m)
        vm_page_hold(m)
        """,
        "INV-Q5",
        "a page is let go before it is held, and freed in between: who looks at it holds a free page",
        "peeks_against_reclaim",
    ),
    Mutant(
        "COW-09",
        f"{_CORE}._absent",
        "if not vm_paging_severe(self.vm):",
        """
        if self.at_first and fs.ba.backing_ba is not None:
            return NEXT
        if not vm_paging_severe(self.vm):
        """,
        "INV-O2",
        "two threads find nothing reserved, and each copies the page",
        "copies_by_threads",
        also=(
            Edit(
                f"{_CORE}._zero",
                "self.m = fs.first_m",
                """
                self.m = vm_page_alloc(
                    self.vm, fs.first_ba.object, self.first_pindex, VM_ALLOC_NULL_OK | VM_ALLOC_NORMAL
                )
                """,
            ),
            Edit(
                f"{_CORE}._copy",
                "first_m = fs.first_m",
                """
                first_m = vm_page_alloc(
                    self.vm, fs.first_ba.object, self.first_pindex, VM_ALLOC_NULL_OK | VM_ALLOC_NORMAL
                )
                """,
            ),
        ),
    ),
)
