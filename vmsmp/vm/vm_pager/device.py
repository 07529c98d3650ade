"""Objects of devices, which are found by a handle, and the fictitious pages of a device's memory.

Models: vm_pager_object_lookup of sys/vm/vm_pager.c; cdev_pager_allocate, cdev_pager_lookup, dev_pager_alloc,
dev_pager_getpage, dev_pager_dealloc, dev_pager_getfake, dev_pager_putfake and the old_dev_pager functions of
sys/vm/device_pager.c; dev_dmmap of sys/kern/kern_device.c.
The pager frees the page that a fault has allocated, and inserts a fictitious one of the device's memory in
its place; the fault looks that up.  The caller's pointer is not changed, so a caller that goes on with it
uses a page that is free, or has another owner.
Locks: the list and a handle's object are protected by dev_pager_mtx, which is held during a wait for the
object's token; an object's fictitious pages by its token.
Deviations:
  * an object that is allocated without functions (`ops`) has no pages.
  * no device manages pages of its own (OBJT_MGTDEVICE), so none takes pages back.
  * the driver returns a frame number, or -1 for an error; the kernel makes an address of that before it
    asserts that it is not -1, so the assertion always holds, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from vmsmp.sync.errno import EINVAL
from vmsmp.vm.vm_map.flags import PAGE_SHIFT, VM_PROT_READ
from vmsmp.vm.vm_object.allocate import vm_object_allocate_hold
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJT_DEVICE
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vm_page.fake import vm_page_getfake, vm_page_putfake
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.residency import vm_page_insert
from vmsmp.vm.vm_pager.result import VM_PAGER_OK

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


#: The numbers of frames that fit in an entry of a page table.
_FRAMES: Final = (1 << 40) - 1


class Cdev(Protocol):
    """cdev_t: a device.  `si_object` is the object of its memory, if there is one."""

    si_object: VmObject | None

    def d_mmap(self, offset: int, prot: int) -> int:
        """Return the number of the frame at that byte, or -1 if it may not be mapped so."""


class CdevPagerOps(NamedTuple):
    """struct cdev_pager_ops: the functions that give a page of the device, and begin and end its object."""

    cdev_pg_fault: Callable[[VmObject, int, int, VmPage], int]
    cdev_pg_ctor: Callable[[VmSystem, Any, int, int, int], int]
    cdev_pg_dtor: Callable[[VmSystem, Any], None]


class Devp:
    """The device's part of an object: its fictitious pages, in order of allocation, and the device."""

    __slots__ = ("dev", "devp_pglist", "ops")

    def __init__(self, ops: CdevPagerOps, dev: Any) -> None:
        self.ops = ops
        self.dev = dev
        self.devp_pglist: list[VmPage] = []


def vm_pager_object_lookup(pg_list: list[VmObject], handle: Any) -> VmObject | None:
    """Return the object of that handle with another reference, or None; skip dead ones.

    Locks: the list's, by the caller.  Sleeps: for the object's token.
    """
    for obj in [*pg_list]:
        if obj.peek("handle") == handle:
            vm_object_hold(obj)
            if not obj.flags.bits(OBJ_DEAD):
                vm_object_reference_locked(obj)
                vm_object_drop(obj)
                return obj
            vm_object_drop(obj)
    return None


def cdev_pager_lookup(vm: VmSystem, handle: Any) -> VmObject | None:
    """Return the object of that handle with another reference, or None.

    Sleeps: for the mutex and the token.
    """
    pager = vm.pager
    pager.dev_pager_mtx.lock()
    obj = vm_pager_object_lookup(pager.dev_pager_object_list, handle)
    pager.dev_pager_mtx.unlock()
    return obj


def cdev_pager_allocate(
    vm: VmSystem, handle: Any, size: int, ops: CdevPagerOps | None = None, prot: int = 0, foff: int = 0
) -> VmObject | None:
    """Return the object of that handle with another reference; make it if there is none, or return None.

    The range is of `size` pages from byte `foff` on.  An object that exists gets two references, as in the
    kernel, and grows to the end of the range if it has fewer pages.
    Sleeps: for the device, the mutex and the token.
    """
    pager = vm.pager
    if ops is not None and ops.cdev_pg_ctor(vm, handle, size, prot, foff):
        return None
    end = (foff >> PAGE_SHIFT) + size
    pager.dev_pager_mtx.lock()
    obj = vm_pager_object_lookup(pager.dev_pager_object_list, handle)
    if obj is None:
        obj = vm_object_allocate_hold(vm, end, objt=OBJT_DEVICE)
        obj.publish("handle", handle)
        if ops is not None:
            obj.devp = Devp(ops, handle)
        if ops is old_dev_pager_ops:
            handle.si_object = obj
        pager.dev_pager_object_list.append(obj)
        vm_object_drop(obj)
    else:
        vm_object_hold(obj)
        vm_object_reference_locked(obj)
        if end > obj.size:
            obj.publish("size", end)
        vm_object_drop(obj)
    pager.dev_pager_mtx.unlock()
    return obj


def dev_pager_alloc(vm: VmSystem, dev: Cdev, size: int, prot: int, foff: int = 0) -> VmObject | None:
    """Return the object of a device with the function d_mmap, or None if that refuses the range.

    Sleeps: as `cdev_pager_allocate`.
    """
    return cdev_pager_allocate(vm, dev, size, old_dev_pager_ops, prot, foff)


def dev_pager_dealloc(obj: VmObject) -> None:
    """Take the object off the list, and free its fictitious pages.

    Locks: takes the mutex.  Sleeps: for it, and in the device's function.
    """
    vm: VmSystem = obj.vm
    pager = vm.pager
    devp: Devp | None = obj.devp
    if devp is not None:
        devp.ops.cdev_pg_dtor(vm, devp.dev)
    pager.dev_pager_mtx.lock()
    if obj not in pager.dev_pager_object_list:
        vm.panic("dev_pager_dealloc: TAILQ_REMOVE of an object that is not on the list")
    pager.dev_pager_object_list.remove(obj)
    pager.dev_pager_mtx.unlock()
    while devp is not None and devp.devp_pglist:
        vm_page_putfake(devp.devp_pglist.pop(0))


def dev_pager_getpage(obj: VmObject, m: VmPage, _seqaccess: int) -> int:
    """Get a page of the device; return VM_PAGER_*.  Locks: the page hard-busied.  Sleeps: as the device."""
    vm: VmSystem = obj.vm
    devp: Devp | None = obj.devp
    if devp is None:
        vm.panic("dev_pager_getpage: no device")
    return devp.ops.cdev_pg_fault(obj, m.pindex << PAGE_SHIFT, VM_PROT_READ, m)


# -- devices that map frames (d_mmap) ---------------------------------------------------------------


def dev_dmmap(vm: VmSystem, dev: Cdev, offset: int, prot: int) -> int:
    """Return the frame of the device's memory at that offset, or -1.  Sleeps: as the driver does."""
    vm.pause_tokens("d_mmap")
    return dev.d_mmap(offset, prot)


def old_dev_pager_ctor(vm: VmSystem, dev: Cdev, size: int, prot: int, foff: int) -> int:
    """Return 0 if the device maps all of a range for that access, else EINVAL.  It is not asked again."""
    for page in range(size):
        if dev_dmmap(vm, dev, foff + (page << PAGE_SHIFT), prot) == -1:
            return EINVAL
    return 0


def old_dev_pager_dtor(vm: VmSystem, dev: Cdev | None) -> None:
    """Clear the device's pointer to its object."""
    if dev is not None:
        if dev.si_object is None:
            vm.panic("old_dev_pager_dtor: the device has no object")
        dev.si_object = None


def old_dev_pager_fault(obj: VmObject, offset: int, prot: int, page: VmPage) -> int:
    """Replace the page that a fault has allocated by a fictitious one of the device's memory.

    If the page is fictitious already, its frame is updated, and it becomes valid again.  A device's failure
    is not noticed.
    Locks: the page hard-busied, as the new one is on return, and the object's token, which is lost.
    Sleeps: in the driver, and for memory.
    """
    vm: VmSystem = obj.vm
    devp: Devp = obj.devp
    pindex = page.pindex
    frame = dev_dmmap(vm, devp.dev, offset, prot) & _FRAMES
    if obj.type != OBJT_DEVICE:
        vm.panic("dev_pager_getpage: not a device's object")
    if page.flags.bits(PG_FICTITIOUS):
        page.phys = frame
        page.publish("valid", VM_PAGE_BITS_ALL)
        return VM_PAGER_OK
    vm.pause_tokens("kmalloc")
    new = vm_page_getfake(vm, frame)
    vm_object_hold(obj)
    devp.devp_pglist.append(new)
    vm_page_free(page)
    if not vm_page_insert(new, obj, pindex):
        vm.panic("dev_pager_getpage: page exists")
    vm_object_drop(obj)
    return VM_PAGER_OK


old_dev_pager_ops: Final = CdevPagerOps(old_dev_pager_fault, old_dev_pager_ctor, old_dev_pager_dtor)
