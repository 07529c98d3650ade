"""Contiguous memory from the low pages, and the return of low pages that are not kept.

Models: vm_contig_avail_pages, vm_page_alloc_contig, vm_page_free_contig and vm_page_startup_finish of
sys/vm/vm_page.c.
Locks: vm_contig_spin around the alist.  A low page is wired, fictitious and on no queue while the alist or a
driver has it, so that no other lock is needed for it.
Deviations:
  * a memory attribute is stored with the page and has no effect.
  * failed requests are not reported on the console (vm_contig_verbose).
  * vm_page_startup_finish runs when the program calls it; set_assoc_mask and the page hash exist from the
    boot on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.pmap.contents import pmap_page_set_memattr
from vmsmp.vm.subr_alist import ALIST_BLOCK_NONE, alist_alloc, alist_free, alist_free_info
from vmsmp.vm.vm_page.busy import vm_page_busy_wait, vm_page_flag_clear
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_FICTITIOUS, PG_UNQUEUED
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_unwire
from vmsmp.vm.vm_page.page import VM_PAGE_TO_PHYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage
    from vmsmp.vm.vm_page.reserve import DmaReserve

VM_MEMATTR_DEFAULT: Final = 0


def vm_contig_avail_pages(vm: VmSystem) -> int:
    """Return how many low pages are free.  Locks: takes vm_contig_spin."""
    reserve = vm.page.reserve
    if reserve is None:
        return 0
    reserve.vm_contig_spin.acquire()
    bfree, _, _ = alist_free_info(reserve.vm_contig_alist)
    reserve.vm_contig_spin.release()
    return bfree


def vm_page_alloc_contig(
    vm: VmSystem,
    low: int,
    high: int,
    alignment: int,
    boundary: int,
    size: int,
    memattr: int = VM_MEMATTR_DEFAULT,
) -> VmPage | None:
    """Allocate `size` bytes of low memory below `high`; return the first page, or None.

    The run is aligned to its size, rounded up to a power of two; `low`, `alignment` and `boundary` are not
    looked at.  The pages are wired, fictitious, in no object and not busied.
    `memattr` is set unless it is the default; a page may have another one from its last owner.
    Locks: takes vm_contig_spin.  Sleeps: never.
    """
    del low, alignment, boundary
    reserve = vm.page.reserve
    if reserve is None:
        return None
    pages = -(-size // PAGE_SIZE)
    spin, bl = reserve.vm_contig_spin, reserve.vm_contig_alist
    spin.acquire()
    blk = alist_alloc(bl, 0, pages)
    if blk == ALIST_BLOCK_NONE:
        spin.release()
        return None
    if high and (blk + pages) * PAGE_SIZE > high:
        alist_free(bl, blk, pages)
        spin.release()
        return None
    run = vm.page.vm_page_array[blk : blk + pages]
    _tell(vm, vm.hooks.allocated, run)
    spin.release()
    if memattr != VM_MEMATTR_DEFAULT:
        for m in run:
            if not m.flags.bits(PG_FICTITIOUS):
                vm.panic("vm_page_alloc_contig: page is not fictitious")
            pmap_page_set_memattr(m, memattr)
    return run[0]


def vm_page_free_contig(m: VmPage, size: int) -> None:
    """Free `size` bytes that begin with page `m`: low pages to the alist, others one by one.

    Locks: none; takes vm_contig_spin, or busies each page.  Sleeps: while a page that is not low is busied.
    """
    vm = m.vm
    reserve = vm.page.reserve
    pages = -(-size // PAGE_SIZE)
    run = vm.page.vm_page_array[m.phys : m.phys + pages]
    low = reserve.vm_low_phys_reserved.load() if reserve is not None else 0
    if reserve is None or VM_PAGE_TO_PHYS(m) >= low:
        _free_each(run)
        return
    if m.wire_count.load() != 1 or not m.flags.bits(PG_FICTITIOUS):
        vm.panic("vm_page_free_contig: low page is not wired once or not fictitious")
    if VM_PAGE_TO_PHYS(m) + size > reserve.vm_low_phys_reserved.load():
        vm.panic("vm_page_free_contig: run ends above the low pages")
    reserve.vm_contig_spin.acquire()
    _tell(vm, vm.hooks.freed, run)
    alist_free(reserve.vm_contig_alist, m.phys, pages)
    reserve.vm_contig_spin.release()


def _free_each(run: list[VmPage]) -> None:
    """Free pages that are above the bound of low pages now.  Sleeps: while one is busied."""
    for m in run:
        vm_page_busy_wait(m, False, "cpgfr")
        vm_page_unwire(m, False)
        if m.flags.peek() & PG_FICTITIOUS:
            _tell(m.vm, m.vm.hooks.freed, [m])  # it stays as it is, and is nobody's from here on
        vm_page_free(m)


def vm_page_startup_finish(vm: VmSystem) -> None:
    """Return the low pages beyond vm_dma_reserved to the free queues.

    They are taken from the top, a power of two at a time.
    Locks: takes vm_contig_spin, and busies each page without it.
    """
    reserve = vm.page.reserve
    if reserve is None:
        return
    spin = reserve.vm_contig_spin
    spin.acquire()
    while True:
        bfree, blk, count = alist_free_info(reserve.vm_contig_alist)
        excess = bfree - reserve.vm_dma_reserved // PAGE_SIZE
        if excess <= 0 or not count:
            break
        blk, count = _upper_part(blk, count, min(count, excess))
        got = alist_alloc(reserve.vm_contig_alist, blk, count)
        if got != blk:
            vm.kprintf(f"vm_page_startup_finish: alist_alloc({blk}, {count}) answered {got}")
            break
        _tell(vm, vm.hooks.allocated, vm.page.vm_page_array[blk : blk + count])
        vm.meter.vmstats.v_dma_pages -= count
        spin.release()
        _give_back(vm, reserve, blk, count)
        spin.acquire()
    used = vm.meter.vmstats.v_dma_pages - bfree
    spin.release()
    vm.kprintf(f"DMA space used: {_kilobytes(used)}k, remaining available: {_kilobytes(bfree)}k")


def _kilobytes(pages: int) -> int:
    return pages * PAGE_SIZE // 1024


def _upper_part(blk: int, count: int, most: int) -> tuple[int, int]:
    """Return the upper part of a run, of the largest power of two of pages up to `most`."""
    kept = 1 << most.bit_length() - 1
    return blk + count - kept, kept


def _give_back(vm: VmSystem, reserve: DmaReserve, blk: int, count: int) -> None:
    """Turn low pages that were allocated from the alist into free pages.  Sleeps: while one is busied."""
    reserve.vm_low_phys_reserved.store(blk * PAGE_SIZE)
    for m in vm.page.vm_page_array[blk : blk + count]:
        vm_page_flag_clear(m, PG_FICTITIOUS | PG_UNQUEUED)
        vm_page_busy_wait(m, False, "pgspn")
        vm_page_unwire(m, False)
        vm_page_free(m)


def _tell(vm: VmSystem, hooks: tuple[Callable[..., None], ...], run: list[VmPage]) -> None:
    """Tell checkers that pages were allocated, or are about to be freed."""
    for hook in hooks:
        for m in run:
            hook(vm.engine.current, m)
