"""The kernel's own memory: addresses in the kernel's map, with or without pages, and submaps of it.

Models: sys/vm/vm_kern.c (kmem_init is part of `vm_map.startup`).
`kernel_object` holds the pages of the kernel's map, each at its own address.
Locks: takes the map's lock exclusively.  Those who wait for addresses sleep on the map, without its lock.
Deviations:
  * kmem_slab_alloc is in `kern_slaballoc`; kmem_alloc_attr gives its pages no other memory attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.delete import vm_map_delete, vm_map_remove
from vmsmp.vm.vm_map.find import vm_map_find, vm_map_findspace
from vmsmp.vm.vm_map.flags import (
    COWF_IS_KSTACK,
    COWF_NOFAULT,
    KERN_SUCCESS,
    KM_CPU_SHIFT,
    KM_CPU_SPEC,
    KM_KRESERVE,
    KM_STACK,
    M_ZERO,
    MAP_RESERVE_COUNT,
    PAGE_SHIFT,
    VM_MAPTYPE_UNSPECIFIED,
    VM_PROT_ALL,
    VM_SUBSYS_STACK,
    VM_SUBSYS_SYSMAP,
    round_page,
    trunc_page,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.map import vm_map_init
from vmsmp.vm.vm_map.submap import vm_map_submap
from vmsmp.vm.vm_map.supply import (
    vm_map_entry_krelease,
    vm_map_entry_kreserve,
    vm_map_entry_release,
    vm_map_entry_reserve,
)
from vmsmp.vm.vm_map.wiring import vm_map_kernel_wiring
from vmsmp.vm.vm_object.allocate import vm_object_allocate
from vmsmp.vm.vm_object.deallocate import vm_object_deallocate
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_object.reference import vm_object_reference_locked
from vmsmp.vm.vm_page.activity import vm_page_unqueue_nowakeup
from vmsmp.vm.vm_page.alloc import vm_page_grab
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.contig import vm_page_alloc_contig
from vmsmp.vm.vm_page.flags import (
    PAGE_SIZE,
    VM_ALLOC_CPU,
    VM_ALLOC_FORCE_ZERO,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_PAGE_BITS_ALL,
)
from vmsmp.vm.vm_page.residency import vm_page_insert
from vmsmp.vm.vm_page.validity import vm_page_zero_fill

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject


class KmemSwapbacked:
    """Swap-backed kernel memory: its addresses (`data`, 0 if there are none) and its object."""

    __slots__ = ("data", "map", "object", "size")

    def __init__(self, map: VmMap, size: int) -> None:
        self.map = map
        self.size = size
        self.data = 0
        self.object: VmObject | None = None


def kmem_alloc(map: VmMap, size: int, id: int) -> int:
    """Allocate zeroed and wired kernel memory; return its address, or 0.  Sleeps: yes."""
    return kmem_alloc3(map, size, id, 0)


def kmem_alloc_stack(map: VmMap, size: int, kmflags: int) -> int:
    """Allocate a kernel stack, whose lowest page is a guard; return its address, or 0.  Sleeps: yes."""
    return kmem_alloc3(map, size, VM_SUBSYS_STACK, kmflags | KM_STACK)


def kmem_alloc3(map: VmMap, size: int, id: int, kmflags: int) -> int:
    """Allocate kernel memory as `kmflags` say; return its address, or 0.

    The pages exist before the range is wired, so that no pager is asked.  In between the entry is there,
    not wired, and the pages are on no queue.
    Locks: takes the map's.  Sleeps: for entries, the map, tokens, memory and busy pages.
    """
    vm = map.vm
    size = round_page(size)
    cow = COWF_IS_KSTACK if kmflags & KM_STACK else 0
    kernel = kmflags & KM_KRESERVE
    count = (vm_map_entry_kreserve if kernel else vm_map_entry_reserve)(vm, MAP_RESERVE_COUNT)
    release = vm_map_entry_krelease if kernel else vm_map_entry_release
    vm_map_lock(map)
    addr = vm_map_findspace(map, map.min_addr, size, PAGE_SIZE)
    if addr is None:
        vm_map_unlock(map)
        release(vm, count)
        return 0
    kernel_object = vm.objects.kernel_object
    vm_object_hold(kernel_object)
    vm_object_reference_locked(kernel_object)
    vm_map_insert(map, count, addr, addr + size, _all(id, kernel_object, addr, cow))
    vm_object_drop(kernel_object)
    vm_map_unlock(map)
    release(vm, count)
    _grab_pages(kernel_object, addr + (PAGE_SIZE if kmflags & KM_STACK else 0), addr + size, kmflags)
    vm_map_kernel_wiring(map, addr, addr + size, kmflags)
    return addr


def _all(id: int, obj: VmObject | None = None, offset: int = 0, cow: int = 0) -> Mapping:
    """A mapping with all rights."""
    return Mapping(object=obj, offset=offset, id=id, prot=VM_PROT_ALL, max=VM_PROT_ALL, cow=cow)


def _grab_pages(kernel_object: VmObject, start: int, end: int, kmflags: int) -> None:
    """Allocate zeroed pages, on no queue, for a range of the kernel's object."""
    vm: VmSystem = kernel_object.vm
    how = VM_ALLOC_FORCE_ZERO | VM_ALLOC_NORMAL | VM_ALLOC_RETRY
    if kmflags & KM_CPU_SPEC:
        how |= VM_ALLOC_CPU(kmflags >> KM_CPU_SHIFT)
    vm_object_hold(kernel_object)
    for addr in range(start, end, PAGE_SIZE):
        m = vm_page_grab(kernel_object, addr >> PAGE_SHIFT, how)
        if m is None:
            vm.panic("kmem_alloc3: no page")
        vm_page_unqueue_nowakeup(m)
        vm_page_wakeup(m)
    vm_object_drop(kernel_object)


def kmem_alloc_attr(map: VmMap, size: int, id: int, flags: int, low: int, high: int, memattr: int) -> int:
    """Allocate kernel memory of low pages, wired; return its address, or 0.

    The pages' offsets in the object count from the kernel's lowest address; those of all other kernel memory
    are the addresses themselves.  `flags` are also passed to the search for addresses.  If the low pages run
    out, those allocated so far are leaked.
    Locks: takes the map's, and the token of the kernel's object.  Sleeps: for entries, the map and tokens.
    """
    vm = map.vm
    size = round_page(size)
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    addr = vm_map_findspace(map, map.min_addr, size, PAGE_SIZE, flags)
    if addr is None:
        vm_map_unlock(map)
        vm_map_entry_release(vm, count)
        return 0
    offset = addr - vm.map.kernel_map.min_addr
    kernel_object = vm.objects.kernel_object
    vm_object_hold(kernel_object)
    vm_object_reference_locked(kernel_object)
    vm_map_insert(map, count, addr, addr + size, _all(id, kernel_object, offset))
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    vm_object_drop(kernel_object)
    for at in range(offset, offset + size, PAGE_SIZE):
        m = vm_page_alloc_contig(vm, low, high, PAGE_SIZE, 0, PAGE_SIZE, memattr)
        if m is None:
            return 0
        vm_object_hold(kernel_object)
        vm_page_insert(m, kernel_object, at >> PAGE_SHIFT)
        vm_object_drop(kernel_object)
        if flags & M_ZERO:
            vm_page_zero_fill(m)
        m.publish("valid", VM_PAGE_BITS_ALL)
    vm_map_kernel_wiring(map, addr, addr + size, 0)
    return addr


def kmem_alloc_pageable(map: VmMap, size: int, id: int) -> int:
    """Allocate kernel addresses without pages; return the first, or 0.  Sleeps: for entries and the map."""
    return _find(map, size, PAGE_SIZE, _all(id))


def kmem_alloc_nofault(map: VmMap, size: int, id: int, align: int) -> int:
    """Allocate kernel addresses at which a fault is a bug; return the first, or 0.  Sleeps: as above."""
    return _find(map, size, align, _all(id, cow=COWF_NOFAULT))


def _find(map: VmMap, size: int, align: int, what: Mapping) -> int:
    rv, addr = vm_map_find(map, map.min_addr, round_page(size), align, True, what)
    return addr if rv == KERN_SUCCESS else 0


def kmem_alloc_swapbacked(
    vm: VmSystem, size: int, id: int, map: VmMap | None = None
) -> KmemSwapbacked | None:
    """Allocate kernel memory with an object of its own; return it, or None.  Sleeps: yes."""
    kp = KmemSwapbacked(map or vm.map.kernel_map, round_page(size))
    kp.object = vm_object_allocate(vm, kp.size >> PAGE_SHIFT)
    kp.data = _find(kp.map, kp.size, PAGE_SIZE, _all(id, kp.object))
    if not kp.data:
        vm.kprintf(f"kmem_alloc_swapbacked: {kp.size} bytes failed")
        kmem_free_swapbacked(kp)
        return None
    return kp


def kmem_free_swapbacked(kp: KmemSwapbacked) -> None:
    """Free what `kmem_alloc_swapbacked` allocated: the addresses with the object, or the object alone."""
    if kp.data:
        kmem_free(kp.map, kp.data, kp.size)
        kp.data = 0
    else:
        vm_object_deallocate(kp.object)
    kp.object = None


def kmem_free(map: VmMap, addr: int, size: int) -> None:
    """Free kernel addresses and the pages there.  Sleeps: as vm_map_remove."""
    vm_map_remove(map, trunc_page(addr), round_page(addr + size))


def kmem_alloc_wait(map: VmMap, size: int, id: int) -> int:
    """Allocate addresses of a map, or wait until there are some; 0 if the map is too small.

    Locks: takes the map's.  Sleeps: on the map, until a wakeup; nothing is interlocked before it.
    """
    vm = map.vm
    size = round_page(size)
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    while True:
        vm_map_lock(map)
        addr = vm_map_findspace(map, map.min_addr, size, PAGE_SIZE)
        if addr is not None:
            break
        if map.max_addr - map.min_addr < size:
            vm_map_entry_release(vm, count)
            vm_map_unlock(map)
            return 0
        vm_map_unlock(map)
        vm.machine.tsleep(map.lock, 0, "kmaw", 0)
    vm_map_insert(map, count, addr, addr + size, _all(id))
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return addr


def kmem_free_wakeup(map: VmMap, addr: int, size: int) -> None:
    """Free addresses of a map, and wake those who wait for some.  Sleeps: as vm_map_delete."""
    vm = map.vm
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    vm_map_delete(map, trunc_page(addr), round_page(addr + size), count)
    vm.machine.wakeup(map.lock)
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)


def kmem_suballoc(parent: VmMap, size: int, name: str | None = None) -> VmMap:
    """Make a map of `size` bytes inside another one; panic if there is no room.  Sleeps: for the parent."""
    vm = parent.vm
    size = round_page(size)
    what = _all(VM_SUBSYS_SYSMAP)._replace(maptype=VM_MAPTYPE_UNSPECIFIED)
    rv, start = vm_map_find(parent, parent.min_addr, size, PAGE_SIZE, True, what)
    if rv != KERN_SUCCESS:
        vm.panic("kmem_suballoc")
    submap = vm_map_init(vm, start, start + size, parent.pmap, name)
    if vm_map_submap(parent, start, start + size, submap) != KERN_SUCCESS:
        vm.panic("kmem_suballoc: unable to change range to submap")
    return submap
