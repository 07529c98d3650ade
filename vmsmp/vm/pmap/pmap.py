"""struct pmap, struct pv_entry and placemarks, and the legend of their locks.

Models: sys/platform/pc64/include/pmap.h.
A pmap's table pages have pv entries, which are the locks of those pages; a leaf entry is locked by a
placemark.  Leaf entry < PT < PD < PDP < PML4 is the order in which they are taken, bottom up.
Locks: pm_spin, a leaf, protects the tree of pv entries, shared to look, exclusively to change.  A pv
entry's fields change while it is LOCKED, and what leads to it also under pm_spin exclusively.
The counts are words.  A CPU changes its own bit of pm_active only; pm_active_lock is spun on.
Deviations:
  * no isolated PML4, no EPT, no pm_softhold (unused), no pointers to functions for user access.
  * a pv entry that is reused is a new record, so that a stale pointer to the old one is noticed.
  * `root` is the frame of pm_pml4, which in the kernel is a kernel address; CR3 is loaded with it.
  * the kernel's pmap has no pv entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sortedcontainers import SortedDict

from vmsmp.engine import ops
from vmsmp.mmu.entry import PAGE_SHIFT
from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.pmap.bits import pindex_format, zone_of

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.records.pool import RecordPool
    from vmsmp.records.word import Word
    from vmsmp.vm.vm_page.page import VmPage

PM_PLACEMARKS: Final = 64
PM_ZONE: Final = 16
PM_NOPLACEMARK: Final = (1 << 64) - 1
PM_PLACEMARK_WAKEUP: Final = 1 << 63

PV_HOLD_LOCKED: Final = 0x80000000
PV_HOLD_WAITING: Final = 0x40000000
PV_HOLD_MASK: Final = 0x1FFFFFFF

CPULOCK_EXCL: Final = 1

PMAP_FLAG_SIMPLE: Final = 0x1
PMAP_EMULATE_AD_BITS: Final = 0x2
PMAP_HVM: Final = 0x4
PMAP_SEGSHARED: Final = 0x8
PMAP_MULTI: Final = 0x10

#: The pm_active of the kernel's pmap.
ALL_CPUS: Final = (1 << ops.MAX_CPUS) - 1

PV_LOCK: Final = Share("pv lock", owned=True, invariant="R5")
PV_HOLD: Final = Share("pv hold", owned=False, invariant="R5")
PLACEMARK: Final = Share("placemark", owned=True, invariant="R4")


# -- placemarks -----------------------------------------------------------------------------------


def mark_format(mark: int) -> str:
    """A placemark's value as a report shows it: `pte[0x12]|WAKEUP`, or `none`."""
    if mark == PM_NOPLACEMARK:
        return "none"
    wakeup = "|WAKEUP" if mark & PM_PLACEMARK_WAKEUP else ""
    return f"{pindex_format(mark & ~PM_PLACEMARK_WAKEUP)}{wakeup}"


@record()
class Placemark(Record):
    """One slot of pm_placemarks: the index that is locked, or PM_NOPLACEMARK, which has the wakeup bit."""

    kind = "placemark"

    mark: Word = word(mark_format, default=PM_NOPLACEMARK)

    pmap: Any = plain()
    slot: int = plain()

    @property
    def name(self) -> str:
        return f"{self.pmap.name}.placemark[{self.slot}]"

    def state(self) -> str:
        return mark_format(self.peek("mark"))


# -- pv entries -----------------------------------------------------------------------------------


def hold_format(hold: int) -> str:
    """pv_hold as a report shows it: `LOCKED|2`."""
    bits = [name for bit, name in _HOLD_NAMES if hold & bit]
    return "|".join([*bits, str(hold & PV_HOLD_MASK)])


_HOLD_NAMES: Final = ((PV_HOLD_LOCKED, "LOCKED"), (PV_HOLD_WAITING, "WAITING"))


def _pv_locked(cpu: Cpu, pv: PvEntry) -> bool:
    for hold in cpu.held:  # noqa: SIM110 - evaluated at every access to a field, where a generator is too slow
        if hold.lock is pv and hold.mode is PV_LOCK:
            return True
    return False


def _tree_spin(cpu: Cpu, pv: PvEntry) -> bool:
    pmap = pv.raw_pv_pmap
    return pmap is not None and has(cpu, pmap.spin_made, EXCLUSIVE)


def _tree_spin_shared(cpu: Cpu, pv: PvEntry) -> bool:
    pmap = pv.raw_pv_pmap
    return pmap is not None and has(cpu, pmap.spin_made, EXCLUSIVE, SHARED)


PV_LEGEND: Final = {
    "L": Letter("the pv entry locked by the caller", _pv_locked),
    "P": Letter("its pmap's pm_spin, exclusively", _tree_spin),
    "p": Letter("its pmap's pm_spin", _tree_spin_shared),
    "N": Letter("a pv entry of no pmap", lambda _cpu, pv: pv.raw_pv_pmap is None),
}


@record(legend=PV_LEGEND)
class PvEntry(Record):
    """struct pv_entry: a table page of a user's pmap, and its lock.

    The association with the pmap is one of the holds; `pv_pmap` is None once it has ended.
    """

    kind = "pv entry"

    pv_hold: Word = word(hold_format)
    pv_pmap: Any = field("L|p|N", "L+P|N", default=None)
    pv_pindex: int = field("L|p|N", "L+P|N", pindex_format)
    # invariant: None until the page has been allocated, and after it has been taken away
    pv_m: VmPage | None = field("L|p", "L", default=None)

    number: int = plain()
    freed: bool = plain(False)

    raw_pv_pmap: Any
    raw_pv_pindex: int
    raw_pv_m: VmPage | None

    @property
    def name(self) -> str:
        return f"pv[{self.number}]"

    def state(self) -> str:
        where = (
            f"{pindex_format(self.raw_pv_pindex)} of {self.raw_pv_pmap}" if self.raw_pv_pmap else "no pmap"
        )
        return f"{where}, {hold_format(self.peek('pv_hold'))}" + (", freed" if self.freed else "")


# -- pmaps ----------------------------------------------------------------------------------------

PMAP_LEGEND: Final = {
    "P": Letter("pm_spin, exclusively", lambda cpu, pmap: has(cpu, pmap.spin_made, EXCLUSIVE)),
    "p": Letter("pm_spin", lambda cpu, pmap: has(cpu, pmap.spin_made, EXCLUSIVE, SHARED)),
}


@record(legend=PMAP_LEGEND)
class Pmap(Record):
    """struct pmap: one address space's page tables.  Its spinlock is pm_spin."""

    kind = "pmap"

    pm_count: Word = word(default=1)
    pm_active_lock: Word = word(hex)
    # invariant: a CPU changes its own bit only; constant in the kernel's pmap
    pm_active: Word = word(bin)
    pm_flags: Word = word(hex)
    pm_invgen: Word = word()
    # invariant: at rest the valid leaf entries and the pv entries of a user's pmap
    resident_count: Word = word()
    # invariant: at rest the leaf entries with PG_W
    wired_count: Word = word()
    # invariant: the pv entries of the pmap's table pages, by index
    pm_pvroot: SortedDict[int, PvEntry] = field("p", "P", factory=SortedDict)
    pm_pvhint_pt: PvEntry | None = field("", default=None)  # races by design

    _name: str = plain()
    pm_pml4: int = plain(0)
    pm_pmlpv: PvEntry | None = plain(None)
    root: int = plain(-1)
    pm_placemarks: RecordPool[Placemark] = plain(None)

    raw_pm_pvroot: SortedDict[int, PvEntry]

    def __post_init__(self) -> None:
        self.pm_placemarks = self.vm.pool(Placemark, PM_PLACEMARKS)

    @property
    def name(self) -> str:
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name

    @property
    def pm_spin(self) -> Any:
        """The leaf lock of the tree of pv entries."""
        return self.spin

    @property
    def cr3(self) -> int:
        """What a CPU loads to use it."""
        return self.root << PAGE_SHIFT

    def placemark(self, pindex: int) -> Placemark:
        """pmap_placemark: the slot of an index, which it shares with others of its zone."""
        slot = zone_of(pindex) * PM_ZONE + (pindex & PM_ZONE - 1)
        return self.pm_placemarks.first_use(slot, pmap=self, slot=slot)

    def state(self) -> str:
        return (
            f"{self.peek('resident_count')} resident, {self.peek('wired_count')} wired, "
            f"active {self.peek('pm_active'):#x}"
        )


def pmap_resident_count(pmap: Pmap) -> int:
    """pm_stats.resident_count: table pages and leaf entries.  May be stale."""
    return int(pmap.resident_count.load())


def pmap_resident_tlnw_count(pmap: Pmap) -> int:
    """The resident pages that are not wired, for the limit of resident pages.  May be stale."""
    return int(pmap.resident_count.load()) - int(pmap.wired_count.load())


def pmap_reference(pmap: Pmap | None) -> None:
    """Count another user of the pmap; the kernel never reads the count."""
    if pmap is not None:
        pmap.pm_count.fetchadd(1)
