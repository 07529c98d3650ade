"""System calls on memory: mapping, unmapping, inheritance, asking what is in memory, and locking it.

Models: kern_mmap, vm_mmap, sys_munmap, sys_minherit, sys_mincore, sys_mlock, sys_munlock, sys_mlockall and
sys_munlockall of sys/vm/vm_mmap.c.
One call is several sections of the map's lock.  Only the map's token holds them together, and that is lost
wherever a section has to wait, so other CPUs may come in between.
Locks: the map's token, and inside it the map's lock, shared to ask and exclusively to change.  Waiting for a
transition unlocks the map.
Deviations:
  * the calls take the process' map, and every process has the right to lock memory.
  * anonymous memory and regular files are mapped, devices and stacks are not; a file may be read and written,
    and may be mapped as often as the process likes.
  * the vector that sys_mincore fills is a function of the caller's, which stores one byte of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import EACCES, EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSYS
from vmsmp.vm.pmap.query import (
    MINCORE_INCORE,
    MINCORE_MODIFIED_OTHER,
    MINCORE_REFERENCED_OTHER,
    pmap_mincore,
)
from vmsmp.vm.pmap.reverse import pmap_is_modified, pmap_ts_referenced
from vmsmp.vm.vm_fault.wire import vm_fault_unwire
from vmsmp.vm.vm_map.delete import vm_map_remove
from vmsmp.vm.vm_map.find import vm_map_find, vm_map_hint
from vmsmp.vm.vm_map.flags import (
    ADDRESS_MASK,
    COWF_COPY_ON_WRITE,
    COWF_DISABLE_COREDUMP,
    COWF_DISABLE_SYNCER,
    COWF_PREFAULT_PARTIAL,
    KERN_INVALID_ADDRESS,
    KERN_NO_SPACE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ANON,
    MAP_ENTRY_USER_WIRED,
    MAP_FIXED,
    MAP_INHERIT,
    MAP_NOCORE,
    MAP_NOSYNC,
    MAP_SHARED,
    MAP_SIZEALIGN,
    MAP_TRYFIXED,
    MAP_WIREFUTURE,
    PAGE_MASK,
    PAGE_SHIFT,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_NORMAL,
    VM_MAX_USER_ADDRESS,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_SUBSYS_MMAP,
    round_page,
    trunc_page,
)
from vmsmp.vm.vm_map.insert import Mapping
from vmsmp.vm.vm_map.link import vm_map_entry_after, vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_lock_read, vm_map_unlock
from vmsmp.vm.vm_map.protect import vm_map_check_protection, vm_map_inherit
from vmsmp.vm.vm_map.transition import vm_map_entry_wait
from vmsmp.vm.vm_map.wiring import vm_map_user_wiring
from vmsmp.vm.vm_object.deallocate import vm_object_deallocate
from vmsmp.vm.vm_object.hold import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PG_REFERENCED
from vmsmp.vm.vm_page.lookup import vm_page_lookup
from vmsmp.vm.vm_pager.vnode_io import vnode_pager_reference

if TYPE_CHECKING:
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vnode import Vnode

MCL_CURRENT: Final = 0x0001
MCL_FUTURE: Final = 0x0002

_SEG_SIZE: Final = 2 << 20

#: The errno of an error of the map.
_ERRNO: Final = {
    KERN_SUCCESS: 0,
    KERN_INVALID_ADDRESS: ENOMEM,
    KERN_NO_SPACE: ENOMEM,
    KERN_PROTECTION_FAILURE: EACCES,
}


# -- mapping --------------------------------------------------------------------------------------


def kern_mmap(
    map: VmMap, addr: int, size: int, prot: int, flags: int, vp: Vnode | None = None, pos: int = 0
) -> tuple[int, int]:
    """Map anonymous memory (MAP_ANON) or a file's, as mmap(2) does; return an errno and the address.

    The first byte that is mapped need not be the first of a page.
    Locks: the vnode referenced by the caller, and not locked; then as `vm_mmap`.  Sleeps: yes.
    """
    if size == 0 or (flags & MAP_ANON and (vp is not None or pos)):
        return EINVAL, addr
    pageoff = pos & PAGE_MASK
    size = round_page(size + pageoff)
    if flags & (MAP_FIXED | MAP_TRYFIXED):
        addr -= pageoff
        if addr & PAGE_MASK or addr + size > VM_MAX_USER_ADDRESS:
            return EINVAL, addr
    else:
        addr = vm_map_hint(map.vm, map.vm.mycpu().lwp.lwp_vmspace, addr)
    if not flags & MAP_ANON:
        obj: VmObject | None = vp.hint("v_object") if vp is not None else None
        if obj is None:
            return EINVAL, addr
        if obj.hint("handle") is not vp:
            map.vm.panic("kern_mmap: the file's object is another one's")
    error, addr = vm_mmap(map, addr, size, prot, VM_PROT_ALL, flags, vp, pos - pageoff)
    return error, addr + pageoff


def vm_mmap(
    map: VmMap,
    addr: int,
    size: int,
    prot: int,
    maxprot: int,
    flags: int,
    handle: Vnode | None = None,
    foff: int = 0,
) -> tuple[int, int]:
    """Map anonymous memory (MAP_ANON) or a file's; return an errno and the address.

    With MAP_FIXED the addresses are unmapped first, in a section of its own.  If another CPU maps something
    there before the next section, the call fails, with nothing left of the old mapping.
    Locks: takes the map's token, and its lock several times.  Sleeps: yes.
    """
    if size == 0:
        return 0, addr
    size = round_page(size)
    map.token.acquire()
    error, addr = _mmap(map, addr, size, prot, maxprot, flags, handle, foff)
    map.token.release()
    return error, addr


def _mmap(
    map: VmMap, addr: int, size: int, prot: int, maxprot: int, flags: int, handle: Vnode | None, foff: int
) -> tuple[int, int]:
    gd = map.vm.mycpu()
    if gd.lwp.lwp_vmspace is not None and map is gd.lwp.lwp_vmspace.vm_map:
        used: int = map.hint("size")
        if used + size > gd.proc.hint("rlim_vmem"):
            return ENOMEM, addr
    if foff & PAGE_MASK or (flags & MAP_SIZEALIGN and size & size - 1):
        return EINVAL, addr
    align = PAGE_SIZE
    if flags & MAP_SIZEALIGN:
        align = size
    elif not flags & MAP_FIXED and (size % _SEG_SIZE == 0 or size > 16 * _SEG_SIZE):
        align = _SEG_SIZE
    fitit = not flags & (MAP_FIXED | MAP_TRYFIXED)
    if fitit:
        addr = round_page(addr)
    elif addr & PAGE_MASK:
        return EINVAL, addr
    elif not flags & MAP_TRYFIXED:
        vm_map_remove(map, addr, addr + size)
    obj, cow = None, 0
    if flags & MAP_ANON:
        foff = 0
    else:
        cow = COWF_PREFAULT_PARTIAL
        obj = vnode_pager_reference(handle) if handle is not None else None
        if obj is None:
            return EINVAL, addr
    rv, addr = _find(map, addr, size, align, prot, maxprot, flags, obj, foff, cow, fitit=fitit)
    return _ERRNO.get(rv, EINVAL), addr


def _find(
    map: VmMap,
    addr: int,
    size: int,
    align: int,
    prot: int,
    maxprot: int,
    flags: int,
    obj: VmObject | None,
    foff: int,
    cow: int,
    *,
    fitit: bool,
) -> tuple[int, int]:
    """Map, then set the inheritance, then wire if asked to; return a KERN_* code and the address."""
    if not flags & (MAP_ANON | MAP_SHARED):
        cow |= COWF_COPY_ON_WRITE
    if flags & MAP_NOSYNC:
        cow |= COWF_DISABLE_SYNCER
    if flags & MAP_NOCORE:
        cow |= COWF_DISABLE_COREDUMP
    what = Mapping(object=obj, offset=foff, id=VM_SUBSYS_MMAP, prot=prot, max=maxprot, cow=cow)
    rv, addr = vm_map_find(map, addr, size, align, fitit, what)
    if rv != KERN_SUCCESS:
        vm_object_deallocate(obj)
        return rv, addr
    if flags & (MAP_SHARED | MAP_INHERIT):
        rv = vm_map_inherit(map, addr, addr + size, VM_INHERIT_SHARE)
        if rv != KERN_SUCCESS:
            vm_map_remove(map, addr, addr + size)
            return rv, addr
    if map.hint("flags") & MAP_WIREFUTURE:
        vm_map_user_wiring(map, addr, addr + size, False)
    return KERN_SUCCESS, addr


def sys_munmap(map: VmMap, addr: int, size: int) -> int:
    """Unmap a range, all of which must be mapped; return an errno.

    Locks: takes the map's token, and its lock to ask and to unmap.  Sleeps: yes.
    """
    pageoff = addr & PAGE_MASK
    addr -= pageoff
    size = round_page(size + pageoff)
    if size == 0:
        return 0
    if addr + size > VM_MAX_USER_ADDRESS:
        return EINVAL
    map.token.acquire()
    mapped = vm_map_check_protection(map, addr, addr + size, VM_PROT_NONE, False)
    if mapped:
        vm_map_remove(map, addr, addr + size)
    map.token.release()
    return 0 if mapped else EINVAL


def sys_minherit(map: VmMap, addr: int, size: int, inherit: int) -> int:
    """Say what a child gets of a range (VM_INHERIT_*); return an errno.

    What is asked for is an int, and is kept in a char before it is looked at.
    Locks: takes the map's.  Sleeps: yes.
    """
    pages = _whole_pages(addr, size)
    if pages is None:
        return EINVAL
    rv = vm_map_inherit(map, *pages, inherit & 0xFF)
    return EACCES if rv == KERN_PROTECTION_FAILURE else 0 if rv == KERN_SUCCESS else EINVAL


def _whole_pages(addr: int, size: int) -> tuple[int, int] | None:
    """Return where the pages of a range of bytes begin and end; None if the end wraps around."""
    start = trunc_page(addr)
    length = round_page(size + addr - start) & ADDRESS_MASK
    return None if length < size or start + length > ADDRESS_MASK else (start, start + length)


# -- what is in memory ----------------------------------------------------------------------------


def sys_mincore(map: VmMap, addr: int, size: int, subyte: Callable[[int, int], int]) -> int:
    """Report for each page of a range whether it is in memory; return an errno.

    `subyte` stores the byte of the page at an index; it returns 0, or an errno if it cannot.
    Locks: takes the map's token, and its lock shared, but not while a byte is stored: if the map has changed
    meanwhile, the search for entries is repeated from the same address.  Sleeps: yes.
    """
    first_addr = addr = trunc_page(addr)
    end = addr + round_page(size) & ADDRESS_MASK
    if end < addr or end > VM_MAX_USER_ADDRESS:
        return EINVAL
    scan = _Mincore(map, first_addr, addr, end, subyte)
    map.token.acquire()
    vm_map_lock_read(map)
    error = scan.attempt()
    while error is None:
        error = scan.attempt()
    map.token.release()
    return error


class _Mincore:
    """A call of mincore in progress.  `addr` is the address that it has reached."""

    __slots__ = ("addr", "end", "first_addr", "lastvecindex", "map", "subyte", "timestamp")

    def __init__(
        self, map: VmMap, first_addr: int, addr: int, end: int, subyte: Callable[[int, int], int]
    ) -> None:
        self.map = map
        self.first_addr = first_addr
        self.addr = addr
        self.end = end
        self.subyte = subyte
        self.lastvecindex = -1
        self.timestamp = 0

    def attempt(self) -> int | None:
        """RestartScan: go on from `addr`; return an errno, or None if the map has changed.

        Locks: the map shared; it is still locked on return if it has changed.
        """
        map = self.map
        self.timestamp = map.timestamp
        hit, entry = vm_map_lookup_entry(map, self.addr)
        current = entry if hit else map.rb_root.first()
        self.lastvecindex = -1
        while current is not None and current.ba.start < self.end:
            if current.maptype == VM_MAPTYPE_NORMAL and current.ba.object is not None:
                self.addr = max(self.addr, current.ba.start)
                while self.addr < min(current.ba.end, self.end):
                    found = self._page(current)
                    error = self._tell(self.addr, found)
                    if error:
                        return error
                    vm_map_lock_read(map)
                    if map.timestamp != self.timestamp:
                        return None
                    self.lastvecindex = self.addr - self.first_addr >> PAGE_SHIFT
                    self.addr += PAGE_SIZE
            current = vm_map_entry_after(map, current)
        error = self._tell(self.end, None)
        if error:
            return error
        vm_map_lock_read(map)
        if map.timestamp != self.timestamp:
            return None
        vm_map_unlock(map)
        return 0

    def _tell(self, addr: int, found: int | None) -> int:
        """Unlock the map, store zeroes for the pages that were skipped, and then what was found at `addr`.

        As in the kernel, each zero goes to the index that was stored last, not to the one behind it.
        """
        vm_map_unlock(self.map)
        vecindex = addr - self.first_addr >> PAGE_SHIFT
        while self.lastvecindex + 1 < vecindex:
            if self.subyte(self.lastvecindex, 0):
                return EFAULT
            self.lastvecindex += 1
        return EFAULT if found is not None and self.subyte(vecindex, found) else 0

    def _page(self, current: VmMapEntry) -> int:
        """MINCORE_* of the page at `addr`: as mapped, or else as resident in the first object."""
        map, ba = self.map, current.ba
        found = pmap_mincore(map.pmap, self.addr)
        if found:
            return found
        obj: VmObject = ba.object
        map.vm.pageout.vm_token.acquire()
        vm_object_hold(obj)
        m = vm_page_lookup(obj, ba.offset + self.addr - ba.start >> PAGE_SHIFT)
        if m is not None and m.hint("valid"):
            found = MINCORE_INCORE
            if m.hint("dirty") or pmap_is_modified(m):
                found |= MINCORE_MODIFIED_OTHER
            if m.flags.load() & PG_REFERENCED or pmap_ts_referenced(m):
                vm_page_flag_set(m, PG_REFERENCED)
                found |= MINCORE_REFERENCED_OTHER
        vm_object_drop(obj)
        map.vm.pageout.vm_token.release()
        return found


# -- locking --------------------------------------------------------------------------------------


def sys_mlock(map: VmMap, addr: int, size: int) -> int:
    """Wire a range for the user; return an errno.

    How many pages are wired is known as of the last time that the counts of CPUs were added up.
    Locks: takes the map's.  Sleeps: yes.
    """
    pages = _whole_pages(addr, size)
    if pages is None:
        return EINVAL
    wired: int = map.vm.meter.vmstats.v_wire_count.load()
    limit = map.vm.pageout.vm_page_max_wired
    if limit is not None and (pages[1] - pages[0] >> PAGE_SHIFT) + wired > limit:
        return EAGAIN
    return ENOMEM if pages[0] < pages[1] and vm_map_user_wiring(map, *pages, False) else 0


def sys_munlock(map: VmMap, addr: int, size: int) -> int:
    """End the user's wiring of a range; return an errno.

    Whether the size still fits once it is rounded up is not asked here, as it is elsewhere.
    Locks: takes the map's.  Sleeps: yes.
    """
    start = trunc_page(addr)
    length = round_page(size + addr - start) & ADDRESS_MASK
    if start + length > ADDRESS_MASK:
        return EINVAL
    return ENOMEM if length and vm_map_user_wiring(map, start, start + length, True) else 0


def sys_mlockall(map: VmMap, how: int) -> int:
    """Wire all memory that is mapped from now on (MCL_FUTURE); return an errno.

    MCL_CURRENT, to wire what is mapped already, is not supported, and nothing is done then.
    Locks: takes the map's.
    """
    if not how & (MCL_CURRENT | MCL_FUTURE):
        return EINVAL
    vm_map_lock(map)
    error = ENOSYS if how & MCL_CURRENT else 0
    if not error and how & MCL_FUTURE:
        map.flags |= MAP_WIREFUTURE
    vm_map_unlock(map)
    return error


def sys_munlockall(map: VmMap) -> int:
    """Unwire every entry that a user has wired, and clear MCL_FUTURE; return 0.

    Locks: takes the map's, which is unlocked to wait for transitions.  Sleeps: yes.
    """
    vm_map_lock(map)
    map.flags &= ~MAP_WIREFUTURE
    entry: VmMapEntry | None = map.rb_root.first()
    while entry is not None:
        if entry.eflags & MAP_ENTRY_USER_WIRED:
            if entry.in_transition:
                vm_map_entry_wait(map, entry)
                entry = map.rb_root.first()
                continue
            if entry.wired_count <= 0:
                map.vm.panic("sys_munlockall: a user's wiring that is not counted")
            entry.eflags &= ~MAP_ENTRY_USER_WIRED
            entry.wired_count -= 1
            if entry.wired_count == 0:
                vm_fault_unwire(map, entry)
        entry = map.rb_root.next(entry)
    vm_map_unlock(map)
    return 0
