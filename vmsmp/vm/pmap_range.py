"""The part of the pmap layer that maps and faults see: an address space's page table.

Models: the interface of sys/platform/pc64/x86_64/pmap.c, as far as maps and faults need it.
Locks: entering a page needs it soft- or hard-busied.  Removing and protecting a range needs none; each waits
for page table pages, so tokens are lost.
Deviations:
  * a page table says which page is at an address, and whether it was entered writeable; whether it may be
    used and written still is the page's own entry (`vmsmp.vm.page_entry`), one for all addresses, so what
    goes at one address goes at all.
  * a change of a page table is seen with the change of the page's entry.  A page that takes another one's
    place is entered after that one's mappings have gone, all of them.
  * an entry that is made again, as it was, counts as one more mapping of its page.
  * a mapping without any right can be read through, as on the hardware; execution is not told apart.
  * `wired_count` is pm_stats.wired_count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vmsmp.vm import page_entry
from vmsmp.vm.observer import PageEntered
from vmsmp.vm.pmap import kernel
from vmsmp.vm.vm_map.flags import (
    VM_MAX_KERNEL_ADDRESS,
    VM_MIN_KERNEL_ADDRESS,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PTE_M, PTE_V, PTE_W

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.vm.config import BootConfig
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_page.page import VmPage

#: The growth of the kernel's page tables, as one page of them covers.
NBPDR: Final = 2 << 20


class Entered(NamedTuple):
    """A page at an address, the number of its mapping, and whether it may be written to there."""

    page: VmPage
    number: int
    writeable: bool


class Pmap:
    """struct pmap: the page at each address of one address space, unless its entry is gone.

    Once all mappings of a page have gone, later ones are not those of an address that had it.  `wired` are
    the addresses whose entries say that they are wired.
    """

    def __init__(self, vm: Any, name: str) -> None:
        #: A VmSystem, by the time it is used.
        self.vm = vm
        self.name = name
        self.table: dict[int, Entered] = {}
        self.wired: set[int] = set()
        self.wired_count = 0

    def __repr__(self) -> str:
        return self.name

    def remove(self, sva: int, eva: int) -> None:
        """pmap_remove, for who knows no pmap but a backing's."""
        pmap_remove(self, sva, eva)

    def addresses(self, start: int, end: int) -> list[int]:
        """Return the addresses of the range that have had a page, in order."""
        return sorted(va for va in list(self.table) if start <= va < end)

    def mapped(self) -> list[tuple[int, VmPage]]:
        """Return what is mapped where, invisibly."""
        found = ((va, self.page_at(va)) for va in list(self.table))
        return [(va, m) for va, m in found if m is not None and m.peek("md") & PTE_V]

    def page_at(self, va: int) -> VmPage | None:
        """Return the page that was entered at an address and may be there still."""
        entered = self.table.get(va)
        return entered.page if entered is not None and entered.page.mappings == entered.number else None

    def writeable(self, va: int) -> bool:
        """Return whether the page that was entered at an address was entered writeable."""
        entered = self.table.get(va)
        return entered is not None and entered.writeable

    def forget(self, va: int) -> VmPage | None:
        """Take an address out of the table, with its wiring; return its page as `page_at`."""
        m = self.page_at(va)
        self.table.pop(va, None)
        self.unwire(va)
        return m

    def unwire(self, va: int) -> None:
        """Say that an address's entry is not wired."""
        if va in self.wired:
            self.wired.discard(va)
            self.wired_count -= 1


class Pmaps:
    """The globals of pmap.c: all pmaps, the kernel's, and how far its page tables reach."""

    def __init__(self, vm: Home) -> None:
        self.kernel_pmap = Pmap(vm, "kernel_pmap")
        self.pmap_list = [self.kernel_pmap]
        #: Where the kernel's page tables end.
        self.kernel_vm_end = VM_MIN_KERNEL_ADDRESS


def pmap_pinit(vm: VmSystem, name: str) -> Pmap:
    """Make a pmap without mappings."""
    pmap = Pmap(vm, name)
    vm.pmap.pmap_list.append(pmap)
    return pmap


def pmap_release(pmap: Pmap) -> None:
    """Be done with a pmap; a panic if a wiring was forgotten."""
    pmap.vm.pmap.pmap_list.remove(pmap)
    if pmap.wired_count:
        pmap.vm.panic("pmap_release: pmap has wired pages")


def pmap_enter(
    pmap: Pmap, va: int, m: VmPage, prot: int, wired: bool = False, entry: VmMapEntry | None = None
) -> None:
    """Map a page at an address, for an entry of a map if it is a user's; `wired` marks the mapping.

    Locks: the page soft- or hard-busied by the caller or by I/O; the map, in any mode.
    Sleeps: to replace another page, so tokens are lost.
    """
    if entry is not None:
        for hook in pmap.vm.hooks.event:
            hook(pmap.vm.engine.current, PageEntered(m, prot, entry, va))
    other = pmap.page_at(va)
    if other is not None and other is not m:
        pmap.vm.pause_tokens("pmap_enter")
        page_entry.pmap_remove(other)
    page_entry.pmap_enter(m, prot)
    pmap.table[va] = Entered(m, m.mappings, bool(prot & VM_PROT_WRITE))
    if not wired:
        pmap.unwire(va)
    elif va not in pmap.wired:
        pmap.wired.add(va)
        pmap.wired_count += 1


def pmap_unwire(pmap: Pmap, va: int) -> VmPage | None:
    """Say that the mapping at an address is not wired; return its page, or None if there is no mapping.

    The page is returned whether or not the mapping was wired, and its own wirings stay.
    Sleeps: possibly, where a page table reaches the address.
    """
    if va not in pmap.table:
        return None
    pmap.vm.pause_tokens("pmap_unwire")
    m = pmap.page_at(va)
    if m is None or not m.md.load() & PTE_V:
        return None
    pmap.unwire(va)
    return m


def pmap_prefault_ok(pmap: Pmap, va: int) -> bool:
    """Return whether nothing is mapped at an address: a guess, made without locks."""
    m = pmap.page_at(va)
    return m is None or not m.md.load() & PTE_V


def pmap_fault_page_quick(_pmap: Pmap, _va: int, _prot: int) -> VmPage | None:
    """Return None: a page table has no entries of its own for pages that would say which one it is."""
    return None


def pmap_resident_tlnw_count(pmap: Pmap) -> int:
    """Return how many pages are mapped and not wired, by what the page table says."""
    return len(pmap.table) - pmap.wired_count


def pmap_store(pmap: Pmap, va: int) -> bool:
    """Store at an address as a process does; return whether that succeeded."""
    m = pmap.page_at(va) if pmap.writeable(va) else None
    return m is not None and page_entry.pmap_store(m)


def pmap_write(pmap: Pmap, va: int, value: int) -> bool:
    """Store a value at an address as a process does, in one step; return whether that succeeded."""
    m = pmap.page_at(va) if pmap.writeable(va) else None
    if m is None:
        return False
    done = False

    def store(pte: int) -> int:
        nonlocal done
        done = pmap.page_at(va) is m and pte & (PTE_V | PTE_W) == PTE_V | PTE_W
        if not done:
            return pte
        m.contents = value
        return pte | PTE_M

    m.md.rmw(store)
    return done


def pmap_read(pmap: Pmap, va: int) -> int | None:
    """Return what a process finds at an address, in one step, or None if it may not read there."""
    m = pmap.page_at(va)
    if m is None:
        return None
    found: int | None = None

    def load(pte: int) -> int:
        nonlocal found
        found = m.contents if pmap.page_at(va) is m and pte & PTE_V else None
        return pte

    m.md.rmw(load)
    return found


def pmap_remove(pmap: Pmap, start: int, end: int) -> None:
    """Remove the mappings of a range.  Sleeps: possibly, so tokens are lost."""
    pmap.vm.pause_tokens("pmap_remove")
    for va in pmap.addresses(start, end):
        m = pmap.forget(va)
        if m is not None:
            page_entry.pmap_remove(m)


def pmap_remove_pages(pmap: Pmap, start: int, end: int) -> None:
    """Remove the mappings of a range of an address space that is going.  Sleeps: as `pmap_remove`."""
    pmap_remove(pmap, start, end)


def pmap_protect(pmap: Pmap, start: int, end: int, prot: int) -> None:
    """Take rights away from the mappings of a range.  Sleeps: possibly, so tokens are lost."""
    if not prot & VM_PROT_READ:
        pmap_remove(pmap, start, end)
        return
    if prot & VM_PROT_WRITE:
        return
    pmap.vm.pause_tokens("pmap_protect")
    for va in pmap.addresses(start, end):
        m = pmap.page_at(va)
        if m is not None:
            page_entry.pmap_write_protect(m)


# -- the kernel's own mappings, of which the pages know nothing -----------------------------------


def pmap_kenter_noinval(vm: VmSystem, va: int, m: VmPage) -> None:
    """Map a page at a kernel address; the caller invalidates what was there.

    Locks: none; the address is the caller's.
    """
    vm.pmap.kernel_pmap.table[va] = Entered(m, m.mappings, True)


def pmap_invalidate_range(vm: VmSystem, _start: int, _end: int) -> None:
    """Have all CPUs forget what they know of a range of kernel addresses.  Sleeps: possibly."""
    vm.pause_tokens("pmap_invalidate_range")


def pmap_kextract(vm: VmSystem, va: int) -> VmPage:
    """Return the page at a kernel address; a panic if there is none.

    Locks: none; the address is the caller's.
    """
    entered = vm.pmap.kernel_pmap.table.get(va)
    if entered is None:
        vm.panic("pmap_kextract: nothing is mapped")
    return entered.page


def pmap_qremove(vm: VmSystem, va: int, count: int) -> None:
    """Unmap pages at kernel addresses, and have all CPUs forget them.  Sleeps: possibly."""
    for address in range(va, va + count * PAGE_SIZE, PAGE_SIZE):
        vm.pmap.kernel_pmap.table.pop(address, None)
    pmap_invalidate_range(vm, va, va + count * PAGE_SIZE)


def pmap_growkernel(vm: VmSystem, start: int, end: int) -> None:
    """Make page tables for the kernel's addresses up to `end`.  Sleeps: for their memory."""
    if vm.mmu is not None:
        kernel.pmap_growkernel(vm, start, end)
    vm.pause_tokens("pmap_growkernel")
    if end > VM_MAX_KERNEL_ADDRESS:
        vm.panic("pmap_growkernel: out of kernel addresses")
    vm.pmap.kernel_vm_end = max(vm.pmap.kernel_vm_end, -(-end // NBPDR) * NBPDR)


def startup(vm: Home, _config: BootConfig) -> Pmaps:
    """pmap_bootstrap: start with the kernel's pmap."""
    return Pmaps(vm)
