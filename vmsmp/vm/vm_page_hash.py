"""The page hash: a guess at which page an object has at an index, without the object's token.

Models: the vm_page_hash functions of sys/vm/vm_page.c.
Locks: none.  An element is four plain words (m, object, pindex, ticks), each stored on its own, so a
reader may see half of one entry and half of another; it believes nothing until the page is
soft-busied, and compares the page's own identity again then.
Deviations:
  * the table is at most as large as the kernel's smallest; elements are made when first looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.errors import UsageError
from vmsmp.sync.field import STRIDE, Record, field, record
from vmsmp.vm.vm_page_busy import vm_page_sbusy_drop, vm_page_sbusy_try
from vmsmp.vm.vm_page_h import PAGE_STRIDE, PG_MAPPEDMULTI, VmPage

if TYPE_CHECKING:
    from vmsmp.vm.vm_init import VmSystem
    from vmsmp.vm.vm_object import VmObject

VM_PAGE_HASH_SET: Final = 4
VM_PAGE_HASH_MIN: Final = 4096
VM_PAGE_HASH_MAX: Final = 8 * 1024 * 1024


@record()
class VmPageHashElm(Record):
    """struct vm_page_hash_elm: four words that race by design."""

    plain = ("slot",)

    kind = "hash element"

    m: VmPage | None = field("")
    object: VmObject | None = field("")
    pindex: int = field("")
    ticks: int = field("")

    slot: int

    def __init__(self, vm: VmSystem, ident: int, slot: int) -> None:
        self.settle(vm, ident)
        self.slot = slot
        self.m = self.object = None
        self.pindex = self.ticks = 0

    @property
    def name(self) -> str:
        return f"hash[{self.slot}]"

    def state(self) -> str:
        return f"{self.m} for {self.object}:{self.pindex}"


class VmPageHash:
    """The table: sets of `ways` elements; `size` is a power of two and counts elements."""

    def __init__(self, vm: VmSystem, pages: int, size: int | None, ways: int) -> None:
        if size is None:
            size = VM_PAGE_HASH_MIN
            while size < pages // 16 and size < VM_PAGE_HASH_MAX:
                size <<= 1
        if size < 1 or size & (size - 1) or ways < 1 or ways & (ways - 1) or ways > size:
            raise UsageError(f"a page hash has a power of two of elements and of ways, not {size} and {ways}")
        self.vm = vm
        self.size = size
        self.ways = ways
        self._first = vm.machine.reserve(STRIDE * size, self._at)
        self._elements: dict[int, VmPageHashElm] = {}

    def _at(self, n: int) -> Any:
        return self.element(n // STRIDE).at(n % STRIDE)

    def element(self, slot: int) -> VmPageHashElm:
        made = self._elements.get(slot)
        if made is None:
            with self.vm.making:
                made = self._elements.get(slot)
                if made is None:
                    made = VmPageHashElm(self.vm, self._first + slot * PAGE_STRIDE, slot)
                    self._elements[slot] = made
        return made

    def set_of(self, obj: VmObject, pindex: int) -> list[VmPageHashElm]:
        """The elements in which that identity may be."""
        key = (obj.ident // STRIDE + pindex) * 2654435761
        first = key % (1 << 32) % self.size & ~(self.ways - 1)
        return [self.element(first + n) for n in range(self.ways)]


def vm_page_hash_enter(m: VmPage) -> None:
    """Remember the page's identity, in place of the element of its set used longest ago.

    Locks: the page busied by the caller.  Only pages that more than one process maps are entered.
    """
    vm = m.vm
    if not m.flags.load() & PG_MAPPEDMULTI or m.phys < 0:
        return
    obj, pindex = m.object, m.pindex
    if obj is None:
        return
    now = vm.machine.ticks
    best: VmPageHashElm | None = None
    oldest = 0
    for mp in vm.vm_page_hash.set_of(obj, pindex):
        if mp.hint("m") is m and mp.hint("object") is obj and mp.hint("pindex") == pindex:
            mp.publish("ticks", now)
            return
        delta = now - mp.hint("ticks")
        if delta < -1:  # the clock went round: the oldest there is
            best = mp
            break
        if best is None or delta > oldest:
            best, oldest = mp, delta
    assert best is not None
    best.publish("pindex", pindex)
    best.publish("object", obj)
    best.publish("m", m)
    best.publish("ticks", now)


def vm_page_hash_get(vm: VmSystem, obj: VmObject, pindex: int) -> VmPage | None:
    """The object's page at that index, soft-busied, if the hash knows it.

    Locks: none; what is read before the busy is a guess, and looked at again after it.
    """
    for mp in vm.vm_page_hash.set_of(obj, pindex):
        if mp.hint("object") is not obj or mp.hint("pindex") != pindex:
            continue
        m = mp.hint("m")
        if m is None or m.hint("object") is not obj or m.hint("pindex") != pindex:
            continue
        if vm_page_sbusy_try(m):
            continue
        if m.object is obj and m.pindex == pindex:
            mp.publish("ticks", vm.machine.ticks)
            found: VmPage = m
            for hook in vm.hooks.found:
                hook(vm.engine.current, found, (obj, pindex, 0, False))
            return found
        vm_page_sbusy_drop(m)
    return None
