"""Mutants of address spaces, lookups, shadows, stacks, interlocks and wirings.

Some sites have none.  MAP-06: an entry in transition that a lookup cuts is as one that a change of rights
cuts; who has it in transition looks for the pieces.  VMS-07: what asks whether a pmap is still in use only
panics, and no CPU is left in one.  TRN-08 has a second half, the end up to which a failed wiring is taken
back: the kernel takes back too much there (`failed_mlock_unlocks_others`), and the repair of that leaves it
nothing to do.
"""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_map"

MUTANTS = (
    # -- address spaces
    Mutant(
        "VMS-05",
        f"{_MODULE}.vmspace:_terminate_first",
        "if vmspace.vm_pmap.wired_count.load():",
        "if False:",
        "INV-HW2",
        "what is locked is unmapped first, and then nobody finds the pages that are to be unwired",
        "locked_memory_ends",
    ),
    Mutant(
        "VMS-01",
        f"{_MODULE}.vmspace:vmspace_hold",
        """
        vmspace.vm_holdcnt.fetchadd(1)
        vmspace.took(VMSPACE_HOLD)
        vmspace.vm_map.token.acquire()
        """,
        """
        vmspace.vm_map.token.acquire()
        vmspace.vm_holdcnt.fetchadd(1)
        vmspace.took(VMSPACE_HOLD)
        """,
        "INV-VS1",
        "who waits for the token does not hold the address space yet, and it is freed under him",
        "exec_against_scan",
    ),
    Mutant(
        "VMS-03",
        f"{_MODULE}.vmspace:vmspace_relexit",
        """
        vmspace.vm_holdcnt.fetchadd(1)
        vmspace.took(VMSPACE_HOLD)
        vmspace_rel(vmspace)
        """,
        """
        vmspace_rel(vmspace)
        vmspace.vm_holdcnt.fetchadd(1)
        vmspace.took(VMSPACE_HOLD)
        """,
        "INV-VS1",
        "the reference of an exiting process takes the last hold with it, and what is held then is freed",
        "exit_and_reap",
    ),
    Mutant(
        "VMS-04",
        f"{_MODULE}.vmspace:vmspace_drop_notoken",
        "if last and vmspace.vm_refcnt.load() & VM_REF_DELETED:",
        "if last and vmspace.vm_refcnt.load() == 0:",
        "INV-VS1",
        "the last hold goes, and nobody looks whether the references have gone before it",
        "vmspace_last_uses",
    ),
    Mutant(
        "COW-19",
        f"{_MODULE}.exec:vmspace_exec",
        "pmap_replacevm(p, new, adjrefs=False)",
        """
        from vmsmp.vm.vm_map.vmspace import vmspace_ref

        vmspace_rel(old)
        pmap_replacevm(p, new, adjrefs=False)
        vmspace_ref(old)
        """,
        "INV-VS1",
        "the old address space is given back while the process is still said to run in it",
        "exec_against_scan",
    ),
    # -- lookups and shadows
    Mutant(
        "MAP-03",
        f"{_MODULE}.lookup:_Lookup._upgrade",
        "return not vm_map_lock_upgrade(self.map)",
        """
        if vm_map_lock_upgrade(self.map):
            vm_map_lock(self.map)
        return True
        """,
        "INV-B4",
        "a lookup that lost its upgrade shadows what another one has shadowed meanwhile",
        "first_touch",
    ),
    Mutant(
        "MAP-05",
        f"{_MODULE}.lookup:_Lookup._prepare",
        "if not self._upgrade() or not self._partition(entry):",
        """
        if self.use_read_lock and vm_map_lock_upgrade(self.map):
            vm_map_lock(self.map)
        self.use_read_lock = False
        if not self._partition(entry):
        """,
        "INV-B1",
        "a lookup that lost its upgrade gives the entry another object than the one that it has by then",
        "first_touch",
    ),
    Mutant(
        "COW-05a",
        f"{_MODULE}.lookup:_Lookup._prepare",
        "if not self._upgrade():",
        "if False:",
        "INV-M14",
        "two lookups shadow one entry with the map locked shared, and one copy is lost",
        "first_touch",
    ),
    Mutant(
        "BL-02",
        f"{_MODULE}.shadow:_put_in_front",
        "vm_map_backing_detach(entry, entry.ba)",
        "pass",
        "INV-B1",
        "the head stays on the list of the object that is no longer its own",
        "first_touch",
    ),
    Mutant(
        "BL-05",
        f"{_MODULE}.shadow:_is_shared",
        "or source.ref_count.load() != 1",
        "or source.ref_count.load() > 2",
        "INV-D2",
        "an object that one other refers to is taken for private, and is written to",
        "first_touch",
    ),
    # -- stacks
    Mutant(
        "INS-18",
        f"{_MODULE}.stack:vm_map_growstack",
        "return KERN_FAILURE",
        "pass",
        "INV-M13",
        "who looks into another process makes its stack grow, by his own limits",
        "stack_of_another",
    ),
    Mutant(
        "INS-19",
        f"{_MODULE}.stack:_Growth._upgrade",
        "return not vm_map_lock_upgrade(self._map)",
        """
        if vm_map_lock_upgrade(self._map):
            vm_map_lock(self._map)
        return True
        """,
        "INV-M13",
        "a thread that lost its upgrade goes on with what it knew of the stack before another has grown it",
        "growing_together",
    ),
    # -- interlocks
    Mutant(
        "TRN-19",
        f"{_MODULE}.interlock:vm_map_interlock",
        """
        scan.flags |= ILOCK_WAITING
        ssleep(map.vm.machine, scan, map.ilock_spin, 0, "ilock", 0)
        """,
        """
        map.ilock_spin.release()
        scan.publish("flags", ILOCK_WAITING)
        map.vm.machine.tsleep(scan, 0, "ilock", 0)
        map.ilock_spin.acquire()
        """,
        "INV-M11",
        "the range is given back before the waiter has said that it waits, and it is not woken",
        "interlocks_that_overlap",
    ),
    Mutant(
        "TRN-19b",
        f"{_MODULE}.interlock:vm_map_interlock",
        """
        ssleep(map.vm.machine, scan, map.ilock_spin, 0, "ilock", 0)
        scan = map.ilock_base
        """,
        """
        ssleep(map.vm.machine, scan, map.ilock_spin, 0, "ilock", 0)
        scan = None
        """,
        "INV-M11",
        "a waiter takes its turn without a look at the interlocks that have come meanwhile",
        "interlocks_that_overlap",
    ),
    # -- wirings
    Mutant(
        "TRN-08",
        f"{_MODULE}.wiring:_take_back",
        "entry = CLIP_CHECK_BACK(map, entry, save_start)",
        "pass",
        "INV-M4",
        "an entry was cut while it was faulted in, and only its last piece is unwired after the failure",
        "mlocks_that_fail",
        mended_by=("protection-waits-for-transitions",),
    ),
)
