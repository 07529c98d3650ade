"""An address space: four levels of tables in frames, and the CPUs that have it loaded.

A small one, for programs without a kernel: it takes frames for its tables when it needs them and keeps them.
Locks: none.  Entries are words; who fills in a missing table does that by compare-and-set, so several CPUs
may enter translations at a time.  Taking rights away needs more than a store: see `shootdown`.
"""

from __future__ import annotations

from vmsmp.mmu.entry import (
    LEVELS,
    PAGE_SHIFT,
    PG_PS,
    PG_RW,
    PG_U,
    PG_V,
    entry_format,
    frame_of,
    index_of,
    is_leaf,
    make_entry,
)
from vmsmp.mmu.system import Mmu
from vmsmp.mmu.unit import Unit
from vmsmp.sync.atomic import Atomic


class AddressSpace:
    """Tables from `root` on; `active` has a bit for each CPU that may cache what they say.

    `name` is its name in reports; `pcid` its number, where address spaces have numbers.
    """

    def __init__(self, mmu: Mmu, name: str, pcid: int = 0) -> None:
        self.mmu = mmu
        self.name = name
        self.pcid = pcid
        self.root = mmu.memory.take(f"{name} tables")
        self.active = mmu.machine.atomic(0, f"{name}.active", format=bin)

    @property
    def cr3(self) -> int:
        """What a CPU loads to use it."""
        return self.root << PAGE_SHIFT | self.pcid

    def entry(self, va: int, level: int = 1) -> Atomic | None:
        """The word that maps the page of an address; None if there is no table for it at that level."""
        word = self._word(self.root, va, max(LEVELS))
        for below in range(max(LEVELS) - 1, level - 1, -1):
            pte = word.load()
            if not pte & PG_V or is_leaf(pte, below + 1):
                return None
            word = self._word(frame_of(pte), va, below)
        return word

    def enter(
        self, va: int, frame: int, bits: int = PG_V | PG_RW | PG_U, key: int = 0, level: int = 1
    ) -> None:
        """Map the page at an address, from `frame` on, and make the tables for that.

        Nothing may have been mapped there, or the new entry gives at least what the old one gave.
        """
        word = self._word(self.root, va, max(LEVELS))
        for below in range(max(LEVELS) - 1, level - 1, -1):
            word = self._word(self._table(word), va, below)
        word.store(make_entry(frame, bits | PG_PS * (level > 1), key))

    def _table(self, word: Atomic) -> int:
        """The table that the entry names, which is made if it names none."""
        pte = word.load()
        if not pte & PG_V:
            table = self.mmu.memory.take(f"{self.name} tables")
            done, pte = word.fcmpset(pte, make_entry(table))
            if done:
                return table
            self.mmu.memory.give(table)
        return frame_of(pte)

    def _word(self, table: int, va: int, level: int) -> Atomic:
        return self.mmu.memory.word(table, index_of(va, level))

    # -- who has it loaded ----------------------------------------------------------------------

    def activate(self, before: AddressSpace | None = None) -> None:
        """Load it on the running CPU, which had `before` loaded.

        The CPU counts as one that may cache entries before it can, and as long as it can: a shootdown that
        does not reach it has changed the tables before its TLB was empty.
        """
        unit = self.unit
        bit = 1 << unit.cpu.index
        self.active.setbits(bit)
        unit.load_cr3(self.cr3)
        if before is not None:
            before.active.clearbits(bit)

    @property
    def unit(self) -> Unit:
        """The running CPU's unit."""
        unit: Unit = self.mmu.machine.curcpu.mmu
        return unit

    def peek(self, va: int) -> str:
        """What the tables say of an address, as a report shows it."""
        found = self.mmu.peek(self.root, va)
        return entry_format(0) if found is None else str(found)

    def __repr__(self) -> str:
        return self.name
