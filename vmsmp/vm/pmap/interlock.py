"""interlock_count, and a page's flags once an entry is gone.

Models: pmap_removed_pte and the interlock_count of struct md_page in sys/platform/pc64/x86_64/pmap.c.
A CPU that removes an entry counts itself until it has passed M on to the page and brought the page's flags up
to date.  A CPU that protects the page waits until nobody is counted, and then looks for entries again.
Locks: none; atomics.  Waiting needs the page hard-busied.
Deviations:
  * a waiter loads the count; the kernel adds a bit that means nothing, and panics after a minute.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_page.flags import (
    INTERLOCK_COUNT,
    INTERLOCK_WAITING,
    PG_MAPPED,
    PG_MAPPEDMULTI,
    PG_WRITEABLE,
)

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage


def pmap_removed_pte(m: VmPage) -> None:
    """After an entry is gone, clear the page's flags, unless it was mapped more than once.  Locks: none."""
    flags = m.flags.load()
    while not flags & PG_MAPPEDMULTI:
        done, flags = m.flags.fcmpset(flags, flags & ~(PG_MAPPED | PG_WRITEABLE))
        if done:
            break


def interlock_bump(m: VmPage) -> None:
    """Count this CPU: it is about to remove an entry of the page."""
    m.interlock_count.fetchadd(1)


def interlock_drop(m: VmPage) -> None:
    """Stop counting this CPU; the last one wakes the waiters."""
    if m.interlock_count.fetchadd(-1) == INTERLOCK_WAITING | 1:
        m.interlock_count.clearbits(INTERLOCK_WAITING)
        m.vm.machine.wakeup(_counter(m))


def interlock_wait(m: VmPage) -> bool:
    """Wait for a CPU that is removing an entry; return whether there was one.  Sleeps: for a tick.

    Locks: the page hard-busied by the caller.
    """
    machine = m.vm.machine
    icount = m.interlock_count.load()
    while icount & INTERLOCK_COUNT:
        machine.tsleep_interlock(_counter(m))
        published, icount = m.interlock_count.fcmpset(icount, icount | INTERLOCK_WAITING)
        if published:
            machine.tsleep(_counter(m), PINTERLOCKED, "pgunm", 1, overdue=partial(_overdue, m))
            return True
    return False


def _counter(m: VmPage) -> str:
    """Return the sleep ident that stands for the address of `interlock_count`."""
    return f"{m.name}.interlock_count"


def _overdue(m: VmPage) -> str | None:
    """Return why a wait should be over, or None if it should not."""
    if m.peek("interlock_count") & INTERLOCK_COUNT:
        return None
    return "no CPU is removing an entry of the page, and nobody will wake the waiter"
