"""Raw operations on what a page holds, through the direct map.

Models: pmap_page_set_memattr, pmap_zero_page, pmap_zero_page_area and pmap_copy_page of
sys/platform/pc64/x86_64/pmap.c.
Locks: none, and no page need be mapped; the caller keeps others away from the pages.
Deviations:
  * each is one visible operation, whatever the number of bytes.
  * a memory attribute is stored, and has no effect.
  * a frame's number stands for its physical address; no pmap_copy_page_frag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.mmu.entry import DEV_BSHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def pmap_page_set_memattr(m: VmPage, ma: int) -> None:
    """Say how processors are to cache the page from now on.  Locks: the page is the caller's."""
    m.pat_mode = ma


def pmap_zero_page(vm: VmSystem, phys: int) -> None:
    """Make a page zero."""
    vm.memory.zero(phys)


def pmap_zero_page_area(vm: VmSystem, phys: int, off: int, size: int) -> None:
    """Make a part of a page zero; whole blocks of DEV_BSIZE.  What is behind the page is another's."""
    if off + size > PAGE_SIZE:
        vm.panic("pmap_zero_page_area: behind the page")
    vm.memory.zero_pieces(phys, off >> DEV_BSHIFT, size >> DEV_BSHIFT)


def pmap_copy_page(vm: VmSystem, src: int, dst: int) -> None:
    """Copy a page."""
    vm.memory.copy(src, dst)
