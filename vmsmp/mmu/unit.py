"""The memory-management unit of one CPU: its registers, and accesses through TLB and page tables.

Models: what an x86-64 CPU does at an access, at `invlpg` and at a load of CR3.
Locks: none; only the CPU itself uses its unit.  A walk sets A and M by compare-and-set of one entry, and
begins again if the entry has changed meanwhile.
A hit is one visible operation, the access to the frame.  A miss reads up to four entries, sets A in up to
four, M with the leaf's, fills the TLB and then accesses: ten at most, unless an entry changes under it.
What a CPU does of its own accord (`guesses`) it begins before an access or after a flush; each step of such a
walk may come as late as the search likes, so a fill comes at any moment between a flush and a use.
Interrupts are taken before an access, never within one.
Deviations:
  * A is set once all entries have been read, root first, so a walk that faults sets none.
  * an entry filled for a load never serves stores, even if the table says that the page is modified: the
    first store walks once more.
  * a CPU that drops an entry for its too narrow rights does that in the step of the walk's first read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.errors import UsageError
from vmsmp.mmu.entry import KEY_MASK, PAGE_SHIFT, PG_A, PG_M, canonical
from vmsmp.mmu.fault import FETCH, LOAD, PGEX_P, PGEX_PK, STORE, Access, GeneralProtection, PageFault
from vmsmp.mmu.memory import offset_of
from vmsmp.mmu.tlb import Tlb
from vmsmp.mmu.walk import Step, Translation, combine, walk_tables

if TYPE_CHECKING:
    from vmsmp.mmu.system import Mmu

#: How a report shows this module's frames (`engine.source`).
FRAMES = "primitive"
#: The part of CR3 that numbers the address space, and the bit of a value loaded that says not to flush.
CR3_PCID: Final = (1 << PAGE_SHIFT) - 1
CR3_NOFLUSH: Final = 1 << 63


class Unit:
    """One CPU's unit.

    `cr3` is None until the CPU loads an address space, `cr2` the address of its last fault.  `pkru` has two
    bits for each protection key: no access, no store.  `wp` (CR0.WP): the kernel, too, stores only where
    the tables let it.
    """

    def __init__(self, mmu: Mmu, cpu: Cpu, ident: int) -> None:
        self.mmu = mmu
        self.cpu = cpu
        self.ident = ident
        self.cr2 = 0
        self.cr3: int | None = None
        self.pkru = 0
        self.wp = True
        self.tlb = Tlb(f"cpu{cpu.index}.tlb", mmu.config.tlb, mmu.victim)

    @property
    def root(self) -> int:
        """The frame of the table that walks begin at.

        Raises: UsageError if no address space has been loaded.
        """
        if self.cr3 is None:
            raise UsageError(f"{self.cpu} has not loaded an address space (load_cr3)")
        return self.cr3 >> PAGE_SHIFT

    @property
    def pcid(self) -> int:
        """The number of the address space; 0 where they have none."""
        return (self.cr3 or 0) & CR3_PCID

    # -- accesses -------------------------------------------------------------------------------

    def load(self, va: int) -> Any:
        """Read memory in user mode (see `access`)."""
        return self.access(va, LOAD)

    def store(self, va: int, value: Any) -> None:
        """Write memory in user mode (see `access`)."""
        self.access(va, STORE, value)

    def fetch(self, va: int) -> Any:
        """Read memory in user mode as an instruction (see `access`)."""
        return self.access(va, FETCH)

    def access(self, va: int, access: Access, value: Any = None) -> Any:
        """Touch memory at a virtual address; what is there before.

        A fault goes to the machine's trap, after which the access is tried again.
        Raises: PageFault if there is no trap, GeneralProtection, UsageError if no address space is loaded.
        """
        mmu, cpu = self.mmu, self.cpu
        machine = mmu.machine
        machine.take_interrupts(cpu)
        if not canonical(va):
            raise GeneralProtection(va)
        self.speculate()
        while True:
            fault: PageFault | None = None
            before, cpu.closed = cpu.closed, True
            try:
                there = self._perform(va, access, value)
            except PageFault as error:
                fault = error
            finally:
                cpu.closed = before
            if cpu.latched:  # it came in the middle of the access
                machine.take_interrupts(cpu)
            if fault is None:
                return there
            self.cr2 = va
            if mmu.trap is None:
                raise fault
            mmu.trap(cpu, fault)

    def _perform(self, va: int, access: Access, value: Any) -> Any:
        """Translate the address, and touch what is there."""
        mmu, cpu = self.mmu, self.cpu
        machine = mmu.machine
        entry = self._cached(va, access) or self._walk(va, access)
        frame, offset = entry.frame_at(va), offset_of(va)
        machine.point(mmu.memory.code(frame) | (ops.ATOMIC_STORE if access.write else ops.ATOMIC_LOAD))
        for hook in machine.hooks.used:
            hook(cpu, entry, va, access)
        before = mmu.memory.peek(frame, offset)
        if access.write:
            mmu.memory.write(frame, offset, value)
        for hook in machine.hooks.saw:
            hook(cpu, va, access, value if access.write else before)
        return before

    def _cached(self, va: int, access: Access) -> Translation | None:
        """The entry of the TLB that allows the access; one that does not is dropped before the walk."""
        pcid = self.pcid
        entry = self.tlb.find(pcid, va)
        if entry is None:
            return None
        if self.refused(entry, access) is not None:
            self.tlb.invalidate(pcid, va)
            return None
        return entry if entry.dirty or not access.write else None

    def refused(self, found: Translation, access: Access) -> int | None:
        """The code of the fault of an access that the translation does not allow; None if it does."""
        strict = access.user or self.wp
        allowed = (
            (found.user or not access.user)
            and (found.writeable or not access.write or not strict)
            and (found.executable or not access.fetch)
        )
        locked = False
        if self.mmu.config.pke and found.user and not access.fetch:
            key = self.pkru >> 2 * (found.key & KEY_MASK)
            locked = bool(key & 1) or (bool(key & 2) and access.write and strict)
        if allowed and not locked:
            return None
        return PGEX_P | PGEX_PK * locked | access.code(nxe=self.mmu.config.nxe)

    # -- walks ----------------------------------------------------------------------------------

    def _walk(self, va: int, access: Access) -> Translation:
        """Translate by the tables, and cache what they say.

        Raises: PageFault; then nothing is cached and no entry is changed.
        """
        nxe = self.mmu.config.nxe
        hooks = self.mmu.machine.hooks
        while True:
            root = self.root
            for begun in hooks.walks:
                begun(self.cpu, root, va)
            walked = walk_tables(self._read, root, va, nxe=nxe)
            if walked.wrong is not None:
                raise PageFault(va, walked.wrong | access.code(nxe=nxe))
            found = combine(root, va, walked.steps, nxe=nxe)
            for read in hooks.walked:
                read(self.cpu, found)
            code = self.refused(found, access)
            if code is not None:
                raise PageFault(va, code)
            if self._mark(walked.steps, access):
                return self._fill(va, replace(found, dirty=access.write))

    def _read(self, table: int, index: int) -> int:
        value: int = self.mmu.memory.word(table, index).load()
        return value

    def _mark(self, steps: tuple[Step, ...], access: Access) -> bool:
        """Set A in the entries of a walk, M in the last for a store; whether all were as they were read."""
        for step in steps:
            wanted = PG_A | PG_M * (access.write and step is steps[-1])
            if step.value & wanted != wanted:
                word = self.mmu.memory.word(step.table, step.index)
                if not word.cmpset(step.value, step.value | wanted):
                    return False
        return True

    def _fill(self, va: int, entry: Translation) -> Translation:
        mmu = self.mmu
        mmu.machine.point(mmu.memory.code(entry.frame_at(va)) | ops.FILL)
        self.tlb.fill(self.pcid, entry)
        for hook in mmu.machine.hooks.filled:
            hook(self.cpu, entry)
        return entry

    def speculate(self) -> None:
        """Perhaps walk for an address that nobody asked for: the scheduler draws which, if any.

        M is never set by that, and what the tables do not allow is let be.
        """
        if self.mmu.config.guesses and self.cr3 is not None:
            guesses = [va for va in self.mmu.config.guesses if not self.tlb.holds(self.pcid, va)]
            drawn = self.mmu.machine.choose(len(guesses) + 1) if guesses else 0
            if drawn:
                before, self.cpu.closed = self.cpu.closed, True
                try:
                    self._walk(guesses[drawn - 1], LOAD)
                except PageFault:
                    pass
                finally:
                    self.cpu.closed = before

    # -- flushes --------------------------------------------------------------------------------

    def _flush(self) -> None:
        self.mmu.machine.point(self.ident << ops.KIND_BITS | ops.FLUSH)

    def invlpg(self, va: int) -> None:
        """Forget what translates the address, here and now: one visible operation."""
        self._flush()
        self.tlb.invalidate(self.pcid, va)
        self.speculate()

    def load_cr3(self, cr3: int) -> None:
        """Go over to another address space, `root << 12 | number`: one visible operation.

        All entries but global ones are forgotten; where address spaces have numbers only those of that
        number, and with CR3_NOFLUSH none.
        Raises: UsageError for a number where address spaces have none.
        """
        keep = bool(cr3 & CR3_NOFLUSH)
        number = cr3 & CR3_PCID
        if not self.mmu.config.pcid and (number or keep):
            raise UsageError("address spaces have no numbers here: m.mmu(pcid=True)")
        self._flush()
        self.cr3 = cr3 & ~CR3_NOFLUSH
        if not keep:
            self.tlb.flush(number if self.mmu.config.pcid else None)
        self.speculate()

    def invltlb(self) -> None:
        """Forget all entries but global ones, by loading CR3 with itself: one visible operation."""
        self._flush()
        self.tlb.flush(self.pcid if self.mmu.config.pcid else None)
        self.speculate()

    def invpcid(self, pcid: int, va: int | None = None) -> None:
        """Forget what translates the address, or all, in the space of that number: one visible operation."""
        self._flush()
        if va is None:
            self.tlb.flush(pcid)
        else:
            self.tlb.invalidate(pcid, va, everywhere=False)
        self.speculate()

    def flush_all(self) -> None:
        """Forget all entries, global ones, too, as a change of CR4.PGE does: one visible operation."""
        self._flush()
        self.tlb.flush(everywhere=True)
        self.speculate()

    def __repr__(self) -> str:
        return f"cpu{self.cpu.index}.mmu"
