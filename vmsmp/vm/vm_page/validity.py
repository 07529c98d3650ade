"""Valid and dirty bits: one of each per DEV_BSIZE block of a page.

Models: sys/vm/vm_page.c.
Locks: changing the bits needs the page hard-busied.  Lookups read the valid bits before they busy the
page, so a change is a visible operation.
Deviations:
  * bits cover whole DEV_BSIZE blocks, as in the kernel, but pages have no content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.flags import DEV_BSIZE, VM_PAGE_BITS_ALL

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


def vm_page_set_valid(m: VmPage, base: int = 0, size: int = 4096) -> None:
    """Mark a range valid.  Locks: the page hard-busied."""
    m.publish("valid", m.valid | vm_page_bits(base, size))


def vm_page_set_validclean(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and clean.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid | bits)
    m.dirty &= ~bits


def vm_page_set_validdirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range valid and dirty.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid | bits)
    m.dirty |= bits


def vm_page_clear_dirty(m: VmPage, base: int, size: int) -> None:
    """Mark a range clean.  Locks: the page hard-busied."""
    m.dirty &= ~vm_page_bits(base, size)


def vm_page_set_invalid(m: VmPage, base: int, size: int) -> None:
    """Mark a range neither valid nor dirty.  Locks: the page hard-busied."""
    bits = vm_page_bits(base, size)
    m.publish("valid", m.valid & ~bits)
    m.dirty &= ~bits


def vm_page_is_valid(m: VmPage, base: int, size: int) -> bool:
    """Return whether all of a range is valid.  Locks: a busy or the object's token; else a guess."""
    bits = vm_page_bits(base, size)
    return bool(m.valid) and m.valid & bits == bits


def vm_page_zero_invalid(m: VmPage) -> None:
    """Zero the invalid blocks, and mark the whole page valid.  Locks: the page hard-busied."""
    m.publish("valid", VM_PAGE_BITS_ALL)
