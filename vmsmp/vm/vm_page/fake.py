"""Fictitious pages: pages that stand for a device's memory, which is in no page array.

Models: vm_page_initfake of sys/vm/vm_page.c, dev_pager_getfake and dev_pager_putfake of
sys/vm/device_pager.c, and the page on its stack by which vm_fault enters a device's memory (UKSMAP).
Locks: none; no other CPU knows the page yet, so stores to its words are not visible operations.
Deviations:
  * no memory attributes; vm_page_initfake leaves the page's physical address as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PG_FICTITIOUS, PG_UNQUEUED, PQ_NONE, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.page import HARD, NO_COLOUR, WIRE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_initfake(m: VmPage) -> None:
    """Make a page fictitious: hard-busied, wired once and never on a queue.  One that is stays as it is.

    Its object, index, holds and bits do not change.
    """
    if m.flags.bits(PG_FICTITIOUS):
        return
    m.queue = PQ_NONE
    m.flags.value = PG_FICTITIOUS | PG_UNQUEUED
    m.busy_count.value = PBUSY_LOCKED
    m.took(HARD)
    m.wire_count.value = 1
    m.took(WIRE)


def vm_page_getfake(vm: VmSystem, frame: int) -> VmPage:
    """Return a fictitious page of that frame, in no object: hard-busied, permanently wired, and valid."""
    m = fake_of_fault(vm, 0)
    m.phys = frame
    m.wire_count.value = 1
    return m


def vm_page_putfake(m: VmPage) -> None:
    """Free a fictitious page, which must be in no object and have no holds."""
    if not m.flags.bits(PG_FICTITIOUS):
        m.vm.panic("dev_pager_putfake: page is not fictitious")
    if m.object is not None or m.hold_count.load():
        m.vm.panic("dev_pager_putfake: page is in an object, or held")
    m.vm.page.markers.remove(m)


def fake_of_fault(vm: VmSystem, pindex: int) -> VmPage:
    """Return a page on the stack of a fault: fictitious, busied and valid; its frame is not known yet."""
    m = vm.page.marker(PG_FICTITIOUS | PG_UNQUEUED, pc=NO_COLOUR)
    m.pindex = pindex
    m.busy_count.value = PBUSY_LOCKED
    m.took(HARD)
    m.valid = VM_PAGE_BITS_ALL
    return m


def forget_fake(m: VmPage) -> None:
    """Free the page on the stack of a fault."""
    m.gave(HARD)
    m.vm.page.markers.remove(m)
