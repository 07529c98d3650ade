"""The heap of a process, and its break.

Models: sys_sbrk and sys_obreak of sys/vm/vm_unix.c.
The end of the heap is read before the map is changed and stored after it.  The map's token is held
throughout, but is lost wherever the change has to wait.
Locks: the map's token for the sizes of the address space; inside it what vm_map_find takes.
Deviations:
  * the calls take the address space instead of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.errno import EINVAL, ENOMEM, EOPNOTSUPP
from vmsmp.vm.vm_map.find import vm_map_find
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    MAP_WIREFUTURE,
    PAGE_MASK,
    PAGE_SHIFT,
    VM_MAX_USER_ADDRESS,
    VM_PROT_ALL,
    VM_SUBSYS_BRK,
    round_page,
)
from vmsmp.vm.vm_map.insert import Mapping
from vmsmp.vm.vm_map.wiring import vm_map_kernel_wiring
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.vmspace import Vmspace


def sys_sbrk(vmspace: Vmspace, incr: int) -> tuple[int, int]:
    """Extend the heap by `incr` bytes; return an errno, and the address of the first.

    Bytes that fit in the last page of the heap need no mapping; for others, pages are mapped behind it.
    Locks: takes the map's token.  Sleeps: as vm_map_find and vm_map_kernel_wiring.
    """
    vmspace.vm_map.token.acquire()
    answer = _sbrk(vmspace, incr)
    vmspace.vm_map.token.release()
    return answer


def _sbrk(vmspace: Vmspace, incr: int) -> tuple[int, int]:
    map = vmspace.vm_map
    base = round_page(vmspace.vm_daddr) + vmspace.vm_dsize
    if incr == 0:
        return 0, base
    limit = map.vm.mycpu().proc.hint("rlim_data")
    base_end = base + incr
    if incr < 0 or base_end >= VM_MAX_USER_ADDRESS or base_end - vmspace.vm_daddr > limit:
        return ENOMEM, 0
    if base & PAGE_MASK and base >> PAGE_SHIFT == base_end - 1 >> PAGE_SHIFT:
        vmspace.vm_dsize += incr
        return 0, base
    nbase = round_page(base)
    if not _map(vmspace, nbase, round_page(incr)):
        return ENOMEM, 0
    if map.hint("flags") & MAP_WIREFUTURE:
        vm_map_kernel_wiring(map, base, nbase + round_page(incr), 0)
    vmspace.vm_dsize = max(vmspace.vm_dsize, nbase + incr - round_page(vmspace.vm_daddr))
    return 0, nbase


def sys_obreak(vmspace: Vmspace, nsize: int) -> int:
    """Extend the heap up to address `nsize`; return an errno.  It never shrinks.

    Locks: takes the map's token.  Sleeps: as `sys_sbrk`.
    """
    vmspace.vm_map.token.acquire()
    error = _obreak(vmspace, nsize)
    vmspace.vm_map.token.release()
    return error


def _obreak(vmspace: Vmspace, nsize: int) -> int:
    map = vmspace.vm_map
    proc = map.vm.mycpu().proc
    base = round_page(vmspace.vm_daddr)
    new = round_page(nsize)
    old = base + round_page(vmspace.vm_dsize)
    if new < base:
        return EINVAL
    if new > old and new - base > proc.hint("rlim_data"):
        return ENOMEM
    if new >= VM_MAX_USER_ADDRESS:
        return ENOMEM
    if new < old:
        return EOPNOTSUPP
    diff = new - old
    if diff:
        if map.hint("size") + diff > proc.hint("rlim_vmem") or not _map(vmspace, old, diff):
            return ENOMEM
        if map.hint("flags") & MAP_WIREFUTURE:
            vm_map_kernel_wiring(map, old, new, 0)
        vmspace.vm_dsize += diff
    return 0


def _map(vmspace: Vmspace, at: int, size: int) -> bool:
    """Map new pages of the heap; return whether there was room for them."""
    what = Mapping(id=VM_SUBSYS_BRK, prot=VM_PROT_ALL, max=VM_PROT_ALL)
    return vm_map_find(vmspace.vm_map, at, size, PAGE_SIZE, False, what)[0] == KERN_SUCCESS
