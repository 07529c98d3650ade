"""Marking pages dirty, clean, referenced, or to be committed.

Models: vm_page_dirty, vm_page_undirty, vm_page_reference, vm_page_need_commit and vm_page_clear_commit of
sys/vm/vm_page.c and vm_page2.h.
Locks: any CPU may dirty a page with PG_WRITEABLE set; otherwise the caller must have hard-busied it.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_NEED_COMMIT, PG_REFERENCED, VM_PAGE_BITS_ALL

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

# -- dirty ----------------------------------------------------------------------------------------


def vm_page_dirty(m: VmPage) -> None:
    """Mark the whole page dirty; if it was clean, mark its object, too.

    Locks: none if PG_WRITEABLE is set, else the page hard-busied.  Never dirty a cached or free page.
    """
    if m.queue_base() in (m.vm.page.PQ_CACHE, m.vm.page.PQ_FREE):
        m.vm.panic("vm_page_dirty: page in free/cache queue")
    if m.hint("dirty") != VM_PAGE_BITS_ALL:
        m.publish("dirty", VM_PAGE_BITS_ALL)
        obj = m.hint("object")
        if obj is not None:
            vm_object_set_writeable_dirty(obj)


def vm_page_undirty(m: VmPage) -> None:
    """Mark the page clean.  Locks: the page hard-busied."""
    m.publish("dirty", 0)


def vm_page_reference(m: VmPage) -> None:
    """Set PG_REFERENCED.  Locks: none if the page is mapped, else the page busied."""
    vm_page_flag_set(m, PG_REFERENCED)


# -- commit ---------------------------------------------------------------------------------------


def vm_page_need_commit(m: VmPage) -> None:
    """Keep a clean page from being reused until its file system has committed it, and mark its object.

    Locks: the page hard-busied by the caller, and in an object.
    """
    vm_page_flag_set(m, PG_NEED_COMMIT)
    vm_object_set_writeable_dirty(m.object)


def vm_page_clear_commit(m: VmPage) -> None:
    """Let the page be reused again; its object stays marked.  Locks: the page hard-busied."""
    vm_page_flag_clear(m, PG_NEED_COMMIT)
