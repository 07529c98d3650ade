"""Fictitious pages: memory that is in no page array, a device's, dressed up as a page for the fault handler.

Models: vm_page_initfake of sys/vm/vm_page.c.
Locks: none; nobody else knows the page yet, so its words are stored to unseen.
Deviations:
  * neither the physical address nor the memory attribute is modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PG_FICTITIOUS, PG_UNQUEUED, PQ_NONE
from vmsmp.vm.vm_page.page import HARD, WIRE

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_initfake(m: VmPage) -> None:
    """Make a page fictitious: hard-busied, wired once and never on a queue; leave one alone that is already.

    Its object, index, holds and bits stay what they are.
    """
    if m.flags.load() & PG_FICTITIOUS:
        return
    m.queue = PQ_NONE
    m.flags.value = PG_FICTITIOUS | PG_UNQUEUED
    m.busy_count.value = PBUSY_LOCKED
    m.took(HARD)
    m.wire_count.value = 1
    m.took(WIRE)
