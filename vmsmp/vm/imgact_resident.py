"""Resident programs: an address space that is kept, and copied for every process that runs the program.

Models: struct vmresident; exec_sys_register, exec_sys_unregister and exec_resident_imgact of
sys/kern/imgact_resident.c, as far as they are about address spaces.
A process registers what it is by then: a copy of its address space, which nobody runs in.
Locks: exec_list_lock protects the list and each vnode's v_resident.  Registering holds it exclusively while
it copies the address space.  An exec counts itself in `vr_refs` with the lock shared, and copies without it.
Deviations:
  * an entry point, a system call table and privileges are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.errno import EEXIST, ENOENT
from vmsmp.vm.vm_map.exec import exec_new_vmspace
from vmsmp.vm.vm_map.fork import vmspace_fork
from vmsmp.vm.vm_map.vmspace import vmspace_rel

if TYPE_CHECKING:
    from vmsmp.sync.lockmgr.lock import LockmgrLock
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_meter.meter import Proc
    from vmsmp.vm.vnode import Vnode


class Vmresident:
    """struct vmresident: a resident program, of the file `vr_vnode`."""

    __slots__ = ("name", "vr_id", "vr_refs", "vr_vmspace", "vr_vnode")

    def __init__(self, vm: VmSystem, vnode: Vnode, id: int) -> None:
        self.name = f"vmresident[{id}]"
        self.vr_vnode = vnode
        self.vr_id = id
        self.vr_vmspace: Vmspace | None = None
        self.vr_refs = vm.machine.atomic(0, f"{self.name}.vr_refs")


class Residents:
    """The globals of imgact_resident.c."""

    def __init__(self, vm: VmSystem) -> None:
        self.exec_list_lock: LockmgrLock = vm.machine.lockmgr("vmres")
        #: In order of registration, under exec_list_lock; so is `exec_res_id`, which numbers them.
        self.exec_res_list: list[Vmresident] = []
        self.exec_res_id = 0

    def of(self, vnode: Vnode) -> Vmresident | None:
        """The vnode's v_resident.  Locks: exec_list_lock."""
        return next((one for one in self.exec_res_list if one.vr_vnode is vnode), None)


def exec_sys_register(p: Proc, text: Vnode) -> int:
    """Keep a copy of the process' address space for every exec of the same file; return an errno.

    Locks: takes exec_list_lock, and inside it what `vmspace_fork` takes.  Sleeps: for them.
    """
    vmspace: Vmspace = p.hint("p_vmspace")
    vm: VmSystem = vmspace.vm
    residents = vm.residents
    residents.exec_list_lock.acquire()
    if residents.of(text) is not None:
        residents.exec_list_lock.release()
        return EEXIST
    residents.exec_res_id += 1
    vmres = Vmresident(vm, text, residents.exec_res_id)
    vmres.vr_vmspace = vmspace_fork(vmspace, None, None)
    residents.exec_res_list.append(vmres)
    residents.exec_list_lock.release()
    return 0


def exec_sys_unregister(vm: VmSystem, id: int) -> int:
    """Forget the program of that id; return an errno.

    Locks: takes exec_list_lock.  Sleeps: for it, while somebody copies the program, and as `vmspace_rel`.
    """
    residents = vm.residents
    while True:
        residents.exec_list_lock.acquire()
        vmres = next((one for one in residents.exec_res_list if one.vr_id == id), None)
        if vmres is None:
            residents.exec_list_lock.release()
            return ENOENT
        if not vmres.vr_refs.load():
            break
        residents.exec_list_lock.release()
        vm.machine.tsleep(vmres.name, 0, "vmres", 1, overdue=lambda: None)
    residents.exec_res_list.remove(vmres)
    vmspace, vmres.vr_vmspace = vmres.vr_vmspace, None
    if vmspace is not None:
        vmspace_rel(vmspace)
    residents.exec_list_lock.release()
    return 0


def exec_resident_imgact(p: Proc, text: Vnode) -> int | None:
    """Run the file as a copy of its resident program; return a KERN_* code, or None if it is not resident.

    Locks: takes exec_list_lock shared.  Sleeps: for it, and as `exec_new_vmspace`.
    """
    vm: VmSystem = text.vm
    residents = vm.residents
    residents.exec_list_lock.acquire_shared()
    vmres = residents.of(text)
    if vmres is None:
        residents.exec_list_lock.release()
        return None
    vmres.vr_refs.fetchadd(1)
    residents.exec_list_lock.release()
    rv = exec_new_vmspace(p, vmres.vr_vmspace)
    vmres.vr_refs.fetchadd(-1)
    return rv
