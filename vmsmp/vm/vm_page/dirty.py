"""Marking pages dirty, clean or referenced.

Models: vm_page_dirty, vm_page_undirty and vm_page_reference of sys/vm/vm_page.c and vm_page2.h.
Locks: any CPU may dirty a page with PG_WRITEABLE set; otherwise the caller must have hard-busied it.
Deviations: that of `vm_object.object` about dirty pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_REFERENCED, VM_PAGE_BITS_ALL

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

# -- dirty ----------------------------------------------------------------------------------------


def vm_page_dirty(m: VmPage) -> None:
    """Mark the whole page dirty.

    Locks: none if PG_WRITEABLE is set, else the page hard-busied.  Never dirty a cached or free page.
    """
    if m.vm.page.queue_type(m.peek("queue")) in ("cache", "free"):
        m.vm.panic("vm_page_dirty: page in free/cache queue")
    if m.dirty != VM_PAGE_BITS_ALL:
        m.dirty = VM_PAGE_BITS_ALL


def vm_page_undirty(m: VmPage) -> None:
    """Mark the page clean.  Locks: the page hard-busied."""
    m.dirty = 0


def vm_page_reference(m: VmPage) -> None:
    """Set PG_REFERENCED.  Locks: none if the page is mapped, else the page busied."""
    vm_page_flag_set(m, PG_REFERENCED)
