"""The table behind the page hash, and how an identity maps to its set of elements.

Models: struct vm_page_hash_elm, vm_page_hash_hash and the sizing of the hash in sys/vm/vm_page.c.
Locks: none.  An element is four plain words (m, object, pindex, ticks) that race by design.
An identity's set may begin at any element, so two sets may overlap; spare elements follow the last one.
Deviations:
  * the configured table may be smaller than the kernel's minimum; elements are made on first use.
  * an object's address is made of its identity.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from vmsmp.errors import UsageError
from vmsmp.records.field import field, plain
from vmsmp.records.home import Home
from vmsmp.records.pool import RecordPool
from vmsmp.records.record import Record, record
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_page.page import VmPage

VM_PAGE_HASH_SET: Final = 4
VM_PAGE_HASH_MIN: Final = 4096
VM_PAGE_HASH_MAX: Final = 8 * 1024 * 1024


@record()
class VmPageHashElm(Record):
    """struct vm_page_hash_elm: four words that race by design."""

    kind = "hash element"

    m: VmPage | None = field("", default=None)
    object: Record | None = field("", default=None)
    pindex: int = field("")
    ticks: int = field("")
    slot: int = plain()

    @property
    def name(self) -> str:
        return f"hash[{self.slot}]"

    def state(self) -> str:
        return f"{self.m} for {self.object}:{self.pindex}"


class VmPageHash:
    """The table: sets of `ways` elements; `size`, a power of two, is the number of sets."""

    def __init__(self, vm: Home, config: BootConfig) -> None:
        size, ways = config.hash_size, config.hash_set
        if size is None:
            size = VM_PAGE_HASH_MIN
            while size < config.pages // 16 and size < VM_PAGE_HASH_MAX:
                size <<= 1
        if size < 1 or size & (size - 1) or ways < 1 or ways & (ways - 1):
            raise UsageError(f"a page hash has a power of two of elements and of ways, not {size} and {ways}")
        self.size = size
        self.ways = ways
        self._pool: RecordPool[VmPageHashElm] = vm.pool(VmPageHashElm, size + ways)

    def element(self, slot: int) -> VmPageHashElm:
        """Return the element in that slot, made on first use."""
        return self._pool.first_use(slot, slot=slot)

    def set_of(self, obj: Record, pindex: int) -> list[VmPageHashElm]:
        """Return the elements that may hold that identity."""
        first = vm_page_hash_hash(self, obj, pindex)
        return [self.element(first + n) for n in range(self.ways)]


def vm_page_hash_hash(table: VmPageHash, obj: Record, pindex: int) -> int:
    """Return the slot at which the identity's set of elements begins."""
    hi = crc32(obj.code.to_bytes(8, "little")) << 2 & 0xFFFFFFFF
    hi ^= hi >> 21
    return hi + pindex * table.ways & table.size - 1
