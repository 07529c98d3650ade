"""pv entries: the locks and holds of a user's table pages.

Models: the pv_ functions of sys/platform/pc64/x86_64/pmap.c.
A hold keeps the entry's memory, the LOCKED bit is its lock.  A CPU that finds an entry locked takes a hold,
waits for the lock, gives both back and looks again: what it saw before or during the wait may be stale.
Locks: pm_spin, shared to look; for a placemark or a new entry exclusively, by an upgrade that may fail.
Deviations:
  * pm_pvhint_pt is kept up to date and not used: the tree, a dictionary, needs no place to start from.
  * gd_newpv belongs to its CPU, so taking it is not a visible operation.
  * zalloc always has memory, after a point where it may block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.pmap.bits import PD_BASE, PT_BASE
from vmsmp.vm.pmap.placemark import names, sleep_on
from vmsmp.vm.pmap.pmap import (
    PLACEMARK,
    PM_NOPLACEMARK,
    PM_PLACEMARK_WAKEUP,
    PV_HOLD,
    PV_HOLD_LOCKED,
    PV_HOLD_MASK,
    PV_HOLD_WAITING,
    PV_LOCK,
)
from vmsmp.vm.vm_page.quick import vm_page_unwire_quick

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Placemark, Pmap, PvEntry
    from vmsmp.vm.system import VmSystem

# -- the word -------------------------------------------------------------------------------------


def pv_hold_try(pv: PvEntry) -> bool:
    """Take a hold, and the lock if nobody has it; return whether that was so.  Locks: pm_spin."""
    hold = pv.pv_hold.load()
    while True:
        free = not hold & PV_HOLD_LOCKED
        done, hold = pv.pv_hold.fcmpset(hold, (hold + 1) | PV_HOLD_LOCKED * free)
        if done:
            pv.took(PV_HOLD)
            if free:
                pv.took(PV_LOCK)
            return free


def pv_lock(pv: PvEntry) -> None:
    """Take the lock.  Locks: a hold of the caller's, no spinlock.  Sleeps: while another CPU has it."""
    machine = pv.vm.machine
    while True:
        hold = pv.pv_hold.load()
        if not hold & PV_HOLD_LOCKED:
            if pv.pv_hold.cmpset(hold, hold | PV_HOLD_LOCKED):
                pv.took(PV_LOCK)
                return
            continue
        machine.tsleep_interlock(pv)
        if pv.pv_hold.cmpset(hold, hold | PV_HOLD_WAITING):
            machine.tsleep(pv, PINTERLOCKED, "pvwait", HZ, overdue=partial(_overdue, pv))


def _overdue(pv: PvEntry) -> str | None:
    if pv.peek("pv_hold") & PV_HOLD_LOCKED:
        return None
    return "nobody has the pv entry locked, and nobody will wake the waiter"


def pv_unlock(pv: PvEntry) -> None:
    """Release the lock, and wake all who wait for it; the hold stays."""
    done = False
    hold = pv.pv_hold.load()
    while not done:
        if not hold & PV_HOLD_LOCKED:
            pv.vm.panic("pv_unlock: pv entry not locked")
        done, hold = pv.pv_hold.fcmpset(hold, hold & ~(PV_HOLD_LOCKED | PV_HOLD_WAITING))
    pv.gave(PV_LOCK)
    if hold & PV_HOLD_WAITING:
        pv.vm.machine.wakeup(pv)


def pv_drop(pv: PvEntry) -> None:
    """Give a hold back; the last one returns the entry's memory.  Locks: no spinlock."""
    done = False
    hold = pv.pv_hold.load()
    while not done:
        count = hold & PV_HOLD_MASK
        if not count or (hold & PV_HOLD_LOCKED and count == 1):
            pv.vm.panic("pv_drop: pv entry not held, or locked by nobody's hold")
        done, hold = pv.pv_hold.fcmpset(hold, hold - 1)
    pv.gave(PV_HOLD)
    if hold & PV_HOLD_MASK == 1:
        if hold != 1 or pv.raw_pv_pmap is not None:
            pv.vm.panic("pv_drop: last hold of a pv entry that is in use")
        _zfree(pv)


def pv_put(pv: PvEntry) -> None:
    """Release the lock and its hold.  Locks: the pv entry locked by the caller, no spinlock."""
    if pv.pv_pmap is not None and pv.pv_m is None:
        pv.vm.panic("pv_put: pv entry without its page")
    if pv.pv_hold.cmpset(PV_HOLD_LOCKED | 2, 1):
        pv.gave(PV_LOCK)
        pv.gave(PV_HOLD)
        return
    pv_unlock(pv)
    pv_drop(pv)


def pv_free(pv: PvEntry, pvp: PvEntry | None) -> None:
    """Take an entry without its page out of the pmap, and give the lock and both holds back.

    `pvp` is its parent, whose page is wired once for each child.
    Locks: both locked by the caller; takes pm_spin exclusively.
    """
    pmap: Pmap = pv.pv_pmap
    vm = pmap.vm
    if pv.pv_m is not None:
        vm.panic("pv_free: pv entry still has its page")
    pmap.pm_spin.acquire()
    if pmap.pm_pvhint_pt is pv:
        pmap.pm_pvhint_pt = None
    del pmap.changing("pm_pvroot")[pv.pv_pindex]
    pmap.resident_count.fetchadd(-1)
    pv.pv_pindex = 0
    pv.pv_pmap = None
    pmap.pm_spin.release()
    if pvp is not None:
        page = pvp.pv_m
        if page is None or vm_page_unwire_quick(page):
            vm.panic("pv_free: the parent's page was wired once only")
    if pv.pv_hold.cmpset(PV_HOLD_LOCKED | 2, 0):
        for share in (PV_LOCK, PV_HOLD, PV_HOLD):
            pv.gave(share)
        _zfree(pv)
        return
    pv_drop(pv)
    pv_unlock(pv)
    pv_drop(pv)


# -- memory ---------------------------------------------------------------------------------------


def _zalloc(vm: VmSystem) -> PvEntry:
    """Return memory for a pv entry: the CPU's reserve, or the zone's.  Sleeps: possibly, for the zone's."""
    reserve = vm.pmap.gd_newpv.pop(vm.engine.current.index, None)
    if reserve is not None:
        return reserve
    vm.pause_tokens("pvzone")
    return vm.pmap.new_pv_entry()


def _zfree(pv: PvEntry) -> None:
    """Return the memory of a pv entry that nobody holds."""
    vm = pv.vm
    for hook in vm.hooks.freed:
        hook(vm.engine.current, pv)
    pv.freed = True


def _spare(pv: PvEntry) -> None:
    """Keep memory that was not needed as the CPU's reserve."""
    vm: VmSystem = pv.vm
    displaced = vm.pmap.gd_newpv.pop(vm.engine.current.index, None)
    vm.pmap.gd_newpv[vm.engine.current.index] = pv
    if displaced is not None:
        _zfree(displaced)


# -- from an index to its entry -------------------------------------------------------------------


class _Look:
    """pm_spin while an index is looked up: shared, and from an upgrade on exclusively."""

    __slots__ = ("exclusive", "pmap")

    def __init__(self, pmap: Pmap) -> None:
        self.pmap = pmap
        self.begin()

    def begin(self) -> None:
        """Take pm_spin shared."""
        self.exclusive = False
        self.pmap.pm_spin.acquire_shared()

    def upgrade(self) -> bool:
        """Have pm_spin exclusively; return whether it was held all the time."""
        spin = self.pmap.pm_spin
        if self.exclusive or spin.try_upgrade():
            self.exclusive = True
            return True
        spin.release_shared()
        spin.acquire()
        self.exclusive = True
        return False

    def end(self) -> None:
        """Release pm_spin."""
        if self.exclusive:
            self.pmap.pm_spin.release()
        else:
            self.pmap.pm_spin.release_shared()

    def sleep(self, pmark: Placemark, pindex: int | None, wmesg: str) -> None:
        """Sleep, without pm_spin, until the slot is released, if it is owned for that index.

        With None, sleep for any owner.  Take pm_spin exclusively again.
        """
        pmark.vm.machine.tsleep_interlock(pmark)
        pmark.mark.setbits(PM_PLACEMARK_WAKEUP)
        if _owned(pmark, pindex):
            self.pmap.pm_spin.release()
            sleep_on(pmark, wmesg)
            self.pmap.pm_spin.acquire()


def _owned(pmark: Placemark, pindex: int | None) -> bool:
    """Whether the slot is owned for that index; with None, whether it is owned at all."""
    mark = pmark.mark.load()
    return mark != PM_NOPLACEMARK if pindex is None else names(mark, pindex)


def pv_entry_lookup(pmap: Pmap, pindex: int) -> PvEntry | None:
    """Return the pv entry of an index; leaf entries have none.  Locks: pm_spin in any mode."""
    if pindex < PT_BASE:
        return None
    root = pmap.pm_pvroot
    # no `get`: on CPython 3.13t it yields 40 times before it gives away what another thread made
    pv: PvEntry | None = root[pindex] if pindex in root else None  # noqa: SIM401 - see above
    if pv is not None and pindex < PD_BASE:
        pmap.pm_pvhint_pt = pv
    return pv


def pv_alloc(pmap: Pmap, pindex: int) -> tuple[PvEntry, bool]:
    """Return the pv entry of an index, locked, and whether it is new.

    Locks: takes pm_spin.  Sleeps: for memory, the entry's lock, or the placemark of that very index.
    """
    vm: VmSystem = pmap.vm
    pnew = _zalloc(vm)
    look = _Look(pmap)
    while True:
        pv = pv_entry_lookup(pmap, pindex)
        if pv is None:
            if not look.upgrade():
                continue
            pmark = pmap.placemark(pindex)
            if _owned(pmark, pindex):
                look.sleep(pmark, pindex, "pvplc")
                continue
            _associate(pnew, pmap, pindex)
            look.end()
            return pnew, True
        locked = pv_hold_try(pv)
        look.end()
        if locked:
            _spare(pnew)
            return pv, False
        pv_lock(pv)
        pv_put(pv)
        look.begin()


def _associate(pv: PvEntry, pmap: Pmap, pindex: int) -> None:
    """Make a new pv entry the index's, locked.  Locks: pm_spin exclusively."""
    pv.pv_hold.value = PV_HOLD_LOCKED | 2  # nobody else knows of it yet
    for share in (PV_HOLD, PV_HOLD, PV_LOCK):
        pv.took(share)
    pv.pv_pindex = pindex
    pv.pv_pmap = pmap
    pmap.changing("pm_pvroot")[pindex] = pv
    pmap.resident_count.fetchadd(1)


def pv_get(pmap: Pmap, pindex: int, *, mark: bool = False) -> tuple[PvEntry | None, Placemark | None]:
    """Return the pv entry of an index, locked, or None if there is none.

    With `mark`, and without an entry, return the index's placemark, which the caller owns then.
    Locks: takes pm_spin.  Sleeps: for the entry's lock, or for the placemark: whoever owns the slot with
    `mark`, else the owner of that very index.
    """
    look = _Look(pmap)
    while True:
        pv = pv_entry_lookup(pmap, pindex)
        if pv is None:
            if not look.upgrade():
                continue
            pmark = pmap.placemark(pindex)
            matters = None if mark else pindex
            if _owned(pmark, matters):
                look.sleep(pmark, matters, "pvpld")
                continue
            if mark:
                if pmark.mark.swap(pindex) != PM_NOPLACEMARK:
                    pmap.vm.panic("_pv_get: pmark race")
                pmark.took(PLACEMARK)
            look.end()
            return None, pmark if mark else None
        locked = pv_hold_try(pv)
        look.end()
        if locked:
            return pv, None
        pv_lock(pv)
        pv_put(pv)
        look.begin()


def pv_get_try(
    pmap: Pmap, pindex: int, *, mark: bool = False
) -> tuple[PvEntry | None, Placemark | None, bool]:
    """Try to get the lock of an index; return the pv entry, the slot if there is none, and whether it failed.

    An entry that is locked already is returned with a hold, and as a failure.  With `mark`, and without an
    entry, the placemark is tried, and is the caller's unless that failed.  Locks: takes pm_spin shared.
    Sleeps: never.
    """
    pmap.pm_spin.acquire_shared()
    pv = pv_entry_lookup(pmap, pindex)
    if pv is None:
        pmark = pmap.placemark(pindex)
        failed = names(pmark.mark.load(), pindex) or not (mark and pmark.mark.cmpset(PM_NOPLACEMARK, pindex))
        if not failed:
            pmark.took(PLACEMARK)
        pmap.pm_spin.release_shared()
        return None, pmark, failed
    locked = pv_hold_try(pv)
    pmap.pm_spin.release_shared()
    return pv, None, not locked
