"""Valid and dirty bits: one of each per DEV_BSIZE block of a page.

Models: sys/vm/vm_page.c.
Locks: changing the bits needs the page hard-busied.  Lookups read the valid bits before they busy the
page, so a change is a visible operation.
Deviations:
  * what a page holds is one value for each DEV_BSIZE block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.pmap.contents import pmap_copy_page, pmap_zero_page, pmap_zero_page_area
from vmsmp.vm.vm_object.flags import vm_object_set_writeable_dirty
from vmsmp.vm.vm_page.busy import vm_page_flag_clear
from vmsmp.vm.vm_page.flags import DEV_BSIZE, PAGE_SIZE, PG_NOSYNC, VM_PAGE_BITS_ALL

if TYPE_CHECKING:
    from vmsmp.vm.vm_page.page import VmPage

# -- valid ----------------------------------------------------------------------------------------
# Lookups read the valid bits before they busy the page, so a change is a visible operation.


def vm_page_bits(base: int, size: int) -> int:
    """Return the bits of the blocks that a range of bytes touches; 0 for an empty range."""
    if size <= 0:
        return 0
    first = base // DEV_BSIZE
    last = (base + size - 1) // DEV_BSIZE
    return (2 << last) - (1 << first)


def _bits(m: VmPage, base: int, size: int) -> int:
    """Return `vm_page_bits` of a range of the page; panic if it ends beyond the page."""
    if base + size > PAGE_SIZE:
        m.vm.panic(f"vm_page_bits: illegal base/size {base}/{size}")
    return vm_page_bits(base, size)


def vm_page_set_valid(m: VmPage, base: int = 0, size: int = PAGE_SIZE) -> None:
    """Mark a range valid.  Locks: the page hard-busied."""
    m.publish("valid", m.valid | _bits(m, base, size))


def vm_page_set_validclean(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and clean; the syncer sees a whole page again.  Locks: the page hard-busied."""
    bits = _bits(m, base, size)
    m.publish("valid", m.valid | bits)
    _clear(m, bits)
    _sync_again(m, base, size)


def vm_page_set_validdirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and dirty, and tell the page's object.  Locks: the page hard-busied."""
    bits = _bits(m, base, size)
    m.publish("valid", m.valid | bits)
    m.publish("dirty", m.hint("dirty") | bits)
    if m.object is not None:
        vm_object_set_writeable_dirty(m.object)


def vm_page_clear_dirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range clean; the syncer sees a whole page again.  Locks: the page hard-busied."""
    _clear(m, _bits(m, base, size))
    _sync_again(m, base, size)


def vm_page_clear_dirty_end_nonincl(m: VmPage, base: int, size: int) -> None:
    """Mark a range clean, except a last block that it covers in part.  Locks: the page hard-busied."""
    end = (base + size) // DEV_BSIZE * DEV_BSIZE
    if end > base:
        vm_page_clear_dirty(m, base, end - base)


def vm_page_clear_dirty_beg_nonincl(m: VmPage, base: int, size: int) -> None:
    """Mark a range clean, except a first block that it covers in part.  Locks: the page hard-busied."""
    begin = -(-base // DEV_BSIZE) * DEV_BSIZE
    if base + size > begin:
        vm_page_clear_dirty(m, begin, base + size - begin)


def _clear(m: VmPage, bits: int) -> None:
    """Clear dirty bits, in two steps: a store by a process between them is lost."""
    m.publish("dirty", m.hint("dirty") & ~bits)


def _sync_again(m: VmPage, base: int, size: int) -> None:
    """Clear PG_NOSYNC if the range is the whole page."""
    if base == 0 and size == PAGE_SIZE:
        vm_page_flag_clear(m, PG_NOSYNC)


def vm_page_set_invalid(m: VmPage, base: int, size: int) -> None:
    """Mark a range of a page as neither valid nor dirty, and count a new generation of its object.

    Locks: the page hard-busied.
    """
    bits = _bits(m, base, size)
    m.publish("valid", m.valid & ~bits)
    _clear(m, bits)
    m.object.generation.fetchadd(1)


def vm_page_is_valid(m: VmPage, base: int, size: int) -> bool:
    """Return whether all of a range is valid; for an empty range, whether any block of the page is.

    Locks: a busy or the object's token; else a guess.
    """
    bits = _bits(m, base, size)
    return bool(m.valid) and m.valid & bits == bits


def vm_page_zero_invalid(m: VmPage, setvalid: bool = True) -> None:
    """Zero the invalid blocks; with `setvalid`, mark the whole page valid.  Locks: the page hard-busied."""
    valid = m.valid
    block = 0
    while block < PAGE_SIZE // DEV_BSIZE:
        end = block
        while end < PAGE_SIZE // DEV_BSIZE and not valid >> end & 1:
            end += 1
        if end > block:
            pmap_zero_page_area(m.vm, m.phys, block * DEV_BSIZE, (end - block) * DEV_BSIZE)
        block = end + 1
    if setvalid:
        m.publish("valid", VM_PAGE_BITS_ALL)


# -- whole pages ----------------------------------------------------------------------------------


def vm_page_zero_fill(m: VmPage) -> bool:
    """Zero the page; its bits do not change.  Locks: the page hard-busied."""
    pmap_zero_page(m.vm, m.phys)
    return True


def vm_page_copy(src_m: VmPage, dest_m: VmPage) -> None:
    """Copy a page onto another, and mark that all valid and dirty.  Locks: both hard-busied."""
    pmap_copy_page(src_m.vm, src_m.phys, dest_m.phys)
    dest_m.publish("valid", VM_PAGE_BITS_ALL)
    dest_m.publish("dirty", VM_PAGE_BITS_ALL)
