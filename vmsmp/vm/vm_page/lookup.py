"""Looking a page up in its object.

Models: the vm_page_lookup family of sys/vm/vm_page.c.
Locks: the object's token, in any mode, keeps the tree stable.  It is lost at every sleep, so look the
page up again afterwards: it may be gone, or belong to another object.
The tests of "also busy" look at the whole busy word here (see `busy`).
Deviations:
  * the variant that tries the page hash first is `vm_page_hash_get`, which callers call directly.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.observer import PageFound
from vmsmp.vm.vm_object.hold import ASSERT_OBJECT_HELD
from vmsmp.vm.vm_page.busy import _busy_overdue, vm_page_flag_set, vm_page_sbusy_drop, vm_page_sbusy_try
from vmsmp.vm.vm_page.flags import PAGE_SIZE, PBUSY_LOCKED, PBUSY_WANTED, PG_FICTITIOUS, PG_REFERENCED
from vmsmp.vm.vm_page.hash import vm_page_hash_enter
from vmsmp.vm.vm_page.page import HARD
from vmsmp.vm.vm_page.validity import _bits, vm_page_is_valid

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject
    from vmsmp.vm.vm_page.page import VmPage


def _found(m: VmPage, obj: VmObject, pindex: int, valid: int = 0, idle: bool = False) -> None:
    """Report to observers that a lookup is about to return the page for that identity.

    `valid` are the promised bits; `idle` promises that no one else busies the page.
    """
    for hook in m.vm.hooks.event:
        hook(m.vm.engine.current, PageFound(m, obj, pindex, valid, idle))


def _assert_identity(m: VmPage, obj: VmObject, pindex: int) -> None:
    """Panic unless the page from the object's tree says that it is the object's at that index."""
    if m.object is not obj or m.pindex != pindex:
        obj.vm.panic(f"{m.klass} is in the tree of {obj.klass} and says it is elsewhere")


def vm_page_lookup(obj: VmObject, pindex: int) -> VmPage | None:
    """Return the object's page at that index, not busied: a guess once the token is released.

    Locks: the object's token, any mode.  Enters the page into the hash, whoever busies it.
    """
    ASSERT_OBJECT_HELD(obj)
    m = obj.rb_memq.get(pindex)
    if m is not None:
        _assert_identity(m, obj, pindex)
        vm_page_hash_enter(m)
    return m


def vm_page_next(m: VmPage) -> VmPage | None:
    """Return the page at the next index of the page's object, not busied, or None if there is none.

    Locks: the object's token, any mode.
    """
    obj = m.object
    after: VmPage | None = obj.rb_memq.get(m.pindex + 1)
    return after


def vm_page_lookup_busy_wait(
    obj: VmObject, pindex: int, also_m_busy: bool, wmesg: str = "vmpglk"
) -> VmPage | None:
    """Return the object's page at that index, hard-busied, or None if there is none (any more).

    Locks: the object's token, any mode.  Sleeps: while the page is busy; the token is lost meanwhile,
    so the page is looked up again.
    """
    machine = obj.vm.machine
    ASSERT_OBJECT_HELD(obj)
    m = obj.rb_memq.get(pindex)
    while m is not None:
        _assert_identity(m, obj, pindex)
        busy_count = m.busy_count.load()
        if busy_count & PBUSY_LOCKED or (also_m_busy and busy_count):
            machine.tsleep_interlock(m)
            if m.busy_count.cmpset(busy_count, busy_count | PBUSY_WANTED):
                vm_page_flag_set(m, PG_REFERENCED)
                machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))
                m = obj.rb_memq.get(pindex)
        elif m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):
            m.took(HARD)
            vm_page_hash_enter(m)
            _found(m, obj, pindex, idle=also_m_busy)
            return m
    return None


def vm_page_lookup_busy_try(obj: VmObject, pindex: int, also_m_busy: bool) -> tuple[VmPage | None, bool]:
    """Return the object's page at that index, and whether busying it failed.

    Locks: the object's token, any mode.  Sleeps: never.
    """
    ASSERT_OBJECT_HELD(obj)
    m = obj.rb_memq.get(pindex)
    if m is None:
        return None, False
    while True:
        _assert_identity(m, obj, pindex)
        busy_count = m.busy_count.load()
        if busy_count & PBUSY_LOCKED or (also_m_busy and busy_count):
            return m, True
        if m.busy_count.cmpset(busy_count, busy_count | PBUSY_LOCKED):
            m.took(HARD)
            vm_page_hash_enter(m)
            _found(m, obj, pindex, idle=also_m_busy)
            return m, False


def vm_page_lookup_sbusy_try(
    obj: VmObject, pindex: int, pgoff: int = 0, pgbytes: int = PAGE_SIZE
) -> VmPage | None:
    """Return the object's page at that index, soft-busied, if all of that range is valid; else None.

    Locks: the object's token, any mode.  The owner of the hard busy may invalidate the page until it
    is soft-busied here, so both tests are made twice.
    """
    ASSERT_OBJECT_HELD(obj)
    m = obj.rb_memq.get(pindex)
    if m is None:
        return None
    bits = _bits(m, pgoff, pgbytes)
    valid = m.hint("valid")
    if not valid or valid & bits != bits or m.flags.bits(PG_FICTITIOUS):
        return None
    if vm_page_sbusy_try(m):
        return None
    if not vm_page_is_valid(m, pgoff, pgbytes) or m.flags.bits(PG_FICTITIOUS):
        vm_page_sbusy_drop(m)
        return None
    vm_page_hash_enter(m)
    _found(m, obj, pindex, bits)
    return m
