"""Stacks: an entry that grows down into the room below it as it is used.

Models: vm_map_stack and vm_map_growstack of sys/vm/vm_map.c.
`aux` of an entry that may grow is the number of bytes by which it still may (`avail_ssize`).
By how much one must grow is kept in an int.  Compared with what has no sign, a negative one is huge.
Locks: a stack is made under the map's lock exclusively.  It grows under an upgraded lock; if the upgrade
fails, the growth starts over under an exclusive one.  The limits are read without locks.
Deviations:
  * a process has one thread, that of the running CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_map.clip import vm_map_clip_end
from vmsmp.vm.vm_map.find import vm_map_findspace
from vmsmp.vm.vm_map.flags import (
    ADDRESS_MASK,
    COWF_IS_STACK,
    KERN_FAILURE,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_FIXED,
    MAP_RESERVE_COUNT,
    MAP_TRYFIXED,
    MAP_WIREFUTURE,
    PAGE_SHIFT,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_ALL,
    VM_SUBSYS_STACK,
    round_page,
)
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import (
    vm_map_lock,
    vm_map_lock_read,
    vm_map_lock_upgrade,
    vm_map_unlock,
)
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve
from vmsmp.vm.vm_map.wiring import vm_map_user_wiring

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_map.supply import Reserved
    from vmsmp.vm.vm_map.vmspace import Vmspace
    from vmsmp.vm.vm_meter.meter import Proc


def vm_map_stack(
    map: VmMap, addrbos: int, max_ssize: int, flags: int, prot: int, max: int, cow: int
) -> tuple[int, int]:
    """Make a stack of up to `max_ssize` bytes and map its top; return a KERN_* code and its bottom.

    Without MAP_FIXED or MAP_TRYFIXED, look for room from `addrbos` on.
    Locks: takes the map's exclusively.  Sleeps: for entries, the map and its token.
    """
    vm = map.vm
    init_ssize = min(max_ssize, vm.config.sgrowsiz)
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    rv, addrbos = _stack(map, count, addrbos, max_ssize, init_ssize, flags, (prot, max, cow | COWF_IS_STACK))
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return rv, addrbos


def _stack(
    map: VmMap,
    count: Reserved,
    addrbos: int,
    max_ssize: int,
    init_ssize: int,
    flags: int,
    how: tuple[int, int, int],
) -> tuple[int, int]:
    if not flags & (MAP_FIXED | MAP_TRYFIXED):
        room = vm_map_findspace(map, addrbos, max_ssize, 1, flags)
        if room is None:
            return KERN_NO_SPACE, addrbos
        addrbos = room
    hit, prev = vm_map_lookup_entry(map, addrbos)
    if hit:
        return KERN_NO_SPACE, addrbos
    behind = vm_map_entry_after(map, prev)
    top = addrbos + max_ssize
    if behind is not None and behind.ba.start < top:
        return KERN_NO_SPACE, addrbos
    rv = _insert(map, count, top - init_ssize, top, *how)
    if rv == KERN_SUCCESS:
        made = vm_map_entry_after(map, prev)
        if prev is not None:
            vm_map_clip_end(map, prev, top - init_ssize, count)
        if made is None or made.ba.end != top or made.ba.start != top - init_ssize:
            vm: VmSystem = map.vm
            vm.panic("Bad entry start/end for new stack entry")
        made.aux = max_ssize - init_ssize
    return rv, addrbos


def _insert(map: VmMap, count: Reserved, start: int, end: int, prot: int, max: int, cow: int) -> int:
    return vm_map_insert(map, count, start, end, Mapping(id=VM_SUBSYS_STACK, prot=prot, max=max, cow=cow))


def vm_map_growstack(map: VmMap, addr: int) -> int:
    """Let a stack grow down to `addr`; return a KERN_* code.

    KERN_SUCCESS also means that no stack has to grow: the address is mapped, or in no stack's room.
    Locks: takes the map's, shared at first.  Sleeps: for entries and the map, and for its token with the map
    locked exclusively.
    """
    vm: VmSystem = map.vm
    lp = vm.mycpu().lwp
    p = lp.lwp_proc
    vmspace: Vmspace | None = lp.lwp_vmspace
    if vmspace is None:
        vm.panic("vm_map_growstack: no lwp")
    if map is not vmspace.vm_map:
        return KERN_FAILURE
    count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
    growth = _Growth(map, vmspace, p, count)
    rv = growth.attempt(addr)
    while rv is None:
        rv = growth.attempt(addr)
    vm_map_unlock(map)
    vm_map_entry_release(vm, count)
    return rv


def _as_int(value: int) -> int:
    """Return what an int of 32 bits has of a value."""
    return (value + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


class _Growth:
    """A stack that is about to grow."""

    __slots__ = ("_count", "_map", "_p", "_use_read_lock", "_vmspace")

    def __init__(self, map: VmMap, vmspace: Vmspace, p: Proc, count: Reserved) -> None:
        self._map = map
        self._vmspace = vmspace
        self._p = p
        self._count = count
        self._use_read_lock = True

    def attempt(self, addr: int) -> int | None:
        """Retry: lock the map and go through all steps; None if the lock was lost and all must start over."""
        map = self._map
        if self._use_read_lock:
            vm_map_lock_read(map)
        else:
            vm_map_lock(map)
        hit, prev = vm_map_lookup_entry(map, addr)
        if hit:
            return KERN_SUCCESS
        stack = vm_map_entry_after(map, prev)
        if stack is None:
            return KERN_SUCCESS
        # of a device's entry, `aux` is the device: its address, taken for a size, exceeds any stack
        avail: int = stack.aux if stack.maptype != VM_MAPTYPE_UKSMAP else 0
        start: int = stack.ba.start
        end = prev.ba.end if prev is not None else start - avail
        if avail < 1 or addr >= start or addr < start - avail:
            return KERN_SUCCESS
        grow_amount = _as_int(round_page(start - addr))
        if grow_amount & ADDRESS_MASK > avail:
            return KERN_NO_SPACE
        if grow_amount & ADDRESS_MASK > start - end:
            if not self._upgrade():
                return None
            stack.aux = start - end
            return KERN_NO_SPACE
        is_procstack = addr >= self._vmspace.vm_maxsaddr
        allowed = self._allowed(grow_amount, avail, is_procstack=is_procstack)
        if allowed is None:
            return KERN_NO_SPACE
        if not self._upgrade():
            return None
        addr = start - allowed
        if addr < end:
            stack.aux = start - end
            addr = end
        return self._grow(prev, stack, addr, is_procstack=is_procstack)

    def _allowed(self, grow_amount: int, avail: int, *, is_procstack: bool) -> int | None:
        """Return by how much the stack grows within the limits; None if they forbid it."""
        used = self._vmspace.vm_ssize << PAGE_SHIFT
        limit = self._p.hint("rlim_stack") if is_procstack else None
        if limit is not None and used + grow_amount > limit:
            return None
        sgrowsiz = self._map.vm.config.sgrowsiz
        grow_amount = _as_int(-(-grow_amount // sgrowsiz) * sgrowsiz)
        if grow_amount & ADDRESS_MASK > avail:
            grow_amount = _as_int(avail)
        if limit is not None and used + grow_amount > self._p.hint("rlim_stack"):
            grow_amount = _as_int(self._p.hint("rlim_stack") - used)
        if self._map.size + grow_amount > self._p.hint("rlim_vmem"):
            return None
        return grow_amount

    def _upgrade(self) -> bool:
        """Lock the map exclusively; return False if its lock was lost meanwhile."""
        if self._use_read_lock:
            self._use_read_lock = False
            return not vm_map_lock_upgrade(self._map)
        return True

    def _grow(self, prev: VmMapEntry | None, stack: VmMapEntry, addr: int, *, is_procstack: bool) -> int:
        """Map the new part as an entry of its own below the stack's; from now on that one may grow."""
        map, count = self._map, self._count
        rv = _insert(map, count, addr, stack.ba.start, VM_PROT_ALL, VM_PROT_ALL, 0)
        if rv == KERN_SUCCESS:
            if prev is not None:
                vm_map_clip_end(map, prev, addr, count)
            made = vm_map_entry_after(map, prev)
            if made is None or made.ba.end != stack.ba.start or made.ba.start != addr:
                vm: VmSystem = map.vm
                vm.panic("Bad stack grow start/end in new stack entry")
            length = made.ba.end - made.ba.start
            made.aux = stack.aux - length
            if is_procstack:
                self._vmspace.vm_ssize += length >> PAGE_SHIFT
            if map.flags & MAP_WIREFUTURE:
                vm_map_user_wiring(map, made.ba.start, made.ba.end, False)
        return rv
