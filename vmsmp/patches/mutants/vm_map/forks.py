"""Mutants of how address spaces are copied, and of the chains that copies leave behind.

Some sites have none.  COW-01b is a guard of the pmap, and COW-11, COW-12 and COW-18 are guards of vm_fault.c.
A chain that is cut below an object that others see, and not below one of the entry's own, leaves them what
they had: the pages that are brought there are the same.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_FORK = "vmsmp.vm.vm_map.fork"

MUTANTS = (
    Mutant(
        "COW-01a",
        f"{_FORK}:vm_map_copy_entry",
        "pmap_protect(src_map.pmap, src.ba.start, src.ba.end, src.protection & ~VM_PROT_WRITE)",
        "pass",
        "INV-C3",
        "the parent goes on writing to the pages that its child sees",
        "fork_among_stores",
    ),
    Mutant(
        "COW-01c",
        f"{_FORK}:vmspace_fork",
        "vm_map_lock(old)",
        """
        pmap_protect(old.pmap, old.min_addr, old.max_addr, ~VM_PROT_WRITE)
        vm_map_lock(old)
        """,
        "INV-C3",
        "what was made read-only before the map was locked is writeable again when it is copied",
        "fork_among_stores",
        also=(
            Edit(
                f"{_FORK}:vm_map_copy_entry",
                "pmap_protect(src_map.pmap, src.ba.start, src.ba.end, src.protection & ~VM_PROT_WRITE)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "COW-02",
        f"{_FORK}:vm_map_copy_entry",
        "if not src.eflags & MAP_ENTRY_NEEDS_COPY:",
        "if not src.eflags & MAP_ENTRY_COW:",
        "INV-C3",
        "memory that was copied once and is the parent's own is not made read-only at the next fork",
        "fork_among_stores",
    ),
    Mutant(
        "COW-03a",
        f"{_FORK}:vm_map_copy_entry",
        "src.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY",
        "pass",
        "INV-C3",
        "the parent writes to the object that it shares with its child",
        "parent_child_grandchild",
    ),
    Mutant(
        "COW-03b",
        f"{_FORK}:vm_map_copy_entry",
        "dst.eflags |= MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY",
        "pass",
        "INV-C3",
        "the child writes to the object that it shares with its parent",
        "parent_child_grandchild",
        mended_by=("fork-copies-what-others-share",),
    ),
    Mutant(
        "COW-14",
        f"{_FORK}:vm_map_copy_entry",
        "if src.wired_count:",
        "if False:",
        "INV-C3",
        "memory that is wired is marked to be copied, and what was locked faults",
        "wired_memory_of_forks",
    ),
    Mutant(
        "COW-16a",
        f"{_FORK}:_share_entry",
        "vm_map_entry_shadow(entry)",
        "pass",
        "INV-C4",
        "parent and child each copy what they were to share",
        "shared_memory_of_forks",
    ),
    Mutant(
        "COW-16b",
        f"{_FORK}:_share_entry",
        "vm_map_entry_allocate_object(entry)",
        "pass",
        "INV-C4",
        "parent and child each get an object of their own for what they were to share",
        "shared_memory_of_forks",
    ),
    Mutant(
        "COW-17",
        "vmsmp.vm.vm_map.backing:vm_map_backing_replicated",
        """
        nba = new_backing(map)
        copy_backing(nba, ba.backing_ba)
        """,
        "nba = ba.backing_ba",
        "INV-B1",
        "two entries share the elements of a chain, which are attached for both",
        "shared_memory_of_forks",
    ),
    Mutant(
        "COW-22",
        f"{_FORK}:_collapse",
        "if vm_fault_collapse(old, entry) == KERN_SUCCESS:",
        "if True:",
        "INV-C3",
        "a chain is cut, and its pages are not brought into the first object before",
        "chains_that_are_cut",
    ),
)
