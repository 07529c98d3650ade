"""The table behind the page hash, and how an identity finds its set of elements.

Models: struct vm_page_hash_elm and the sizing of the hash in sys/vm/vm_page.c.
Locks: none.  An element is four plain words (m, object, pindex, ticks) that race by design.
Deviations:
  * the table is at most as large as the kernel's smallest; elements are made when first looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.errors import UsageError
from vmsmp.sync.field import STRIDE, Record, field, record
from vmsmp.vm.vm_page.page import PAGE_STRIDE

if TYPE_CHECKING:
    from typing import Any, Final

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage

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
