"""The bits of page table entries that the kernel sets, and the index spaces of page tables.

Models: the constants of sys/platform/pc64/include/pmap.h; pte_prot and the pindex functions of
sys/platform/pc64/x86_64/pmap.c.
The hardware's bits are those of `vmsmp.mmu.entry`.
Locks: none; constants, and functions of values.
Deviations:
  * one type of pmap (REGULAR_PMAP), so pmap_bits, protection_codes and pmap_cache_bits are constants.
  * an address is cut to the 48 bits that are translated, so that kernel addresses have indexes, too.
  * pmap_nx_enable is 1, as it is after the boot.
"""

from __future__ import annotations

from typing import Final

from vmsmp.mmu.entry import PAGE_SHIFT, PG_A, PG_M, PG_NX, PG_PCD, PG_PWT, PG_RW, PG_U, PG_V
from vmsmp.vm.vm_map.flags import VM_PROT_EXECUTE, VM_PROT_READ, VM_PROT_WRITE

#: Software: the mapping is wired; the page is in vm_page_array, so A and M are transferred to it.
PG_W: Final = 0x200
PG_MANAGED: Final = 0x400
#: Neither cached nor combined.
PG_N: Final = PG_PWT | PG_PCD
#: The bits that the entry of a table page has from the start; no CPU ever clears them.
TABLE_BITS: Final = PG_V | PG_RW | PG_A | PG_U | PG_M
#: The same for the kernel's.
KERNEL_TABLE_BITS: Final = PG_V | PG_RW | PG_A

NPTEPGSHIFT: Final = 9
NUPTE_TOTAL: Final = 1 << 4 * NPTEPGSHIFT
NUPT_TOTAL: Final = 1 << 3 * NPTEPGSHIFT
NUPD_TOTAL: Final = 1 << 2 * NPTEPGSHIFT
NUPDP_TOTAL: Final = 1 << NPTEPGSHIFT
#: Log2 of the bytes that a PT, a PD and a PDP page cover.
PDRSHIFT: Final = PAGE_SHIFT + NPTEPGSHIFT
PDPSHIFT: Final = PDRSHIFT + NPTEPGSHIFT
PML4SHIFT: Final = PDPSHIFT + NPTEPGSHIFT
NBPDR: Final = 1 << PDRSHIFT
NBPDP: Final = 1 << PDPSHIFT

#: Where the indexes of table pages begin, by zone; those of leaf entries begin at 0.
PT_BASE: Final = NUPTE_TOTAL
PD_BASE: Final = PT_BASE + NUPT_TOTAL
PDP_BASE: Final = PD_BASE + NUPD_TOTAL
PML4_BASE: Final = PDP_BASE + NUPDP_TOTAL

_ADDRESS: Final = (1 << PML4SHIFT + NPTEPGSHIFT) - 1


def pmap_pte_pindex(va: int) -> int:
    """The index of the leaf entry of an address."""
    return (va & _ADDRESS) >> PAGE_SHIFT


def pmap_pt_pindex(va: int) -> int:
    """The index of the page table page of an address."""
    return PT_BASE + ((va & _ADDRESS) >> PDRSHIFT)


def pmap_pd_pindex(va: int) -> int:
    """The index of the page directory of an address."""
    return PD_BASE + ((va & _ADDRESS) >> PDPSHIFT)


def pmap_pdp_pindex(va: int) -> int:
    """The index of the page directory pointer page of an address."""
    return PDP_BASE + ((va & _ADDRESS) >> PML4SHIFT)


def pmap_pml4_pindex() -> int:
    """The index of the top table."""
    return PML4_BASE


def parent_pindex(pindex: int) -> int | None:
    """The index of the table page whose entry names the one of that index; None for the top table."""
    if pindex >= PML4_BASE:
        return None
    if pindex >= PDP_BASE:
        return PML4_BASE
    if pindex >= PD_BASE:
        return PDP_BASE + (pindex - PD_BASE >> NPTEPGSHIFT)
    return PD_BASE + (pindex - PT_BASE >> NPTEPGSHIFT)


def entry_index(pindex: int) -> int:
    """Which entry of its parent names the table page of that index."""
    base = next(base for base in (PDP_BASE, PD_BASE, PT_BASE) if pindex >= base)
    return pindex - base & (1 << NPTEPGSHIFT) - 1


def zone_of(pindex: int) -> int:
    """The zone of placemarks of an index: 0 for leaf entries, then PT, PD, and PDP with the top table."""
    return sum(pindex >= base for base in (PT_BASE, PD_BASE, PDP_BASE))


def pte_prot(prot: int) -> int:
    """The bits of an entry that gives these rights.  To write without reading cannot be expressed."""
    execute = prot & VM_PROT_EXECUTE
    if prot & VM_PROT_WRITE:
        return PG_RW
    return PG_NX if prot & VM_PROT_READ and not execute else 0


def pindex_format(pindex: int) -> str:
    """An index as a report shows it: `pt[3]`."""
    for name, base in (("pml4", PML4_BASE), ("pdp", PDP_BASE), ("pd", PD_BASE), ("pt", PT_BASE)):
        if pindex >= base:
            return f"{name}[{pindex - base}]"
    return f"pte[{pindex:#x}]"
