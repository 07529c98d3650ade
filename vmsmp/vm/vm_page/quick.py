"""Additional wirings of a wired page, which need no busy.

Models: vm_page_wire_quick and vm_page_unwire_quick of sys/vm/vm_page2.h.
Locks: none; an existing wiring keeps the page.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.page import WIRE

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_wire_quick(m: VmPage) -> None:
    """Add a wiring to a page that is already wired.  Locks: none."""
    if m.wire_count.fetchadd(1) == 0:
        m.vm.panic("vm_page_wire_quick: wire count was zero")
    m.took(WIRE)


def vm_page_unwire_quick(m: VmPage) -> bool:
    """Drop a wiring unless it is the last; return whether it is: busy and unwire the page instead.

    Locks: none.
    """
    if m.wire_count.load() <= 0:
        m.vm.panic("vm_page_unwire_quick: wire count is zero")
    while True:
        wire_count = m.wire_count.load()
        if wire_count == 1:
            return True
        if m.wire_count.cmpset(wire_count, wire_count - 1):
            m.gave(WIRE)
            return False
