"""Rules of pages, and of page queues whose spinlock is free.

INV-PB1, PB2, PB4, HW1, HW2, AL1, Q3, Q5, Q6, Q7, Q8 and O1 for a page whenever something
of it was written; INV-PB3 and INV-Q9 for all pages at the end of a run.  INV-Q1: a queue's list is well
formed, and every member's `queue` names it.  INV-Q2: lcnt is its length.  INV-H1 and INV-PB6 for what
a lookup returns, INV-V3 for what an allocator returns, INV-PB5 for writes to a soft-busied page.  INV-SW2
whenever a page is not busy any more.
A page is *settled* if its spinlock is free and no CPU has it hard-busied.  A free page may be soft-busied
for a moment, by a lookup in the page hash that is about to undo it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.records.field import Field
from vmsmp.records.record import has
from vmsmp.vm.observer import PageAllocated, PageFound
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_meter.meter import Globaldata
from vmsmp.vm.vm_page.flags import (
    PBUSY_LOCKED,
    PBUSY_MASK,
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_MARKER,
    PG_NEED_COMMIT,
    PG_SWAPPED,
    PG_UNQUEUED,
    PG_WRITEABLE,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_SYSTEM,
    busy_format,
)
from vmsmp.vm.vm_page.page import HARD, HOLD, NO_COLOUR, SOFT, WIRE, VmPage, Vpgqueues

#: The next operation of a CPU that is inside vm_page_sbusy_drop or vm_page_flash.
_TAKES_WANTED_BACK: Final = (ops.CLEARBITS, ops.CMPSET, ops.ATOMIC_LOAD)
#: Longer lists are walked only when all CPUs are stopped.
WALK: Final = 128


# -- a page ---------------------------------------------------------------------------------------


def broken_page(m: VmPage, books: Books) -> Broken | None:
    """The first rule that the page breaks right now, or None."""
    used = m.busy_count.value or m.hold_count.value or m.wire_count.value or any(books.counts(m).values())
    broken = (broken_busy(m, books) or broken_counts(m, books)) if used else None
    return broken or broken_place(m, books)


def broken_busy(m: VmPage, books: Books) -> Broken | None:
    """Whether the busy word and the ledger disagree."""
    out = books.counts(m)
    busy_count = m.busy_count.value
    hard = out.get(HARD, 0)
    soft = out.get(SOFT, 0)
    if hard > 1:
        return Broken("INV-PB1", f"{hard} CPUs have it hard-busied")
    if (busy_count & PBUSY_LOCKED != 0) != (hard != 0):
        who = (
            "and nobody has it hard-busied" if busy_count & PBUSY_LOCKED else "while a CPU has it hard-busied"
        )
        return Broken("INV-PB1", f"its word says {busy_format(busy_count)}, {who}")
    if busy_count & PBUSY_MASK != soft:
        return Broken("INV-PB2", f"its word counts {busy_count & PBUSY_MASK} soft busies, and {soft} are out")
    if busy_count == PBUSY_WANTED:
        word = m.busy_count.ident
        for cpu in m.vm.machine.cpus:
            if (
                not cpu.done
                and ops.object_of(cpu.pending) == word
                and ops.kind_of(cpu.pending) in _TAKES_WANTED_BACK
            ):
                return None
        return Broken("INV-PB4", "it is wanted, is not busy, and nobody is about to wake who wants it")
    return None


def broken_counts(m: VmPage, books: Books) -> Broken | None:
    """Whether the counts of holds and wirings differ from those of the ledger.

    A driver's page is wired as long as it exists, by nobody.
    """
    out = books.counts(m)
    hold = out.get(HOLD, 0)
    if m.hold_count.value != hold:
        return Broken("INV-HW1", f"its word counts {m.hold_count.value} holds, and {hold} are out")
    wire = out.get(WIRE, 0)
    if m.wire_count.value != wire and m.pc != NO_COLOUR:
        return Broken("INV-HW2", f"its word counts {m.wire_count.value} wirings, and {wire} are out")
    return None


def broken_place(m: VmPage, books: Books) -> Broken | None:
    """Whether a page whose spinlock is free is where its fields, flags and counts forbid it to be."""
    spin = m.spin_made
    if spin is not None and spin.holders:
        return None
    page = m.vm.page
    queue = m.raw_queue
    flags = m.flags.value
    if queue:
        if not 0 < queue < len(page.vm_page_queues) or page.vm_page_queues[queue].base + m.pc != queue:
            return Broken("INV-Q3", f"it is on queue {queue}, which is not one of its colour")
        if flags & (PG_FICTITIOUS | PG_UNQUEUED):
            return Broken("INV-Q8", "it is on a queue, and its flags forbid that")
    obj = m.raw_object
    if obj is not None and obj.raw_rb_memq.get(m.raw_pindex) is not m:
        return Broken("INV-O1", f"it says it is {obj.klass}'s, and that one's tree does not have it")
    kind = page.queue_types[queue]
    if kind in ("free", "hold"):
        if books.allocated_to(m) is not None:
            return Broken("INV-AL1", f"it is on a {kind} queue and allocated")
        if obj is not None or m.raw_valid or m.raw_dirty or m.wire_count.value:
            name = "INV-Q5" if kind == "free" else "INV-Q6"
            return Broken(name, f"it is on a {kind} queue with something left in it")
    if m.busy_count.value & PBUSY_LOCKED:
        return None
    if kind == "free" and (m.hold_count.value or flags & (PG_NEED_COMMIT | PG_MAPPED | PG_WRITEABLE)):
        return Broken("INV-Q5", "it is free and somebody uses it")
    if kind == "cache" and (m.raw_dirty & m.raw_valid or flags & (PG_MAPPED | PG_NEED_COMMIT)):
        return Broken("INV-Q7", "it is cached, and dirty or mapped")
    return None


def broken_unbusied(m: VmPage, books: Books) -> Broken | None:
    """The rules that a hard busy suspends, once it is dropped."""
    return None if m.busy_count.value & PBUSY_LOCKED else broken_place(m, books)


def broken_swap(m: VmPage, _books: Books) -> Broken | None:
    """Whether a page that nobody has busy has a block of swap and does not say so (INV-SW2).

    Some say so and have none any more: MADV_FREE, and the removal of a page that is wired, leave the mark.
    Who has the object's token may take the mark off before the block.
    """
    obj = m.raw_object
    if obj is None or m.busy_count.value & (PBUSY_LOCKED | PBUSY_MASK) or m.flags.value & PG_SWAPPED:
        return None
    if m.raw_pindex in obj.peek("swblock_root") and not obj.token.holders:
        return Broken("INV-SW2", "it has a block of swap, and does not say so")
    return None


def unlinked_page(m: VmPage, _books: Books) -> Broken | None:
    """Whether its neighbours, or the ends of the list that its `queue` names, do not point at the page."""
    spin = m.spin_made
    queue = m.raw_queue
    if not queue or (spin is not None and spin.holders):
        return None
    pq = m.vm.page.vm_page_queues[queue]
    before, after = m.raw_tqe_prev, m.raw_tqe_next
    first = pq.raw_tqh_first if before is None else before.raw_tqe_next
    last = pq.raw_tqh_last if after is None else after.raw_tqe_prev
    if first is m and last is m:
        return None
    return Broken("INV-Q1", f"it says it is on {m.vm.page.queue_name(queue)}, whose list does not have it")


def broken_unlocked(m: VmPage, books: Books) -> Broken | None:
    """Whether a page whose spinlock is free is out of place or unlinked.

    Links change under the page's spinlock.  A marker names a queue even after a scan has taken it off.
    """
    if m.flags.value & PG_MARKER:
        return None
    return broken_place(m, books) or unlinked_page(m, books)


def identity_moves(cpu: Cpu, m: VmPage, field: Field, books: Books) -> Broken | None:
    """Whether a page's identity is written while another CPU, or I/O, has it soft-busied (INV-PB5).

    I/O that reads the page in makes it valid.
    """
    if not books.counts(m).get(SOFT):
        return None
    if any(share is SOFT and cpu is not other for other, share in m.holders):
        return Broken("INV-PB5", f"its {field.name} changes while another CPU has it soft-busied")
    if field.name != "valid" and SOFT in m.in_progress:
        return Broken("INV-PB5", f"its {field.name} changes with I/O in progress")
    return None


def freed_twice(m: VmPage, _books: Books) -> Broken | None:
    """Whether a page is about to be freed that is on a free queue (INV-AL1)."""
    if m.vm.page.queue_type(m.raw_queue) in ("free", "hold"):
        return Broken("INV-AL1", "freed twice", joint=" ")
    return None


def leaked_pages(vm: VmSystem) -> Iterator[tuple[VmPage, Broken]]:
    """Yield the pages that are lost, or still busy, at the end of a run."""
    for m in vm.page.vm_page_array:
        if m.busy_count.value:
            yield m, Broken("INV-PB3", f"it is left {busy_format(m.busy_count.value)}")
        elif not m.raw_queue and not m.wire_count.value and m.raw_object is None:
            yield m, Broken("INV-Q9", "it is on no queue, in no object and not wired: lost")


# -- a queue --------------------------------------------------------------------------------------


def broken_queue(pq: Vpgqueues, _books: Books) -> Broken | None:
    """`walked_queue` for a queue that is short enough to check at every step."""
    spin = pq.spin_made
    held = spin is not None and spin.holders
    return None if held or pq.raw_lcnt > WALK else walked_queue(pq, _books)


def walked_queue(pq: Vpgqueues, _books: Books) -> Broken | None:
    """Return the first rule that the queue breaks, or None.  Its spinlock must be free."""
    if pq.spin_held():
        return None
    length = 0
    last = None
    index = pq.index
    m = pq.raw_tqh_first
    left = len(pq.vm.page.vm_page_array) + len(pq.vm.page.markers) + 1  # a list with a cycle has no end
    while m is not None and left:
        if m.raw_tqe_prev is not last:
            return Broken("INV-Q1", f"the link back from {m.klass} does not lead where it came from")
        if m.raw_queue != index:
            other = m.vm.page.queue_name(m.raw_queue)
            return Broken("INV-Q1", f"it lists {m.klass}, which says it is on {other}")
        length += not m.flags.value & PG_MARKER
        last, m = m, m.raw_tqe_next
        left -= 1
    if pq.raw_tqh_last is not last:
        return Broken("INV-Q1", "its tail is not its last page")
    if pq.raw_lcnt != length:
        return Broken("INV-Q2", f"it counts {pq.raw_lcnt} pages and lists {length}")
    return None


# -- events ---------------------------------------------------------------------------------------


def found_wrongly(cpu: Cpu, found: PageFound) -> tuple[VmPage, Broken] | None:
    """Whether a lookup returns a wrong page, or one in a wrong state (INV-H1, INV-PB6)."""
    m, obj = found.page, found.object
    if m.raw_object is not obj or m.raw_pindex != found.pindex:
        return m, Broken("INV-H1", f"a lookup returns a page that is not {obj.klass}'s at that index")
    if not has(cpu, m, HARD, SOFT):
        return m, Broken("INV-H1", "a lookup returns a page that it has not busied")
    if m.raw_valid & found.valid != found.valid:
        return m, Broken("INV-PB6", "a lookup returns a page that is not valid as asked")
    if found.idle and m.busy_count.value & (PBUSY_MASK | PBUSY_SWAPINPROG):
        return m, Broken("INV-PB6", "a lookup returns a page that is busy otherwise")
    return None


def entitled(vm: VmSystem, gd: Globaldata, request: int) -> bool:
    """Whether the request was entitled to a page, by the counts that its CPU saw at the gate."""
    limits = vm.meter.limits
    free, cached = gd.gate
    if gd.systhread:
        request |= VM_ALLOC_SYSTEM
    if free >= limits.v_free_reserved or (request & VM_ALLOC_INTERRUPT and free > 0):
        return True
    return bool(request & VM_ALLOC_SYSTEM) and cached == 0 and free > limits.v_interrupt_free_min


def broken_gate(cpu: Cpu, allocated: PageAllocated) -> tuple[VmPage, Broken] | None:
    """Whether a page just taken was the reserve's and the request not entitled to it (INV-V3)."""
    m = allocated.page
    gd = m.vm.meter.globaldata[cpu.index]
    if entitled(m.vm, gd, allocated.request):
        return None
    return m, Broken("INV-V3", "a page of the reserve went to a request that is not entitled to it")


# -- declared -------------------------------------------------------------------------------------

RULES: Final = (
    Rules(
        VmPage,
        written={
            "": (broken_unlocked,),
            "busy_count": (broken_busy, broken_unbusied, broken_swap),
            **dict.fromkeys(("hold_count", "wire_count"), (broken_counts, broken_place)),
            "valid": (broken_place,),
            "flags": (broken_place,),
        },
        at_rest=(broken_page, unlinked_page),
        guarded=dict.fromkeys(("object", "pindex", "valid"), identity_moves),
        freed=freed_twice,
        stored=False,
    ),
    Rules(
        Vpgqueues,
        written=dict.fromkeys(("", *Vpgqueues.fields), (broken_queue,)),
        at_rest=(walked_queue,),
    ),
)
SYSTEM: Final = SystemRules(
    events={PageFound: found_wrongly, PageAllocated: broken_gate}, leaks=(leaked_pages,)
)
