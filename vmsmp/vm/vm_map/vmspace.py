"""struct vmspace: an address space that several processes may share, and how it ends in two stages.

Models: struct vmspace of sys/vm/vm_map.h and the vmspace family of sys/vm/vm_map.c.
It is *referenced* by the processes that run in it and *held* by threads that look at it; each reference
carries a hold.  Dropping the last reference starts stage 1, which empties the map; dropping the last hold
after that starts stage 2, after which the memory may be reused.
Locks: none for the counts, which are atomic.  Take a hold before the map's token, since that may block.
`vm_flags` is protected by the map's token, the cache of free address spaces by a spinlock.
Deviations:
  * an address space that is reused is a new record, so that a stale pointer to the old one is noticed; its
    pmap is the old one's.
  * objcache keeps one list for the machine instead of magazines for each CPU, and memory is always there.
  * no shared memory segments (vm_shm, shmexit) and no swap figures of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.pmap.lifetime import pmap_pinit, pmap_puninit, pmap_release
from vmsmp.vm.pmap.remove import pmap_remove_pages
from vmsmp.vm.vm_map.delete import vm_map_delete, vm_map_remove
from vmsmp.vm.vm_map.flags import (
    MAP_RESERVE_COUNT,
    VM_MAX_USER_ADDRESS,
    VM_MIN_USER_ADDRESS,
    VM_REF_DELETED,
    VMSPACE_EXIT1,
    VMSPACE_EXIT2,
)
from vmsmp.vm.vm_map.lock import vm_map_lock, vm_map_unlock
from vmsmp.vm.vm_map.map import vm_map_init
from vmsmp.vm.vm_map.supply import vm_map_entry_release, vm_map_entry_reserve

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.records.pool import RecordPool
    from vmsmp.records.word import Word
    from vmsmp.vm.pmap.pmap import Pmap
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_meter.meter import Proc

VMSPACE_REF: Final = Share("vmspace reference", owned=False, invariant="INV-VS1")
VMSPACE_HOLD: Final = Share("vmspace hold", owned=False, invariant="INV-VS1")
#: What a fork and an exec copy.
COPIED: Final = (
    "vm_rssize",
    "vm_swrss",
    "vm_tsize",
    "vm_dsize",
    "vm_ssize",
    "vm_taddr",
    "vm_daddr",
    "vm_maxsaddr",
    "vm_minsaddr",
)

VMSPACE_LEGEND: Final = {
    "T": Letter("the map's token", lambda cpu, vm: has(cpu, vm.vm_map.token, EXCLUSIVE)),
}


@record(legend=VMSPACE_LEGEND)
class Vmspace(Record):
    """struct vmspace.  Sizes are in pages, that of the heap (`vm_dsize`) and addresses in bytes."""

    kind = "vmspace"

    # invariant: vm_holdcnt >= vm_refcnt & ~VM_REF_DELETED
    vm_refcnt: Word = word(hex, default=VM_REF_DELETED)
    vm_holdcnt: Word = word()
    # invariant: VMSPACE_EXIT2 only with VMSPACE_EXIT1, and without holds
    vm_flags: int = field("T")

    vm_map: VmMap = plain(None)
    vm_pmap: Pmap = plain(None)
    vm_rssize: int = plain(0)
    vm_swrss: int = plain(0)
    vm_tsize: int = plain(0)
    vm_dsize: int = plain(0)
    vm_ssize: int = plain(0)
    vm_taddr: int = plain(0)
    vm_daddr: int = plain(0)
    vm_maxsaddr: int = plain(0)
    vm_minsaddr: int = plain(0)
    number: int = plain()
    freed: bool = plain(False)

    raw_vm_flags: int

    @property
    def name(self) -> str:
        return f"vmspace[{self.number}]"

    def state(self) -> str:
        refs = self.peek("vm_refcnt")
        deleted = ", DELETED" if refs & VM_REF_DELETED else ""
        exits = "".join(f", EXIT{n}" for n in (VMSPACE_EXIT1, VMSPACE_EXIT2) if self.raw_vm_flags & n)
        return f"refs {refs & ~VM_REF_DELETED}, holds {self.peek('vm_holdcnt')}{deleted}{exits}"


class Vmspaces:
    """The objcache of address spaces: `cached` are free for reuse, `created` counts all of them."""

    def __init__(self, vm: Home) -> None:
        self._vm = vm
        self.pool: RecordPool[Vmspace] = vm.pool(Vmspace)
        self.spin = vm.machine.spinlock("vmspace_cache")
        self.cached: list[Vmspace] = []
        self.created = 0

    def get(self) -> Vmspace:
        """objcache_get: return memory for an address space, used before or not."""
        used = None
        with self.spin:
            if self.cached:
                used = self.cached.pop()
            else:
                self.created += 1
        vm: Any = self._vm
        number = vm.map.supply().next_number()
        with vm.making:
            vmspace: Vmspace = self.pool.make(number=number)
        vmspace.vm_pmap = vm.pmap.make() if used is None else used.vm_pmap
        vmspace.vm_pmap.name = f"{vmspace.name}.vm_pmap"
        return vmspace

    def put(self, vmspace: Vmspace) -> None:
        """objcache_put: the memory may be reused; any access through an old pointer is a use after free."""
        vm: Any = self._vm
        for hook in vm.hooks.freed:
            hook(vm.engine.current, vmspace)
        vmspace.freed = vmspace.vm_map.freed = True
        with self.spin:
            if len(self.cached) < 4 * vm.ncpus:
                self.cached.append(vmspace)
                return
            self.created -= 1
        vmspace_dtor(vmspace)

    def reclaim(self) -> None:
        """objcache_reclaim: return all cached memory to the system.  Sleeps: yes."""
        while True:
            with self.spin:
                if not self.cached:
                    return
                vmspace = self.cached.pop()
                self.created -= 1
            vmspace_dtor(vmspace)


def vmspace_dtor(vmspace: Vmspace) -> None:
    """Return the memory of an address space to the system; panic if it has references.

    Locks: none.  Sleeps: as `pmap_puninit`.
    """
    if vmspace.peek("vm_refcnt") != VM_REF_DELETED:
        vmspace.vm.panic("vmspace_dtor: vm_refcnt != VM_REF_DELETED")
    pmap_puninit(vmspace.vm_pmap)


# -- counts ---------------------------------------------------------------------------------------


def vmspace_initrefs(vmspace: Vmspace) -> None:
    """Give a new address space its first reference and its hold.  Locks: none; no other CPU knows it yet."""
    vmspace.vm_refcnt.value = 1
    vmspace.took(VMSPACE_REF)
    vmspace.vm_holdcnt.value = 1
    vmspace.took(VMSPACE_HOLD)


def vmspace_alloc(vm: VmSystem, min: int, max: int) -> Vmspace:
    """Return an empty address space of these bounds with one reference, not locked and with no other hold.

    Sleeps: for the token of the new map and for memory, so tokens are lost.
    """
    vm.pause_tokens("objcache_get")
    vmspace = vm.map.vmspaces.get()
    vmspace.vm_map = vm_map_init(vm, min, max, None, f"{vmspace.name}.vm_map")
    if vmspace.vm_holdcnt.load() or vmspace.vm_refcnt.load() != VM_REF_DELETED:
        vm.panic("vmspace_alloc: vmspace is in use")
    vmspace_initrefs(vmspace)
    vmspace_hold(vmspace)
    pmap_pinit(vmspace.vm_pmap)
    vmspace.vm_map.pmap = vmspace.vm_pmap
    vmspace.vm_flags = 0
    vmspace_drop(vmspace)
    return vmspace


def vmspace_getrefs(vmspace: Vmspace) -> int:
    """Return the number of references, 0 if the last is going, -1 once it has gone.  May be stale."""
    refs: int = vmspace.vm_refcnt.load()
    return -1 if refs & VM_REF_DELETED else refs


def vmspace_hold(vmspace: Vmspace) -> None:
    """Hold the address space, which keeps stage 2 off, and take its map's token.

    Locks: the caller knows that it is referenced or held.  Sleeps: for the token; other tokens are lost.
    """
    vmspace.vm_holdcnt.fetchadd(1)
    vmspace.took(VMSPACE_HOLD)
    vmspace.vm_map.token.acquire()


def vmspace_drop(vmspace: Vmspace) -> None:
    """Release the map's token and drop a hold.  Sleeps: as `vmspace_drop_notoken`."""
    vmspace.vm_map.token.release()
    vmspace_drop_notoken(vmspace)


def vmspace_drop_notoken(vmspace: Vmspace) -> None:
    """Drop a hold; the last one starts stage 2 if no reference is left.

    The count is decremented first; then the CPU that dropped the last hold tests for references.
    Sleeps: in stage 2.
    """
    last = vmspace.vm_holdcnt.fetchadd(-1) == 1
    vmspace.gave(VMSPACE_HOLD)
    if last and vmspace.vm_refcnt.load() & VM_REF_DELETED:
        vmspace_terminate(vmspace, 1)


def vmspace_ref(vmspace: Vmspace) -> None:
    """Add a reference, and its hold.  Locks: none; the caller has a reference.

    Panics if the last reference is gone.
    """
    vmspace.vm_holdcnt.fetchadd(1)
    vmspace.took(VMSPACE_HOLD)
    refs = vmspace.vm_refcnt.fetchadd(1)
    vmspace.took(VMSPACE_REF)
    if refs & VM_REF_DELETED:
        vmspace.vm.panic("vmspace_ref: vmspace without references")


def vmspace_rel(vmspace: Vmspace) -> None:
    """Drop a reference, and then its hold; the last reference starts stage 1.

    The CPU that turns a count of 0 into VM_REF_DELETED drops the last one: others may add references before.
    Sleeps: in both stages.
    """
    refs = vmspace.vm_refcnt.fetchadd(-1) - 1
    vmspace.gave(VMSPACE_REF)
    while refs == 0:
        if vmspace.vm_refcnt.cmpset(0, VM_REF_DELETED):
            vmspace_terminate(vmspace, 0)
            break
        refs = vmspace.vm_refcnt.load()
    vmspace_drop_notoken(vmspace)


def vmspace_relexit(vmspace: Vmspace) -> None:
    """Drop the reference of an exiting process, and keep a hold until the process is reaped.

    Locks: none.  Sleeps: as `vmspace_rel`.
    """
    vmspace.vm_holdcnt.fetchadd(1)
    vmspace.took(VMSPACE_HOLD)
    vmspace_rel(vmspace)


def vmspace_exitfree(p: Proc) -> None:
    """Reap a process' address space: drop the hold of `vmspace_relexit`.  Sleeps: in stage 2.

    Locks: none; the process can no longer be found.
    """
    vmspace: Vmspace = p.hint("p_vmspace")
    p.publish("p_vmspace", None)
    vmspace_drop_notoken(vmspace)


# -- the end --------------------------------------------------------------------------------------


def vmspace_terminate(vmspace: Vmspace, final: int) -> None:
    """Empty the address space (stage 1), or free its memory (stage 2, `final`).

    Locks: takes the map's token; in stage 2 the map's lock as well.  Sleeps: yes.
    """
    map = vmspace.vm_map
    map.token.acquire()
    if final:
        _terminate_finally(vmspace)
        map.token.release()
        vmspace.vm.map.vmspaces.put(vmspace)
    else:
        _terminate_first(vmspace)
        map.token.release()


def _terminate_first(vmspace: Vmspace) -> None:
    """Stage 1: remove all mappings.

    Wired pages are found through their mappings, so if there are any, the map must be emptied before the
    pmap.
    """
    if vmspace.vm_flags & VMSPACE_EXIT1:
        vmspace.vm.panic("vmspace_terminate: VMSPACE_EXIT1 is set")
    vmspace.vm_flags |= VMSPACE_EXIT1
    if vmspace.vm_pmap.wired_count.load():
        vm_map_remove(vmspace.vm_map, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
        pmap_remove_pages(vmspace.vm_pmap, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
    else:
        pmap_remove_pages(vmspace.vm_pmap, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
        vm_map_remove(vmspace.vm_map, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)


def _terminate_finally(vmspace: Vmspace) -> None:
    """Stage 2: remove what was mapped since, and release the pmap."""
    map = vmspace.vm_map
    if not vmspace.vm_flags & VMSPACE_EXIT1 or vmspace.vm_flags & VMSPACE_EXIT2:
        vmspace.vm.panic("vmspace_terminate: VMSPACE_EXIT1 is clear or VMSPACE_EXIT2 is set")
    vmspace.vm_flags |= VMSPACE_EXIT2
    count = vm_map_entry_reserve(map.vm, MAP_RESERVE_COUNT)
    vm_map_lock(map)
    vm_map_delete(map, map.min_addr, map.max_addr, count)
    vm_map_unlock(map)
    vm_map_entry_release(map.vm, count)
    pmap_release(vmspace.vm_pmap)
