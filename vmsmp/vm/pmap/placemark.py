"""Placemarks: the locks of leaf entries, and of table pages that do not exist.

Models: pmap_placemarker_hash, pv_placemarker_wait and pv_placemarker_wakeup of
sys/platform/pc64/x86_64/pmap.c.
A free slot has the wakeup bit set already, so setting it there asks nobody for a wakeup: a CPU that wants to
sleep must see in the same step that the slot is owned.
Locks: none.  Slots are taken in `pv`, under pm_spin exclusively or by compare-and-set under it shared.
Deviations:
  * none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.pmap.pmap import PLACEMARK, PM_NOPLACEMARK, PM_PLACEMARK_WAKEUP

if TYPE_CHECKING:
    from vmsmp.vm.pmap.pmap import Placemark


def names(mark: int, pindex: int) -> bool:
    """Whether a slot's value names that index."""
    return (mark ^ pindex) & ~PM_PLACEMARK_WAKEUP == 0


def sleep_on(pmark: Placemark, wmesg: str) -> None:
    """Sleep until the slot is released.  The caller has interlocked the sleep, and holds no spinlock."""

    def overdue() -> str | None:
        if pmark.peek("mark") != PM_NOPLACEMARK:
            return None
        return "nobody owns the placemark, and nobody will wake the waiter"

    pmark.vm.machine.tsleep(pmark, PINTERLOCKED, wmesg, 0, overdue=overdue)


def pv_placemarker_wait(pmark: Placemark) -> None:
    """Wait until the slot is released; the caller must look at everything again.  Sleeps: yes.

    Locks: none; the slot's owner may want any pv entry, so waiting with one locked deadlocks.
    """
    mark = pmark.mark.load()
    while mark != PM_NOPLACEMARK:
        pmark.vm.machine.tsleep_interlock(pmark)
        told, mark = pmark.mark.fcmpset(mark, mark | PM_PLACEMARK_WAKEUP)
        if told:
            sleep_on(pmark, "pvplw")
            return


def pv_placemarker_wakeup(pmark: Placemark) -> None:
    """Release the placemark, and wake those who wait for it.  Locks: the placemark, by the caller."""
    mark = pmark.mark.swap(PM_NOPLACEMARK)
    if mark == PM_NOPLACEMARK:
        pmark.vm.panic("pv_placemarker_wakeup: nobody owns the placemark")
    pmark.gave(PLACEMARK)
    if mark & PM_PLACEMARK_WAKEUP:
        pmark.vm.machine.wakeup(pmark)
