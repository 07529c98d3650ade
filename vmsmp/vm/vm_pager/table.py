"""The table of pagers by type of object, and the calls through it.

Models: pagertab and the inlines of sys/vm/vm_pager.c and vm_pager.h, with the pagers of anonymous, physical,
devices' and dead memory.
Locks: none of its own; each call reads the object's type.
Deviations:
  * no pager returns another page than the one that it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from vmsmp.vm.vm_object.object import (
    OBJT_DEAD,
    OBJT_DEFAULT,
    OBJT_DEVICE,
    OBJT_MGTDEVICE,
    OBJT_PHYS,
    OBJT_SWAP,
    OBJT_VNODE,
)
from vmsmp.vm.vm_page.busy import vm_page_flag_set
from vmsmp.vm.vm_page.flags import PG_UNQUEUED, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.validity import vm_page_zero_fill, vm_page_zero_invalid
from vmsmp.vm.vm_pager.device import dev_pager_dealloc, dev_pager_getpage
from vmsmp.vm.vm_pager.result import VM_PAGER_AGAIN, VM_PAGER_FAIL, VM_PAGER_OK
from vmsmp.vm.vm_pager.swap_io import swap_pager_getpage, swap_pager_putpages
from vmsmp.vm.vm_pager.swap_meta import swap_pager_dealloc, swap_pager_haspage
from vmsmp.vm.vm_pager.vnode_io import (
    vnode_pager_dealloc,
    vnode_pager_getpage,
    vnode_pager_haspage,
    vnode_pager_putpages,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


class PagerOps(NamedTuple):
    """struct pagerops."""

    pgo_dealloc: Callable[[VmObject], None]
    pgo_getpage: Callable[[VmObject, VmPage, int], int]
    pgo_putpages: Callable[[VmObject, Sequence[VmPage], int], list[int]]
    pgo_haspage: Callable[[VmObject, int], bool]


def _no_swap(obj: VmObject) -> None:
    """Panic if the object has swap."""
    if obj.swblock_count:
        obj.vm.panic("pager: an object of this type has swap")


def default_pager_dealloc(obj: VmObject) -> None:
    """Free nothing; panic if the object has swap."""
    _no_swap(obj)


def default_pager_getpage(_obj: VmObject, _m: VmPage, _seqaccess: int) -> int:
    """Fail: there is no data."""
    return VM_PAGER_FAIL


def default_pager_haspage(_obj: VmObject, _pindex: int) -> bool:
    """Return False: there is no data."""
    return False


def phys_pager_dealloc(obj: VmObject) -> None:
    """Free nothing; panic if the object has a handle or swap."""
    if obj.handle is not None:
        obj.vm.panic("phys_pager_dealloc: object with a handle")
    _no_swap(obj)


def phys_pager_getpage(_obj: VmObject, m: VmPage, _seqaccess: int) -> int:
    """Zero the page, and keep it off the queues from now on.  Locks: the page hard-busied."""
    vm_page_zero_fill(m)
    vm_page_flag_set(m, PG_UNQUEUED)
    m.publish("valid", VM_PAGE_BITS_ALL)
    m.publish("dirty", VM_PAGE_BITS_ALL)
    return VM_PAGER_OK


def phys_pager_putpages(obj: VmObject, _pages: Sequence[VmPage], _flags: int) -> NoReturn:
    """Panic: physical memory is never written out."""
    vm: VmSystem = obj.vm
    vm.panic("phys_pager_putpage called")


def phys_pager_haspage(_obj: VmObject, _pindex: int) -> bool:
    """Return True: any page can be zeroed."""
    return True


def dev_pager_putpages(obj: VmObject, _pages: Sequence[VmPage], _flags: int) -> NoReturn:
    """Panic: a device's memory is never written out."""
    vm: VmSystem = obj.vm
    vm.panic("dev_pager_putpage called")


def dead_pager_putpages(_obj: VmObject, pages: Sequence[VmPage], _flags: int) -> list[int]:
    """Fail for every page."""
    return [VM_PAGER_AGAIN for _ in pages]


_DEVICE: Final = PagerOps(dev_pager_dealloc, dev_pager_getpage, dev_pager_putpages, phys_pager_haspage)
pagertab: Final = {
    OBJT_DEFAULT: PagerOps(
        default_pager_dealloc, default_pager_getpage, swap_pager_putpages, default_pager_haspage
    ),
    OBJT_SWAP: PagerOps(swap_pager_dealloc, swap_pager_getpage, swap_pager_putpages, swap_pager_haspage),
    OBJT_VNODE: PagerOps(vnode_pager_dealloc, vnode_pager_getpage, vnode_pager_putpages, vnode_pager_haspage),
    OBJT_DEVICE: _DEVICE,
    OBJT_MGTDEVICE: _DEVICE,
    OBJT_PHYS: PagerOps(phys_pager_dealloc, phys_pager_getpage, phys_pager_putpages, phys_pager_haspage),
    OBJT_DEAD: PagerOps(
        default_pager_dealloc, default_pager_getpage, dead_pager_putpages, default_pager_haspage
    ),
}


def vm_pager_get_page(obj: VmObject, m: VmPage, seqaccess: int = -1) -> int:
    """Have the pager read the page in; zero the blocks that are not valid then.

    `seqaccess`: 0 if the pages around it will not be needed.
    As in the kernel, the page is used again although the pager of a device has freed it.
    Locks: the object's token, the page hard-busied.  Sleeps: as the pager does.
    """
    result = pagertab[obj.type].pgo_getpage(obj, m, seqaccess)
    if result == VM_PAGER_OK and m.valid != VM_PAGE_BITS_ALL:
        vm_page_zero_invalid(m)
    return result


def vm_pager_put_pages(obj: VmObject, pages: Sequence[VmPage], flags: int) -> list[int]:
    """Have the pager write pages out; return what became of each.  Sleeps: as the pager does."""
    return pagertab[obj.hint("type")].pgo_putpages(obj, pages, flags)


def vm_pager_has_page(obj: VmObject, pindex: int) -> bool:
    """Return whether the pager has data for that index.  Sleeps: as the pager does."""
    return pagertab[obj.hint("type")].pgo_haspage(obj, pindex)


def vm_pager_deallocate(obj: VmObject) -> None:
    """Have the pager free what it keeps for the object.  Sleeps: as the pager does."""
    pagertab[obj.type].pgo_dealloc(obj)
