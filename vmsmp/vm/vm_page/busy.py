"""The busy protocol of a page: hard busy, soft busy, and how to wait for them.

Models: sys/vm/vm_page.c and vm_page.h, the functions around `busy_count`.
Word: PBUSY_LOCKED is the hard busy (one owner), PBUSY_MASK counts soft busies (readers and I/O),
PBUSY_WANTED says that a waiter sleeps on the page, PBUSY_SWAPINPROG that swap reads it.
Locks: none; every function works on the one word, and sleeps on the page as the ident.
The tests of "also busy" differ, as in the kernel: busy_try and sleep_busy look at the soft count,
busy_wait and the lookups at the whole word.
Deviations:
  * dropping a soft busy that does not exist panics.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PBUSY_MASK, PBUSY_WANTED, PG_REFERENCED
from vmsmp.vm.vm_page.page import HARD, SOFT

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmsmp.vm.vm_page.page import VmPage


def vm_page_flag_set(m: VmPage, bits: int) -> None:
    """Set flags, atomically."""
    m.flags.setbits(bits)


def vm_page_flag_clear(m: VmPage, bits: int) -> None:
    """Clear flags, atomically."""
    m.flags.clearbits(bits)


def vm_page_busy_try(m: VmPage, also_m_busy: bool) -> bool:
    """Hard-busy the page if it is not hard-busied; with `also_m_busy`, if not soft-busied either.

    Returns: False on success, True on failure, as in the kernel.
    Sleeps: never; legal under spinlocks.
    """
    while True:
        busy_count = m.busy_count.load()
        if busy_count & PBUSY_LOCKED:
            return True
        if also_m_busy and busy_count & PBUSY_MASK:
            return True
        if m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):
            m.took(HARD)
            return False


def _busy_overdue(m: VmPage, also_m_busy: bool) -> str | None:
    """Return why a sleep on the page should be over, or None if it should not (INV-SL3)."""
    busy_count = m.peek("busy_count")
    if busy_count & PBUSY_LOCKED or (also_m_busy and busy_count & ~PBUSY_WANTED):
        return None
    return "it is not busy any more, and nobody will wake the waiter"


def _sleep_on(m: VmPage, busy_count: int, also_m_busy: bool, wmesg: str) -> bool:
    """Set PBUSY_WANTED and sleep, unless the word has changed; return whether it slept.

    Locks: the caller has interlocked the sleep on the page; tokens are lost while asleep.
    """
    if not m.busy_count.cmpset(busy_count, busy_count | PBUSY_WANTED):
        return False
    vm_page_flag_set(m, PG_REFERENCED)
    overdue: Callable[[], str | None] = partial(_busy_overdue, m, also_m_busy)
    m.vm.machine.tsleep(m, PINTERLOCKED, wmesg, overdue=overdue)
    return True


def vm_page_busy_wait(m: VmPage, also_m_busy: bool, wmesg: str = "vmpgw") -> None:
    """Hard-busy the page, sleeping while others busy it.

    Sleeps: yes, so tokens are lost; the caller needs a hold or busy that keeps the page's identity.
    """
    while True:
        busy_count = m.busy_count.load()
        if busy_count & PBUSY_LOCKED or (also_m_busy and busy_count):
            m.vm.machine.tsleep_interlock(m)
            _sleep_on(m, busy_count, also_m_busy, wmesg)
        elif m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):
            m.took(HARD)
            return


def vm_page_sleep_busy(m: VmPage, also_m_busy: bool, wmesg: str = "vmpgb") -> bool:
    """Sleep once if the page is busy; return whether it slept.  Guarantees nothing: look it up again.

    If the word changes between its test and the sleep, it is tested again; the interlock stays armed.
    """
    while True:
        busy_count = m.busy_count.load()
        if not (busy_count & PBUSY_LOCKED or (also_m_busy and busy_count & PBUSY_MASK)):
            return False
        m.vm.machine.tsleep_interlock(m)
        if _sleep_on(m, busy_count, also_m_busy, wmesg):
            return True


def _vm_page_wakeup(m: VmPage) -> bool:
    """Drop the hard busy; return whether the caller must wake waiters.

    Locks: the page hard-busied by the caller; legal under spinlocks.
    """
    busy_count = m.busy_count.load()
    if not busy_count & PBUSY_LOCKED:
        m.vm.panic("vm_page_wakeup: page not busy")
    while True:
        dropped, busy_count = m.busy_count.fcmpset(busy_count, busy_count & ~(PBUSY_LOCKED | PBUSY_WANTED))
        if dropped:
            m.gave(HARD)
            return bool(busy_count & PBUSY_WANTED)


def vm_page_wakeup(m: VmPage) -> None:
    """Drop the hard busy and wake the page's waiters."""
    if _vm_page_wakeup(m):
        m.vm.machine.wakeup(m)


def vm_page_flash(m: VmPage) -> None:
    """Wake the page's waiters, busy or not; once WANTED was seen, clear it and wake in any case."""
    if m.busy_count.load() & PBUSY_WANTED:
        m.busy_count.clearbits(PBUSY_WANTED)
        m.vm.machine.wakeup(m)


# -- soft busy ------------------------------------------------------------------------------------


def vm_page_io_start(m: VmPage) -> None:
    """Add a soft busy for I/O, which is handed over to the CPU that finishes the I/O.

    Locks: the page hard-busied by the caller.
    """
    if not m.busy_count.fetchadd(1) & PBUSY_LOCKED:
        m.vm.panic("vm_page_io_start: page not busy")
    m.took(SOFT)
    m.handed(SOFT)


def vm_page_io_finish(m: VmPage) -> None:
    """Drop a soft busy after I/O, on any CPU; leave the wakeup to the `vm_page_wakeup` that must follow.

    Locks: the page hard-busied by the caller.
    """
    if not m.busy_count.fetchadd(-1) & PBUSY_MASK:
        m.vm.panic("vm_page_io_finish: page not soft-busied")
    m.taken_over(SOFT)
    m.gave(SOFT)


def vm_page_sbusy_try(m: VmPage) -> bool:
    """Soft-busy the page unless it is hard-busied; return False on success.

    Uses compare-and-set, not add and undo, so an owner never sees a transient soft busy.
    """
    while True:
        busy_count = m.busy_count.load()
        if busy_count & PBUSY_LOCKED:
            return True
        if m.busy_count.cmpset(busy_count, busy_count + 1):
            m.took(SOFT)
            return False


def vm_page_sbusy_hold(m: VmPage) -> None:
    """Add a soft busy.  Locks: the page hard- or soft-busied by the caller."""
    m.busy_count.fetchadd(1)
    m.took(SOFT)


def vm_page_sbusy_drop(m: VmPage) -> None:
    """Drop a soft busy; if it was the last busy of any kind, wake the page's waiters."""
    busy_count = m.busy_count.fetchadd(-1)
    if not busy_count & PBUSY_MASK:
        m.vm.panic("vm_page_sbusy_drop: page not soft-busied")
    m.gave(SOFT)
    if busy_count - 1 == PBUSY_WANTED:
        m.busy_count.clearbits(PBUSY_WANTED)
        m.vm.machine.wakeup(m)
