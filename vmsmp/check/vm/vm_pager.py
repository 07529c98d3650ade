"""The invariants of the blocks of swap, most of them once all CPUs have ended.

INV-SW1: a block is free, or that of one page of one object; an object counts its blocks, and one that is
freed has none.  INV-SW2, whether a page that has one says so, is a rule of pages.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_object.object import VmObject


def behind_the_end(obj: VmObject, _books: Books) -> Broken | None:
    """Whether a block of the object's is none of the swap's (INV-SW1)."""
    most = obj.vm.pager.vm_swap_max
    if any(not 0 <= blk < most for blk in obj.peek("swblock_root").values()):
        return Broken("INV-SW1", "a block of its swap is none")
    return None


def broken_blocks(vm: VmSystem) -> tuple[VmObject, Broken] | None:
    """Whether a block is lost, of two pages, or free and in use (INV-SW1)."""
    pager = vm.pager
    taken = {*pager.free_blocks}
    used = 0
    for obj in vm.objects:
        blocks = obj.peek("swblock_root")
        if obj.peek("swblock_count") != len(blocks):
            return obj, Broken("INV-SW1", "it does not count its blocks of swap")
        if obj.freed and blocks:
            return obj, Broken("INV-SW1", "it is freed, and has blocks of swap")
        for blk in blocks.values():
            if blk in taken:
                return obj, Broken("INV-SW1", "a block of its swap is free, or another page's")
            taken.add(blk)
        used += len(blocks)
    if used != pager.vm_swap_max - pager.vm_swap_size:
        return vm.objects.kernel_object, Broken("INV-SW1", "blocks of swap are in use, and of no page")
    return None


#: It has no records of its own.
RULES: Final[tuple[Rules, ...]] = ()
SYSTEM: Final = SystemRules(sums=(broken_blocks,))
