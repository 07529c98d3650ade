"""Restricting processes' access to a page, and collecting its modified bit.

Models: vm_page_protect and vm_page_test_dirty of sys/vm/vm_page.c and vm_page2.h.
Locks: the page hard-busied by the caller.
Deviations:
  * vm_page_protect panics unless this CPU has the page hard-busied; the kernel accepts any CPU's busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.vm.pmap.reverse import pmap_is_modified, pmap_mapped_sync, pmap_page_protect
from vmsmp.vm.vm_map.flags import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_page.dirty import vm_page_dirty
from vmsmp.vm.vm_page.flags import PBUSY_LOCKED, PG_MAPPED, PG_WRITEABLE, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.page import HARD

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_protect(m: VmPage, prot: int) -> None:
    """Restrict processes' access to the page to `prot`: VM_PROT_NONE or VM_PROT_READ, else do nothing.

    Locks: the page hard-busied by the caller.  Sleeps: as `pmap_page_protect`.
    """
    if not m.busy_count.bits(PBUSY_LOCKED) or not has(m.vm.engine.current, m, HARD):
        m.vm.panic("vm_page_protect: page not hard-busied")
    if prot == VM_PROT_NONE:
        if pmap_mapped_sync(m) & (PG_WRITEABLE | PG_MAPPED):
            pmap_page_protect(m, VM_PROT_NONE)
    elif prot == VM_PROT_READ and m.flags.load() & PG_WRITEABLE and pmap_mapped_sync(m) & PG_WRITEABLE:
        pmap_page_protect(m, VM_PROT_READ)


def vm_page_test_dirty(m: VmPage) -> None:
    """Mark the page dirty if processes have written to it.  Not final while a writeable mapping is left."""
    if m.hint("dirty") != VM_PAGE_BITS_ALL and pmap_is_modified(m):
        vm_page_dirty(m)
