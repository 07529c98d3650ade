"""The sysctls of pages and contiguous memory.

Models: the SYSCTLs of sys/vm/vm_page.c.
Locks: none; numbers are read and written as they are.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.vm.sysctl import Sysctl

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem


def _dma_reserved(vm: VmSystem) -> int:
    reserve = vm.page.reserve
    return reserve.vm_dma_reserved if reserve is not None else 0


def _dma_free_pages(vm: VmSystem) -> int:
    reserve = vm.page.reserve
    free: int = reserve.vm_contig_alist.peek("bl_free") if reserve is not None else 0
    return free


def _set_hash_vnode_only(vm: VmSystem, value: int) -> None:
    vm.page.vm_page_hash_vnode_only = value


SYSCTLS: Final = (
    Sysctl("vm.dma_reserved", "memory reserved for DMA, in bytes", _dma_reserved),
    Sysctl("vm.dma_free_pages", "low pages that are free for DMA", _dma_free_pages),
    Sysctl(
        "vm.page_hash_vnode_only",
        "only pages of vnodes are entered into the page hash",
        lambda vm: vm.page.vm_page_hash_vnode_only,
        _set_hash_vnode_only,
    ),
)
