"""Memory for the kernel's slab allocator: wired pages, mapped without a fault.

Models: kmem_slab_alloc and kmem_slab_free of sys/kern/kern_slaballoc.c.
Locks: the kernel's map exclusively until the range is inserted and marked wired; the token of the kernel's
object while pages are allocated.  The pages stay hard-busied until they are mapped.
Deviations:
  * no thread is preempted, so a caller with M_WAITOK always waits for memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.enter import pmap_enter
from vmsmp.vm.vm_map.delete import vm_map_delete, vm_map_remove
from vmsmp.vm.vm_map.find import vm_map_findspace
from vmsmp.vm.vm_map.flags import (
    M_NOWAIT,
    M_NULLOK,
    M_USE_INTERRUPT_RESERVE,
    M_USE_RESERVE,
    M_WAITOK,
    M_ZERO,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_PROT_ALL,
    VM_PROT_NOSYNC,
    VM_SUBSYS_KMALLOC,
    round_page,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_map.wiring import vm_map_set_wired_quick
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import (
    PAGE_SIZE,
    PG_REFERENCED,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_wire
from vmsmp.vm.vm_page.lookup import vm_page_lookup, vm_page_next
from vmsmp.vm.vm_page.wait import vm_wait

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

_ALLOC = (
    (M_ZERO, VM_ALLOC_ZERO),
    (M_USE_RESERVE, VM_ALLOC_SYSTEM),
    (M_USE_INTERRUPT_RESERVE, VM_ALLOC_INTERRUPT),
    (M_WAITOK, VM_ALLOC_NORMAL),
)


def kmem_slab_alloc(vm: VmSystem, size: int, align: int, flags: int) -> int:
    """Allocate wired kernel memory; return its address, or 0 if there is none and `flags` allow that.

    Locks: takes the kernel's map exclusively, and the token of its object.
    Sleeps: for entries, the map and the token, and with M_WAITOK for memory.
    """
    size = round_page(size)
    kernel_map, kernel_object = vm.map.kernel_map, vm.objects.kernel_object
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(kernel_map)
    addr = vm_map_findspace(kernel_map, kernel_map.min_addr, size, align)
    if addr is None:
        vm_map_unlock(kernel_map)
        if not flags & M_NULLOK:
            vm.panic("kmem_slab_alloc(): kernel_map ran out of space!")
        vm_map_entry_release(vm, count)
        return 0
    what = Mapping(object=kernel_object, offset=addr, id=VM_SUBSYS_KMALLOC, prot=VM_PROT_ALL, max=VM_PROT_ALL)
    vm_object_hold(kernel_object)
    vm_object_reference_locked(kernel_object)
    vm_map_insert(kernel_map, count, addr, addr + size, what)
    vm_object_drop(kernel_object)
    vm_map_set_wired_quick(kernel_map, addr, size, count)
    vm_map_unlock(kernel_map)
    if not flags & (M_NOWAIT | M_WAITOK):
        vm.panic(f"kmem_slab_alloc: bad flags {flags:08x}")
    vm_object_hold(kernel_object)
    mbase = _allocate(vm, addr, size, flags)
    if mbase is None:
        vm_map_lock(kernel_map)
        vm_map_delete(kernel_map, addr, addr + size, count)
        vm_map_unlock(kernel_map)
        vm_object_drop(kernel_object)
        vm_map_entry_release(vm, count)
        return 0
    vm_object_drop(kernel_object)
    _enter(mbase, addr, size)
    vm_map_entry_release(vm, count)
    return addr


def _allocate(vm: VmSystem, addr: int, size: int, flags: int) -> VmPage | None:
    """Allocate the pages of a range, hard-busied; return the first, or None if one cannot be allocated."""
    kernel_object = vm.objects.kernel_object
    how = 0
    for flag, request in _ALLOC:
        how |= request if flags & flag else 0
    mbase: VmPage | None = None
    for at in range(addr, addr + size, PAGE_SIZE):
        m = vm_page_alloc(vm, kernel_object, at >> PAGE_SHIFT, how)
        while m is None and flags & M_WAITOK:
            vm_wait(vm, 0)
            m = vm_page_alloc(vm, kernel_object, at >> PAGE_SHIFT, how)
        if m is None:
            for before in range(at - PAGE_SIZE, addr - PAGE_SIZE, -PAGE_SIZE):
                there = vm_page_lookup(kernel_object, before >> PAGE_SHIFT)
                if there is None:
                    vm.panic("kmem_slab_alloc: page fault: a page is missing")
                vm_page_free(there)
            return None
        mbase = mbase or m
    return mbase


def _enter(mbase: VmPage, addr: int, size: int) -> None:
    """Wire and map the pages of a range, from the first one on, and drop the busy of each."""
    vm: VmSystem = mbase.vm
    kernel_object = vm.objects.kernel_object
    m: VmPage | None = mbase
    for at in range(addr, addr + size, PAGE_SIZE):
        if m is None:
            vm.panic("kmem_slab_alloc: page fault: there is no next page")
        m.publish("valid", VM_PAGE_BITS_ALL)
        vm_page_wire(m)
        pmap_enter(vm.pmap.kernel_pmap, at, m, VM_PROT_ALL | VM_PROT_NOSYNC, True, None)
        vm_page_flag_set(m, PG_REFERENCED)
        vm_page_wakeup(m)
        vm_object_hold(kernel_object)
        m = vm_page_next(m)
        vm_object_drop(kernel_object)


def kmem_slab_free(vm: VmSystem, addr: int, size: int) -> None:
    """Free what `kmem_slab_alloc` allocated.  Sleeps: as `vm_map_remove`."""
    vm_map_remove(vm.map.kernel_map, addr, addr + size)
