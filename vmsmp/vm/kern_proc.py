"""What the kernel shares with a process (/dev/upmap) or a thread alone (/dev/lpmap), and how that ends.

Models: proc_usermap, proc_userunmap and lwp_userunmap of sys/kern/kern_proc.c; memuksmap of
sys/kern/kern_memio.c as far as it is about these pages, with user_kernel_mapping for that of a process.
The page of a process is allocated when it is faulted in first, and freed when the process runs another
program.  The mappings of a thread's page are unmapped one by one, from the map that the process has by then,
until none is listed.
Locks: the list changes under the lock of a map that a listed entry is in; lwp_userunmap takes its token.
Deviations:
  * the page of a thread is left out, and the spinlock of the list, which no two CPUs use at once;
  * the page of a process is of a size that the slab allocator gives directly; what is in it is left out;
  * no p_token: that a process has its page is noted in one step; and no children by vfork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.sync.errno import EINVAL
from vmsmp.vm.kern_slaballoc import kmem_slab_alloc, kmem_slab_free
from vmsmp.vm.pmap.kernel import pmap_kextract
from vmsmp.vm.vm_map.delete import vm_map_remove
from vmsmp.vm.vm_map.flags import LPMAP, M_WAITOK, M_ZERO, PAGE_SHIFT, UKSMAPOP_ADD, UKSMAPOP_FAULT, UPMAP
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapBacking
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_meter.meter import Lwp, Proc


def memuksmap(ba: VmMapBacking, op: int, dev: Any, fake: Any) -> int:
    """Put a mapping of a thread's page on the thread's list, or take it off; or find a process' page.

    Returns: an errno.  Locks: the map, exclusively but for a fault.  Sleeps: as `proc_usermap`.
    """
    if op == UKSMAPOP_FAULT:
        return user_kernel_mapping(ba, dev.minor, fake)
    lp: Lwp | None = ba.aux_info
    if dev.minor != LPMAP or lp is None:
        return EINVAL
    if op == UKSMAPOP_ADD:
        lp.lwp_lpmap_backing_list.append(ba)
    else:
        lp.lwp_lpmap_backing_list.remove(ba)
    return 0


def user_kernel_mapping(ba: VmMapBacking, num: int, fake: Any) -> int:
    """Find the frame behind a mapping of a process' page; return an errno.  Sleeps: as `proc_usermap`."""
    p: Proc | None = ba.aux_info
    if num != UPMAP or p is None or fake.pindex:
        return EINVAL
    if not p.p_upmap:
        proc_usermap(p)
    fake.phys = pmap_kextract(p.vm, p.p_upmap) >> PAGE_SHIFT
    return 0


def proc_usermap(p: Proc) -> None:
    """Give the process its page, unless another thread has done so meanwhile.  Sleeps: for memory."""
    vm: VmSystem = p.vm
    upmap = kmem_slab_alloc(vm, PAGE_SIZE, PAGE_SIZE, M_WAITOK | M_ZERO)
    if not p.p_upmap:
        p.p_upmap = upmap
    else:
        kmem_slab_free(vm, upmap, PAGE_SIZE)


def proc_userunmap(p: Proc) -> None:
    """Free the page of the process, if it has one.  Sleeps: as `vm_map_remove`."""
    upmap, p.p_upmap = p.p_upmap, 0
    if upmap:
        kmem_slab_free(p.vm, upmap, PAGE_SIZE)


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
