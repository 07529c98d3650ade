"""The TLB: translations that a CPU keeps, so that it need not walk the page table for each access.

A hit needs the same page of the same address space.  Where entries have no tag of their space (ASID, PCID), a
switch must flush all that are not global, or the next space finds the last one's translation: a homonym.
Models: one CPU's fully associative TLB with LRU replacement, tagged or not, and its walks.
Locks: none; the TLB belongs to its CPU.
Deviations: an access costs memory references and nothing else; no speculative fills, no large pages.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from vmsmp.mmu.entry import frame_of
from vmsmp.mmu.fault import LOAD, Access
from vmsmp.mmu.textbook.entry import Pte, fault_code
from vmsmp.mmu.textbook.paging import OFFSET_BITS, PAGE_BYTES, PageFault, PageTable


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """A page table and the number that tags its translations."""

    asid: int
    table: PageTable


@dataclass(frozen=True, slots=True)
class Cached:
    """A translation that is kept: of which space, the page, and the entry as the walk found it."""

    asid: int
    page: int
    entry: int

    @property
    def shared(self) -> bool:
        """Whether it holds in every space."""
        return bool(self.entry & Pte.G)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an access went: where, whether the TLB knew, and how often memory was read for it."""

    physical: int
    hit: bool
    references: int


class Tlb:
    """Up to `capacity` translations; `tagged`: an entry says of which address space it is."""

    def __init__(self, capacity: int, *, tagged: bool) -> None:
        self.capacity = capacity
        self.tagged = tagged
        # in the order of last use
        self._entries: OrderedDict[tuple[int | None, int], Cached] = OrderedDict()

    def lookup(self, asid: int, page: int) -> Cached | None:
        """Return the translation of a page, if it is there and holds in that space."""
        for tag in (None, asid):
            found = self._entries.get((tag, page))
            if found is not None:
                self._entries.move_to_end((tag, page))
                return found
        return None

    def fill(self, new: Cached) -> None:
        """Keep a translation, instead of the one unused for longest if all places are taken."""
        tag = new.asid if self.tagged and not new.shared else None
        self._entries[tag, new.page] = new
        self._entries.move_to_end((tag, new.page))
        if len(self._entries) > self.capacity:
            self._entries.popitem(last=False)

    def flush(self, *, all_of_them: bool = False) -> None:
        """Forget all translations, but those that hold in every space unless they are meant, too."""
        kept = {} if all_of_them else {key: one for key, one in self._entries.items() if one.shared}
        self._entries = OrderedDict(kept)

    def flush_page(self, page: int) -> None:
        """Forget what is known of one page, in any space."""
        for key in [key for key in self._entries if key[1] == page]:
            del self._entries[key]

    def entries(self) -> tuple[Cached, ...]:
        """Return what is kept, the one unused for longest first."""
        return tuple(self._entries.values())


class Cpu:
    """A CPU with a TLB, in one address space at a time; `flushes`: a switch flushes the TLB."""

    def __init__(self, tlb: Tlb, space: AddressSpace, *, flushes: bool) -> None:
        self.tlb = tlb
        self.space = space
        self.flushes = flushes
        self.hits = 0
        self.misses = 0

    def switch(self, space: AddressSpace) -> None:
        """Load CR3: go on in another address space."""
        self.space = space
        if self.flushes:
            self.tlb.flush()

    def access(self, address: int, access: Access = LOAD) -> Answer:
        """Access an address, by the TLB if that allows it, else by a walk.

        Raises: PageFault.
        """
        page, offset = divmod(address, PAGE_BYTES)
        known = self.tlb.lookup(self.space.asid, page)
        if known is not None and not (access.write and not known.entry & Pte.D):
            code = fault_code(known.entry, access)
            if code is None:
                self.hits += 1
                return Answer(frame_of(known.entry) << OFFSET_BITS | offset, hit=True, references=1)
        return self._miss(address, access)

    def _miss(self, address: int, access: Access) -> Answer:
        """Walk, set A and D, and keep the translation.  A fault leaves none behind."""
        self.misses += 1
        page = address // PAGE_BYTES
        try:
            walk = self.space.table.translate(address, access)
        except PageFault:
            self.tlb.flush_page(page)
            raise
        self.tlb.fill(Cached(self.space.asid, page, walk.entry))
        return Answer(walk.physical, hit=False, references=walk.references + 1)

    @property
    def hit_ratio(self) -> float:
        """The share of accesses that needed no walk."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 0.0
