"""What holds for every page at every step: its busies, its counts, its queue, its object.

INV-PB1, PB2, PB4, HW1, HW2, AL1, Q3, Q5, Q6, Q7, Q8, PM1 (half) and O1 for a page whenever something
of it was written; INV-PB3 and INV-Q9 for all pages once all is over.
A page is *settled* if its spinlock is free and nobody has it hard-busied.  A free page may be soft-busied
for a moment, by a guess of the page hash that is about to be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.vm.vm_page.flags import (
    PBUSY_LOCKED,
    PBUSY_MASK,
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WRITEABLE,
    PTE_V,
    PTE_W,
    busy_format,
)
from vmsmp.vm.vm_page.page import HARD, HOLD, SOFT, WIRE, VmPage

if TYPE_CHECKING:
    from vmsmp.check.ledger import Ledger
    from vmsmp.vm.system import VmSystem

#: A broken rule: the invariant's name and what is wrong.
Broken = tuple[str, str]
#: What a CPU inside vm_page_sbusy_drop or vm_page_flash does next.
_TAKES_WANTED_BACK = (ops.CLEARBITS, ops.CMPSET, ops.ATOMIC_LOAD)


def broken_page(m: VmPage, ledger: Ledger) -> Broken | None:
    """The first rule that the page breaks right now, or None."""
    peek = m.peek
    shares = [mode for _, mode in m.holders]
    return (
        _broken_busy(m, peek("busy_count"), shares)
        or _broken_counts(m, peek, shares, ledger)
        or (_broken_queue(m, peek, ledger) if not _spinning(m) else None)
    )


def _spinning(m: VmPage) -> bool:
    """Whether anybody has the page's spinlock."""
    return m._spin is not None and bool(m._spin.holders)


def _broken_busy(m: VmPage, busy_count: int, shares: list[str]) -> Broken | None:
    hard = shares.count(HARD)
    soft = shares.count(SOFT)
    if hard > 1:
        return "INV-PB1", f"{hard} CPUs have it hard-busied"
    if bool(busy_count & PBUSY_LOCKED) != bool(hard):
        who = (
            "and nobody has it hard-busied" if busy_count & PBUSY_LOCKED else "while a CPU has it hard-busied"
        )
        return "INV-PB1", f"its word says {busy_format(busy_count)}, {who}"
    if busy_count & PBUSY_MASK != soft:
        return "INV-PB2", f"its word counts {busy_count & PBUSY_MASK} soft busies, and {soft} are out"
    if busy_count & ~PBUSY_SWAPINPROG == PBUSY_WANTED and not busy_count & PBUSY_SWAPINPROG:
        word = m.busy_count.ident
        for cpu in m.vm.machine.cpus:
            if (
                not cpu.done
                and ops.object_of(cpu.pending) == word
                and ops.kind_of(cpu.pending) in _TAKES_WANTED_BACK
            ):
                return None
        return "INV-PB4", "it is wanted, is not busy, and nobody is about to wake who wants it"
    return None


def _broken_counts(m: VmPage, peek: Callable[[str], Any], shares: list[str], ledger: Ledger) -> Broken | None:
    hold = shares.count(HOLD)
    if peek("hold_count") != hold:
        return "INV-HW1", f"its word counts {peek('hold_count')} holds, and {hold} are out"
    wire = ledger.count(m, WIRE)
    if peek("wire_count") != wire:
        return "INV-HW2", f"its word counts {peek('wire_count')} wirings, and {wire} are out"
    return None


def _broken_queue(m: VmPage, peek: Callable[[str], Any], ledger: Ledger) -> Broken | None:
    """The rules for a page whose spinlock is free."""
    vm = m.vm
    queue = peek("queue")
    flags = peek("flags")
    if queue and (not 0 < queue < len(vm.vm_page_queues) or vm.vm_page_queues[queue].base + m.pc != queue):
        return "INV-Q3", f"it is on queue {queue}, which is not one of its colour"
    if queue and flags & (PG_FICTITIOUS | PG_UNQUEUED):
        return "INV-Q8", "it is on a queue, and its flags forbid that"
    obj = peek("object")
    if obj is not None and obj.peek("rb_memq").get(peek("pindex")) is not m:
        return "INV-O1", f"it says it is {obj.klass}'s, and that one's tree does not have it"
    kind = vm.queue_type(queue)
    owner = ledger.owned(m)
    if kind in ("free", "hold"):
        if owner is not None:
            return "INV-AL1", f"it is on a {kind} queue and allocated"
        if obj is not None or peek("valid") or peek("dirty") or peek("wire_count"):
            return (
                "INV-Q5" if kind == "free" else "INV-Q6"
            ), f"it is on a {kind} queue with something left in it"
    if peek("busy_count") & PBUSY_LOCKED:
        return None
    if kind == "free" and (peek("hold_count") or flags & (PG_NEED_COMMIT | PG_MAPPED | PG_WRITEABLE)):
        return "INV-Q5", "it is free and somebody uses it"
    if kind == "cache" and (peek("dirty") & peek("valid") or flags & (PG_MAPPED | PG_NEED_COMMIT)):
        return "INV-Q7", "it is cached, and dirty or mapped"
    pte = peek("md")
    if pte & PTE_V and (kind in ("free", "hold", "cache") or obj is None or not flags & PG_MAPPED):
        return "INV-PM1", f"a process maps it, and it is on {kind}, in no object or not flagged so"
    if pte & PTE_W and not flags & PG_WRITEABLE:
        return "INV-PM1", "a process may write to it, and it is not flagged so"
    return None


def unlinked_page(m: VmPage) -> Broken | None:
    """Whether the page's neighbours, or the ends of the list it says it is on, do not point at it."""
    queue = m.peek("queue")
    if not queue or _spinning(m):
        return None
    pq = m.vm.vm_page_queues[queue]
    before, after = m.peek("tqe_prev"), m.peek("tqe_next")
    first = pq.peek("tqh_first") if before is None else before.peek("tqe_next")
    last = pq.peek("tqh_last") if after is None else after.peek("tqe_prev")
    if first is m and last is m:
        return None
    return "INV-Q1", f"it says it is on {m.vm.queue_name(queue)}, whose list does not have it"


def leaked_pages(vm: VmSystem) -> Iterator[tuple[VmPage, Broken]]:
    """Pages that are nowhere, or still busy, when all is over."""
    for m in vm.vm_page_array:
        if m.peek("busy_count"):
            yield m, ("INV-PB3", f"it is left {busy_format(m.peek('busy_count'))}")
        elif not m.peek("queue") and not m.peek("wire_count") and m.peek("object") is None:
            yield m, ("INV-Q9", "it is on no queue, in no object and not wired: lost")
