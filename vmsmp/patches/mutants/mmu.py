"""Mutants of the hardware and of the textbook's TLB shootdown."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_SHOOTDOWN = "vmsmp.mmu.shootdown"
_SPACE = "vmsmp.mmu.space:AddressSpace"

MUTANTS = (
    Mutant(
        "TB-01",
        f"{_SHOOTDOWN}:unmap",
        "shoot_down(space, va)",
        "",
        "INV-T1",
        "nobody flushes, and a CPU goes on with the entry that it has cached",
        "shootdown_then_reuse",
    ),
    Mutant(
        "TB-02",
        f"{_SHOOTDOWN}:unmap",
        """
        old = word.swap(0)
        shoot_down(space, va)
        """,
        """
        shoot_down(space, va)
        old = word.swap(0)
        """,
        "INV-T1",
        "all CPUs flush before the tables change, and one caches the old entry once more in between",
        "shootdown_then_reuse",
    ),
    Mutant(
        "TB-03",
        f"{_SHOOTDOWN}:shoot_down",
        "lwkt_wait_ipiq(space.mmu.machine, other, number)",
        "pass",
        "INV-T1",
        "the frame goes to somebody else before a CPU that was told to flush has answered",
        "shootdown_then_reuse",
    ),
    Mutant(
        "TB-04",
        f"{_SHOOTDOWN}:protect",
        "shoot_down(space, va)",
        "",
        "INV-T1",
        "a page is made read-only, and a CPU still stores by the entry that it has cached",
        "shootdown_then_copy",
    ),
    Mutant(
        "TB-05",
        f"{_SHOOTDOWN}:protect",
        "word.clearbits(bits) & bits",
        "(old := word.load()) & bits and not word.store(old & ~bits)",
        "INV-R7",
        "a right is taken away by a plain store, which takes the M along that a walk has set meanwhile",
        "bits_set_by_walks_are_kept",
    ),
    Mutant(
        "TB-06",
        f"{_SPACE}.activate",
        """
        self.active.setbits(bit)
        unit.load_cr3(self.cr3)
        """,
        """
        unit.load_cr3(self.cr3)
        self.active.setbits(bit)
        """,
        "INV-T1",
        "a CPU uses an address space, or walks it of its own accord, before shootdowns know of it",
        "shootdown_of_what_nobody_asked_for",
    ),
    Mutant(
        "TB-07",
        f"{_SPACE}.activate",
        "unit.load_cr3(self.cr3)",
        "unit.load_cr3(self.cr3 | 1 << 63)",
        "INV-T1",
        "a CPU comes back to an address space and keeps what it had cached, and missed a shootdown meanwhile",
        "address_spaces_in_turn",
    ),
    Mutant(
        "TB-08",
        "vmsmp.mmu.unit:Unit._mark",
        """
        if not word.cmpset(step.value, step.value | wanted):
            return False
        """,
        """
        word.store(step.value | wanted)
        """,
        "INV-R7",
        "a walk sets A by a plain store, which gives a right back that was taken away meanwhile",
        "shootdown_then_copy",
    ),
    Mutant(
        "TB-09",
        f"{_SHOOTDOWN}:shoot_down",
        "invalidate(space, td.cpu.mmu, va, npages)",
        "pass",
        "INV-T1",
        "whoever changes the tables tells all other CPUs, and goes on with what it has cached itself",
        "shootdowns_cross",
    ),
)
