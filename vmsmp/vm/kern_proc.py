"""What the kernel shares with a thread alone (/dev/lpmap), and how it is unmapped as the thread ends.

Models: lwp_userunmap of sys/kern/kern_proc.c; memuksmap of sys/kern/kern_memio.c as far as it lists where a
thread has mapped its page.
The mappings are unmapped one by one, from the map that the process has by then, until none is listed.
Locks: the list changes under the lock of a map that a listed entry is in; lwp_userunmap takes its token.
Deviations:
  * the page itself is left out, and the spinlock of the list, which no two CPUs use at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.sync.errno import EINVAL
from vmsmp.vm.vm_map.delete import vm_map_remove
from vmsmp.vm.vm_map.flags import LPMAP, UKSMAPOP_ADD, UKSMAPOP_FAULT

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapBacking
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_meter.meter import Lwp


def memuksmap(ba: VmMapBacking, op: int, dev: Any, _fake: Any) -> int:
    """Put a mapping of a thread's page on the thread's list, or take it off; return an errno.

    Locks: the map exclusively.
    """
    lp: Lwp | None = ba.aux_info
    if dev.minor != LPMAP or lp is None or op == UKSMAPOP_FAULT:
        return EINVAL
    if op == UKSMAPOP_ADD:
        lp.lwp_lpmap_backing_list.append(ba)
    else:
        lp.lwp_lpmap_backing_list.remove(ba)
    return 0


def lwp_userunmap(lp: Lwp) -> None:
    """Unmap the thread's page wherever it is mapped.

    Locks: takes the token of the process' map, and its lock.  Sleeps: as `vm_map_remove`.
    """
    while lp.lwp_lpmap_backing_list:
        ba = lp.lwp_lpmap_backing_list[0]
        map: VmMap = lp.lwp_proc.hint("p_vmspace").vm_map
        map.token.acquire()
        vm_map_remove(map, ba.hint("start"), ba.hint("end"))
        map.token.release()
