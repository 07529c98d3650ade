"""struct pmap_inval_info: one slot for each CPU, with the command that it asks other CPUs to carry out.

Models: struct pmap_inval_info and enum pmap_inval_type of sys/platform/pc64/x86_64/pmap_inval.c.
A bit of `mask` is a CPU that has not quiesced yet; the owner's own bit says that the command has not been
executed.  A bit of `done` is a CPU that has not finished with the slot.
Locks: a slot belongs to its CPU while `done` is empty.  From the store of `done` on it is read by the CPUs
that have a bit there; each clears its own bits, and the last to do so gives the slot back.
Deviations:
  * the fields are stored in one visible operation; a CPU that acts on `done` too early may miss it.
  * no fields of the watchdogs (tsc_target, sigmask, failed): no IPI is lost.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, record

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.records.word import Word
    from vmsmp.sync.atomic import Atomic
    from vmsmp.vm.pmap.pmap import Pmap

#: The address that stands for all addresses, and from how many pages on all are flushed.
VA_ALL: Final = -1
MAX_INVAL_PAGES: Final = 128


class InvalMode(Enum):
    """enum pmap_inval_type: what the command is to do once all CPUs have quiesced."""

    INVDONE = 0
    INVSTORE = 1
    INVCMPSET = 2


def _slot_of(cpu: Cpu, info: PmapInvalInfo) -> bool:
    return cpu.index == info.cpu


def _asked(cpu: Cpu, info: PmapInvalInfo) -> bool:
    return bool(info.done.value >> cpu.index & 1)


INFO_LEGEND: Final = {
    "O": Letter("its own CPU", _slot_of),
    "D": Letter("a CPU that has not finished with it", _asked),
}


@record(legend=INFO_LEGEND)
class PmapInvalInfo(Record):
    """struct pmap_inval_info: the command of one CPU."""

    kind = "invinfo"

    va: int = field("O|D", "O", hex)
    npgs: int = field("O|D", "O")
    ptep: Atomic | None = field("O|D", "O", default=None)
    npte: int = field("O", "O", hex)
    opte: int = field("O", "O", hex)
    mode: InvalMode = field("O", "O", default=InvalMode.INVDONE)
    success: bool = field("O", "O", default=False)
    # invariant: each CPU clears its own bit only
    mask: Word = word(bin)
    done: Word = word(bin)

    cpu: int = plain()
    #: For checkers: whose entries the command is about.
    pmap: Pmap = plain(None)

    raw_va: int
    raw_npgs: int
    raw_ptep: Atomic | None
    raw_mode: InvalMode

    @property
    def name(self) -> str:
        return f"invinfo[{self.cpu}]"

    def state(self) -> str:
        if self.raw_mode is InvalMode.INVDONE and not self.peek("done"):
            return "free"
        where = "all" if self.raw_va == VA_ALL else f"{self.raw_va:#x} ({self.raw_npgs})"
        return f"{self.raw_mode.name} {where}, mask {self.peek('mask'):#b}, done {self.peek('done'):#b}"
