"""Raw operations on what a page holds, through the direct map.

Models: pmap_zero_page and pmap_copy_page of sys/platform/pc64/x86_64/pmap.c.
Locks: none, and no page need be mapped; the caller keeps others from the pages.
Deviations:
  * each is one visible operation, whatever the number of bytes.
  * a frame's number stands for its physical address; no pmap_zero_page_area, no pmap_copy_page_frag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def pmap_zero_page(vm: VmSystem, phys: int) -> None:
    """Make a page zero."""
    vm.memory.zero(phys)


def pmap_copy_page(vm: VmSystem, src: int, dst: int) -> None:
    """Copy a page."""
    vm.memory.copy(src, dst)
