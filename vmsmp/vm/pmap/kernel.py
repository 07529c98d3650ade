"""The kernel's own mappings, which are unmanaged: the page has no flag or count for them.

Models: pmap_kenter, pmap_kremove, pmap_qenter, pmap_qremove and their families, pmap_kextract,
pmap_invalidate_range and pmap_growkernel of sys/platform/pc64/x86_64/pmap.c.
Locks: none; addresses belong to whoever allocated them.  Growing needs the kernel's map exclusively.
Deviations:
  * no memory attributes, so no pmap_change_attr; no direct map.
  * there are no addresses of modules (above KERNBASE): the kernel's are one range.
  * the pages of new kernel tables are wired and left unbusied; the kernel keeps them busy for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import PAGE_SHIFT, PAGE_SIZE, PG_FRAME, PG_RW, PG_V, frame_of, index_of, make_entry
from vmsmp.mmu.memory import offset_of
from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap.bits import KERNEL_TABLE_BITS, NBPDR
from vmsmp.vm.pmap.contents import pmap_zero_page
from vmsmp.vm.pmap.entries import pmap_pte, vtopte
from vmsmp.vm.pmap.tables import new_table_page
from vmsmp.vm.pmap_inval.command import pmap_inval_smp
from vmsmp.vm.pmap_inval.intr import cpu_invlpg
from vmsmp.vm.vm_map.flags import VM_MAX_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.holding import vm_page_wire
from vmsmp.vm.vm_page.page import VM_PAGE_TO_PHYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def invlpg_here(vm: VmSystem, va: int) -> None:
    """cpu_invlpg: forget what translates the address on the running CPU only."""
    cpu_invlpg(curthread(vm.machine), va)


def pmap_invalidate_range(pmap: Pmap, sva: int, eva: int) -> None:
    """Have every CPU forget what translates the addresses.  Spins until they do."""
    pmap_inval_smp(pmap, sva, eva - sva >> PAGE_SHIFT, None, 0)


# -- one address ----------------------------------------------------------------------------------


def pmap_kenter(vm: VmSystem, va: int, pa: int) -> None:
    """Map an address of the kernel; all CPUs have forgotten what was there before."""
    pmap_inval_smp(vm.pmap.kernel_pmap, va, 1, vtopte(vm, va), pa | PG_RW | PG_V)


def pmap_kenter_quick(vm: VmSystem, va: int, pa: int) -> bool:
    """Map an address of the kernel; only this CPU forgets what was there before.  Return True."""
    vtopte(vm, va).swap(pa | PG_RW | PG_V)
    invlpg_here(vm, va)
    return True


def pmap_kenter_noinval(vm: VmSystem, va: int, pa: int) -> bool:
    """As `pmap_kenter_quick`."""
    return pmap_kenter_quick(vm, va, pa)


def pmap_kremove(vm: VmSystem, va: int) -> None:
    """Unmap an address of the kernel on all CPUs."""
    pmap_inval_smp(vm.pmap.kernel_pmap, va, 1, vtopte(vm, va), 0)


def pmap_kremove_quick(vm: VmSystem, va: int) -> None:
    """Unmap an address of the kernel; only this CPU forgets it."""
    vtopte(vm, va).swap(0)
    invlpg_here(vm, va)


def pmap_kremove_noinval(vm: VmSystem, va: int) -> None:
    """Unmap an address of the kernel; no CPU is told."""
    vtopte(vm, va).swap(0)


def pmap_kmodify_rw(vm: VmSystem, va: int) -> None:
    """Let the kernel write at an address; this CPU forgets that it could not."""
    vtopte(vm, va).setbits(PG_RW)
    invlpg_here(vm, va)


def pmap_kextract(vm: VmSystem, va: int) -> int:
    """The physical address behind an address of the kernel, 0 if there is none."""
    ptep = pmap_pte(vm.pmap.kernel_pmap, va)
    pte = 0 if ptep is None else ptep.load()
    return pte & PG_FRAME | offset_of(va) if pte & PG_V else 0


def pmap_kvtom(vm: VmSystem, va: int) -> VmPage:
    """The page that is mapped at an address of the kernel."""
    m: VmPage = vm.page.vm_page_array[frame_of(vtopte(vm, va).load())]
    return m


# -- several pages --------------------------------------------------------------------------------


def pmap_qenter(vm: VmSystem, va: int, pages: Sequence[VmPage]) -> None:
    """Map pages from an address of the kernel on; all CPUs forget what was there, once for all."""
    pmap_qenter_noinval(vm, va, pages)
    pmap_invalidate_range(vm.pmap.kernel_pmap, va, va + len(pages) * PAGE_SIZE)


def pmap_qenter_noinval(vm: VmSystem, va: int, pages: Sequence[VmPage]) -> None:
    """Map pages from an address of the kernel on; no CPU is told."""
    for n, m in enumerate(pages):
        vtopte(vm, va + n * PAGE_SIZE).swap(VM_PAGE_TO_PHYS(m) | PG_RW | PG_V)


def pmap_qremove(vm: VmSystem, va: int, count: int) -> None:
    """Unmap pages from an address of the kernel on; then all CPUs forget them, once for all."""
    pmap_qremove_quick(vm, va, count)
    pmap_invalidate_range(vm.pmap.kernel_pmap, va, va + count * PAGE_SIZE)


def pmap_qremove_quick(vm: VmSystem, va: int, count: int) -> None:
    """Unmap pages from an address of the kernel on; only this CPU forgets them."""
    for n in range(count):
        pmap_kremove_quick(vm, va + n * PAGE_SIZE)


def pmap_qremove_noinval(vm: VmSystem, va: int, count: int) -> None:
    """Unmap pages from an address of the kernel on; no CPU is told until others are mapped there."""
    for n in range(count):
        pmap_kremove_noinval(vm, va + n * PAGE_SIZE)


# -- the tables -----------------------------------------------------------------------------------


def pmap_growkernel(vm: VmSystem, kstart: int, kend: int) -> None:
    """Make page tables for a range of kernel addresses.  No flush is needed: absence is never cached.

    Locks: the kernel's map exclusively.  Panics if there is no memory.
    """
    pmaps = vm.pmap
    if not pmaps.kernel_vm_end:
        end = VM_MIN_KERNEL_ADDRESS
        while (table := _kernel_table(vm, end, 2)) >= 0 and vm.memory.word(table, index_of(end, 2)).load():
            end += NBPDR
        pmaps.kernel_vm_end = end
    address = min(kstart, pmaps.kernel_vm_end) & -NBPDR
    end = min(-(-kend // NBPDR) * NBPDR, VM_MAX_KERNEL_ADDRESS)
    while address < end:
        pd = _kernel_table(vm, address, 2)
        if pd < 0:
            pdp = vm.memory.word(_kernel_table(vm, address, 3), index_of(address, 3))
            pdp.swap(make_entry(_grow(vm), KERNEL_TABLE_BITS))
            continue
        entry = vm.memory.word(pd, index_of(address, 2))
        if not entry.load() & PG_V:
            entry.swap(make_entry(_grow(vm), KERNEL_TABLE_BITS))
        address += NBPDR
    pmaps.kernel_vm_end = max(pmaps.kernel_vm_end, end)


def _grow(vm: VmSystem) -> int:
    """Return the frame of a new table page of the kernel."""
    m = new_table_page(vm, 0)
    if m is None:
        vm.panic("pmap_growkernel: no memory to grow kernel")
    vm_page_wire(m)
    pmap_zero_page(vm, m.phys)
    vm_page_wakeup(m)
    return m.phys


def _kernel_table(vm: VmSystem, va: int, level: int) -> int:
    """The frame of the kernel's table of that level for an address, -1 if there is none."""
    table: int = vm.pmap.kernel_pmap.root
    for above in range(4, level, -1):
        entry = vm.memory.word(table, index_of(va, above)).load()
        if not entry & PG_V:
            return -1
        table = frame_of(entry)
    return table
