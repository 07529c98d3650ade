"""Contiguous memory: the blocks of an alist, and the low pages that they stand for.

INV-CG1: `bl_free` is the number of free blocks in the tree, and a child's state agrees with what is below it.
INV-CG2: a page in the alist is wired once, fictitious, on no queue, in no object and not allocated.
INV-CG3: no low page is lost: each is in the alist or allocated, and `v_dma_pages` counts them.
Evaluated while the alist's spinlock is free.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.records.record import Record
from vmsmp.vm.subr_alist import Alist, Leaf, Node
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_page.flags import PG_FICTITIOUS, PG_UNQUEUED
from vmsmp.vm.vm_page.page import VmPage

#: With more blocks than these, pages are checked only when all CPUs are stopped.
WALK: Final = 64
_LOW: Final = PG_FICTITIOUS | PG_UNQUEUED

_peek_root, _peek_free = (Alist.fields[name].peek for name in ("bl_root", "bl_free"))
_peek_queue, _peek_object = (VmPage.fields[name].peek for name in ("queue", "object"))


def broken_tree(bl: Alist, _books: Books) -> Broken | None:
    """Whether the count or a state is wrong (INV-CG1)."""
    if bl.spin_held():
        return None
    root = _peek_root(bl)
    free = root.free_blocks()
    if _peek_free(bl) != free:
        return Broken("INV-CG1", f"it counts {_peek_free(bl)} free blocks, and its tree has {free}")
    return broken_states(root)


def broken_states(node: Node) -> Broken | None:
    """Whether a child is marked as partly free and is not (INV-CG1)."""
    if isinstance(node, Leaf):
        return None
    for n in range(16):
        state = node.state(n)
        if state == 2:
            return Broken("INV-CG1", "the state of a child is reserved")
        if state == 1:
            child = node.child(n)
            if not 0 < child.free_blocks() < node.unit:
                return Broken("INV-CG1", "a child is said to be partly free, and it is not")
            found = broken_states(child)
            if found is not None:
                return found
    return None


def broken_pages(bl: Alist, books: Books) -> Broken | None:
    """Whether a page in the alist is in use, or not in the state of a free low page (INV-CG2)."""
    if bl.spin_held() or not is_contig(bl):
        return None
    pages = bl.vm.page.vm_page_array
    for first, count in bl.free_runs():
        for m in pages[first : first + count]:
            what = _used(m, books)
            if what:
                return Broken("INV-CG2", f"it has a page that is {what}")
    return None


def _used(m: VmPage, books: Books) -> str:
    """Return why the page should not be in the alist, or an empty text."""
    if books.allocated_to(m) is not None:
        return "allocated"
    if _peek_queue(m) or _peek_object(m) is not None:
        return "on a queue or in an object"
    if m.wire_count.value != 1 or m.flags.value & _LOW != _LOW:
        return "not wired once, or not fictitious and unqueued"
    return ""


def broken_small(bl: Alist, books: Books) -> Broken | None:
    """`broken_pages` for a list that is small enough to check at every step."""
    return broken_pages(bl, books) if _peek_free(bl) <= WALK else None


def lost_pages(bl: Alist, books: Books) -> Broken | None:
    """Whether a low page is neither in the alist nor allocated (INV-CG3)."""
    if bl.spin_held() or not is_contig(bl):
        return None
    have = {blk for first, count in bl.free_runs() for blk in range(first, first + count)}
    for m in bl.vm.page.vm_page_array[: bl.vm.page.reserve.booted]:
        if m.flags.value & PG_FICTITIOUS and m.phys not in have and books.allocated_to(m) is None:
            return Broken("INV-CG3", "a low page was given back, and it does not have it: lost")
    return None


def is_contig(bl: Alist) -> bool:
    """Whether its blocks are the machine's low pages."""
    reserve = bl.vm.page.reserve
    return reserve is not None and reserve.vm_contig_alist is bl


def broken_dma_pages(vm: VmSystem) -> tuple[Record, Broken] | None:
    """Whether `v_dma_pages` counts the low pages (INV-CG3).  Only when no CPU is inside the VM."""
    if vm.page.reserve is None:
        return None
    low = sum(bool(m.flags.value & PG_FICTITIOUS) for m in vm.page.vm_page_array[: vm.page.reserve.booted])
    counted = vm.meter.vmstats.peek("v_dma_pages")
    if counted == low:
        return None
    return vm.meter.vmstats, Broken("INV-CG3", f"v_dma_pages is {counted}, and there are {low} low pages")


RULES: Final = (
    Rules(
        Alist,
        written={"": (broken_tree, broken_small)},
        at_rest=(broken_tree, broken_pages, lost_pages),
    ),
)
SYSTEM: Final = SystemRules(sums=(broken_dma_pages,))
